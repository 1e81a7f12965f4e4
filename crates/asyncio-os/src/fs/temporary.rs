//! Temporary files and directories, which vanish.

use std::env;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use asyncio_loop::try_running_loop;
use asyncio_pool::{default_executor, to_thread};

use super::file::File;
use super::on_thread::on_thread;

/// The number of tries with another name.
const TRIES: usize = 16;

/// A name that cannot be guessed.
pub(super) fn unused_name() -> String {
    // Each `RandomState` has keys of its own.
    let word = || RandomState::new().hash_one(std::process::id());
    format!(".asyncio-{:016x}{:016x}", word(), word())
}

/// Creates with names that are not in use.
fn create<T>(directory: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(PathBuf, T)> {
    let mut tries = 0;
    loop {
        let path = directory.join(unused_name());
        match make(&path) {
            Ok(made) => return Ok((path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => {
                tries += 1
            }
            Err(error) => return Err(error),
        }
    }
}

/// Creates a file without a name, for reading and writing. It vanishes when it is closed, also if the program is
/// killed.
///
/// # Cancellation
///
/// Leaves nothing.
///
/// # Errors
///
/// The system's error with the directory for temporary files. An error as well if no loop runs on this thread.
pub async fn temp_file() -> io::Result<File> {
    let directory = env::temp_dir();
    let made = on_thread("create a file in", &directory, |directory| {
        nameless(directory)
    })
    .await?;
    Ok(File::of(made, directory.join("(a temporary file)"), false))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn nameless(directory: &Path) -> io::Result<fs::File> {
    use rustix::fs::{Mode, OFlags, open};

    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has files without names.
        Err(_) => unlinked(directory),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn nameless(directory: &Path) -> io::Result<fs::File> {
    unlinked(directory)
}

fn unlinked(directory: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let (path, file) = create(directory, |path| options.open(path))?;
    // Where an open file cannot be removed, the system's cleaning does it.
    let _ = fs::remove_file(path);
    Ok(file)
}

/// A temporary directory. The drop removes the directory with its contents.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::fs::{self, TempDir};
///
/// # asyncio_loop::run(async {
/// let directory = TempDir::new().await?;
/// fs::write(directory.path().join("a file"), "text").await?;
/// directory.close().await?; // or drop it
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// If a loop runs, the drop removes the directory on a thread of the default pool. Without a loop, or if the pool is
/// shut down, it removes the directory at once. Errors are ignored then; [`close`](Self::close) returns them.
pub struct TempDir {
    /// `None` when it is removed, or kept.
    path: Option<PathBuf>,
}

impl TempDir {
    /// Creates a directory in the system's directory for temporary files.
    ///
    /// # Cancellation
    ///
    /// Leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`new_in`](Self::new_in).
    pub async fn new() -> io::Result<Self> {
        Self::new_in(env::temp_dir()).await
    }

    /// Creates a directory in another one.
    ///
    /// # Cancellation
    ///
    /// Leaves nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path of the other one. An error as well if no loop runs on this
    /// thread.
    pub async fn new_in(directory: impl AsRef<Path>) -> io::Result<Self> {
        let make = |directory: &Path| {
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            #[cfg(not(unix))]
            let _ = &mut builder;
            // Absolute: the program may have another working directory when it is removed.
            let directory = std::path::absolute(directory)?;
            let (path, ()) = create(&directory, |path| builder.create(path))?;
            // A value without a receiver is dropped, and removes the directory.
            Ok(TempDir { path: Some(path) })
        };
        on_thread("create a directory in", directory.as_ref(), make).await
    }

    /// The path, which is absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Keeps the directory, and returns its path.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }

    /// Removes the directory.
    ///
    /// # Cancellation
    ///
    /// The directory is removed later.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn close(mut self) -> io::Result<()> {
        let path = self.path().to_owned();
        let removed = on_thread("remove the directory", &path, |path| {
            fs::remove_dir_all(path)
        })
        .await;
        self.path = None;
        removed
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let contents = Contents(path);
        match try_running_loop() {
            Ok(_) if !default_executor().is_closed() => {
                to_thread(move || drop(contents)).discard();
            }
            _ => drop(contents),
        }
    }
}

/// The contents of a directory. Their drop removes them, also where a pool refuses or cancels the job that has them.
struct Contents(PathBuf);

impl Drop for Contents {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl fmt::Debug for TempDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TempDir({})", self.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken_are_passed_over_so_many_times() {
        let made = std::cell::Cell::new(0);
        let taken_until = |free: usize| {
            made.set(0);
            let made = create(Path::new("directory"), |_| {
                made.set(made.get() + 1);
                match made.get() > free {
                    true => Ok(made.get()),
                    false => Err(io::ErrorKind::AlreadyExists.into()),
                }
            });
            made.map(|(_, made)| made).map_err(|error| error.kind())
        };
        assert_eq!(taken_until(0), Ok(1));
        assert_eq!(taken_until(TRIES), Ok(TRIES + 1));
        let is_taken = Err(io::ErrorKind::AlreadyExists);
        assert_eq!(taken_until(TRIES + 1), is_taken);
        assert_eq!(made.get(), TRIES + 1);
    }

    #[test]
    fn another_error_ends_the_search() {
        let made = std::cell::Cell::new(0);
        let error = create::<()>(Path::new("directory"), |_| {
            made.set(made.get() + 1);
            Err(io::ErrorKind::NotFound.into())
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(made.get(), 1);
    }
}
