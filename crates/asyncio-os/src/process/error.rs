//! Errors that name the command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The failure to start a command, inside of the [`io::Error`] that has the same kind.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::process::{Command, SpawnError};
///
/// # asyncio_loop::run(async {
/// let error = Command::new("true").current_dir("/no/such/place").spawn().unwrap_err();
/// assert!(error.to_string().starts_with("cannot start true in /no/such/place: "));
/// let inner: &SpawnError = error.get_ref().unwrap().downcast_ref().unwrap();
/// assert_eq!(inner.program(), "true");
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[error("cannot start {}{}: {source}", program.display(), place(directory.as_deref()))]
pub struct SpawnError {
    program: OsString,
    directory: Option<PathBuf>,
    source: io::Error,
}

impl SpawnError {
    /// Adds the command to an error.
    pub(super) fn name(command: &Command, source: io::Error) -> io::Error {
        let kind = source.kind();
        let error = SpawnError {
            program: command.get_program().to_owned(),
            directory: command.get_current_dir().map(Path::to_owned),
            source,
        };
        io::Error::new(kind, error)
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// The working directory, if one was set. `NotFound` may be about it.
    #[must_use]
    pub fn current_dir(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The system's error, with its [number](io::Error::raw_os_error).
    #[must_use]
    pub fn os_error(&self) -> &io::Error {
        &self.source
    }
}

fn place(directory: Option<&Path>) -> String {
    directory.map_or_else(String::new, |directory| {
        format!(" in {}", directory.display())
    })
}
