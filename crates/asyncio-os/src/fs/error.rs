//! Errors that name the file.

use std::io;
use std::path::{Path, PathBuf};

/// The failure of an operation on a file, inside of the [`io::Error`] that has the same kind.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::fs::{self, FsError};
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
#[error("cannot {operation} {}{}: {source}", path.display(), and(target.as_deref()))]
pub struct FsError {
    operation: &'static str,
    path: PathBuf,
    /// The second path, if the operation has two.
    target: Option<PathBuf>,
    source: io::Error,
}

impl FsError {
    /// Adds the path to an error.
    pub(crate) fn name(operation: &'static str, path: &Path, source: io::Error) -> io::Error {
        Self::of(operation, path, None, source)
    }

    /// Adds both paths to an error: a rename has two.
    pub(super) fn name_both(
        operation: &'static str,
        path: &Path,
        target: &Path,
        source: io::Error,
    ) -> io::Error {
        Self::of(operation, path, Some(target), source)
    }

    fn of(
        operation: &'static str,
        path: &Path,
        target: Option<&Path>,
        source: io::Error,
    ) -> io::Error {
        let kind = source.kind();
        let error = FsError {
            operation,
            path: path.to_owned(),
            target: target.map(Path::to_owned),
            source,
        };
        io::Error::new(kind, error)
    }

    /// The file or directory. If the operation has two, the first one.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The second path of a rename, a copy or a hard link. The error may be about this one.
    #[must_use]
    pub fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The system's error, with its [number](io::Error::raw_os_error).
    #[must_use]
    pub fn os_error(&self) -> &io::Error {
        &self.source
    }
}

fn and(target: Option<&Path>) -> String {
    target.map_or_else(String::new, |target| format!(" to {}", target.display()))
}
