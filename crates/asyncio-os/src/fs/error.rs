//! Errors that name the file.

use std::io;
use std::path::{Path, PathBuf};

/// The failure of an operation on a file, inside of the [`io::Error`] that has the same kind.
///
/// ```
/// use asyncio_os::fs::{self, FsError};
///
/// # asyncio_loop::run(async {
/// let error = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// assert!(error.to_string().starts_with("cannot read /no/such/file: "));
/// let inner: &FsError = error.get_ref().unwrap().downcast_ref().unwrap();
/// assert_eq!(inner.path().to_str(), Some("/no/such/file"));
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl FsError {
    /// Adds the path to an error.
    pub(super) fn name(operation: &'static str, path: &Path, source: io::Error) -> io::Error {
        let kind = source.kind();
        let path = path.to_owned();
        let error = FsError {
            operation,
            path,
            source,
        };
        io::Error::new(kind, error)
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The system's error, with its [number](io::Error::raw_os_error).
    #[must_use]
    pub fn os_error(&self) -> &io::Error {
        &self.source
    }
}
