//! The body of a request.

use std::fmt;

use bytes::Bytes;

use crate::body::Body;

/// The body of a request: bytes in memory, which can be sent again, or a stream, which cannot.
pub struct RequestBody(Kind);

enum Kind {
    Bytes(Bytes),
    Stream(Option<Body>),
}

/// A stream that was sent before.
pub(super) struct Gone;

impl RequestBody {
    /// The body to send now, if it is not empty. `Err` if it was sent before and is gone.
    pub(super) fn take(&mut self) -> Result<Option<Body>, Gone> {
        match &mut self.0 {
            Kind::Bytes(bytes) if bytes.is_empty() => Ok(None),
            Kind::Bytes(bytes) => Ok(Some(Body::from(bytes.clone()))),
            Kind::Stream(body) => body.take().map(Some).ok_or(Gone),
        }
    }

    pub(super) fn can_be_sent_again(&self) -> bool {
        matches!(self.0, Kind::Bytes(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.0, Kind::Bytes(bytes) if bytes.is_empty())
    }

    pub(super) fn empty() -> Self {
        Self(Kind::Bytes(Bytes::new()))
    }
}

macro_rules! bodies {
    ($($bytes:ty)*) => {$(
        impl From<$bytes> for RequestBody {
            fn from(bytes: $bytes) -> Self {
                Self(Kind::Bytes(bytes.into()))
            }
        }
    )*};
}

bodies!(Bytes Vec<u8> String &'static str &'static [u8]);

/// A stream: see [`body::from_stream`](crate::body::from_stream).
impl From<Body> for RequestBody {
    fn from(body: Body) -> Self {
        Self(Kind::Stream(Some(body)))
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Kind::Stream(_) => f.write_str("a stream"),
        }
    }
}
