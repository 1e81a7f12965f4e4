//! Errors of reading a part of a stream.

use std::fmt;
use std::io;

/// The stream ended before the requested bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "IncompleteReadError")]
pub struct IncompleteRead {
    /// The bytes before the end. They are taken out of the reader.
    pub partial: Vec<u8>,
    /// The number of bytes that were asked for. `None` if the bytes up to a separator were.
    pub expected: Option<usize>,
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = self.partial.len();
        match self.expected {
            Some(expected) => write!(f, "the stream ended after {read} of {expected} bytes"),
            None => write!(
                f,
                "the stream ended after {read} bytes, without a separator"
            ),
        }
    }
}

impl std::error::Error for IncompleteRead {}

/// A separator did not come within the reader's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "LimitOverrunError")]
pub struct LimitOverrun {
    /// The number of bytes before the separator, or before the place where one may begin. They are still in the
    /// reader: [`StreamReader::read`](crate::StreamReader::read) takes them out.
    pub consumed: usize,
    /// Whether the separator was found, behind too many bytes.
    pub found: bool,
    /// The reader's limit.
    pub limit: usize,
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit;
        match self.found {
            true => write!(
                f,
                "the bytes before the separator exceed the limit of {limit}"
            ),
            false => write!(
                f,
                "no separator was found within the limit of {limit} bytes"
            ),
        }
    }
}

impl std::error::Error for LimitOverrun {}

/// The error of [`StreamReader::read_until`](crate::StreamReader::read_until) and
/// [`StreamReader::read_exact`](crate::StreamReader::read_exact).
#[derive(Debug)]
pub enum ReadError {
    /// The stream ended before.
    Incomplete(IncompleteRead),
    /// The separator did not come within the limit.
    LimitOverrun(LimitOverrun),
    /// The stream has failed.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(error) => error.fmt(f),
            Self::LimitOverrun(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Incomplete(error) => Some(error),
            Self::LimitOverrun(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// For functions that return an `io::Result`: an end is `UnexpectedEof`, an overrun is `InvalidData`.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Incomplete(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            ReadError::LimitOverrun(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            ReadError::Io(error) => error,
        }
    }
}
