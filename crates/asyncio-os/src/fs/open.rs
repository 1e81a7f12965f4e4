//! How a file is opened.

use std::fs;
use std::io;
use std::path::Path;

use asyncio_task::StepBack;

use super::cached;
use super::file::{File, appends};
use super::on_thread::on_thread;

/// How a file is opened, in the shape of [`std::fs::OpenOptions`].
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::fs::{OpenOptions, TempDir};
///
/// # asyncio_loop::run(async {
/// # let directory = TempDir::new().await?;
/// # let path = directory.path().join("log");
/// let mut log = OpenOptions::new().append(true).create(true).open(path).await?;
/// log.write_all(b"a line\n").await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a file is opened with them"]
pub struct OpenOptions {
    inner: fs::OpenOptions,
    append: bool,
    reads: bool,
    /// Whether more is asked for than reading.
    changes: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<fs::OpenOptions> for OpenOptions {
    /// The options of the standard library, with flags that are not here. On Windows they must not append.
    fn from(inner: fs::OpenOptions) -> Self {
        OpenOptions {
            inner,
            append: false,
            reads: true,
            changes: true,
        }
    }
}

/// Defines the options that are flags.
macro_rules! flags {
    ($($(#[doc = $doc:expr])* $name:ident;)*) => { $(
        $(#[doc = $doc])*
        pub fn $name(&mut self, on: bool) -> &mut Self {
            self.inner.$name(on);
            self.changes |= on;
            self
        }
    )* };
}

impl OpenOptions {
    /// Options without any access.
    pub fn new() -> Self {
        OpenOptions {
            inner: fs::OpenOptions::new(),
            append: false,
            reads: false,
            changes: false,
        }
    }

    /// Sets whether the file can be read.
    pub fn read(&mut self, on: bool) -> &mut Self {
        self.inner.read(on);
        self.reads = on;
        self
    }

    /// Sets whether all writes go to the end of the file, wherever other programs have moved it.
    pub fn append(&mut self, on: bool) -> &mut Self {
        self.inner.append(on);
        self.append = on;
        self.changes |= on;
        self
    }

    flags! {
        /// Sets whether the file can be written.
        write;
        /// Sets whether the file is emptied.
        truncate;
        /// Sets whether the file is created if it does not exist.
        create;
        /// Sets whether the file must not exist, and is created.
        create_new;
    }

    /// Sets the permissions of a file that is created, less those of the `umask`.
    #[cfg(unix)]
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(&mut self.inner, mode);
        self
    }

    /// Opens a file.
    ///
    /// # Cancellation
    ///
    /// If the operation has begun, a file may be created or emptied.
    ///
    /// # Errors
    ///
    /// The system's error with the path. An error as well if no loop runs on this thread.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        if self.reads && !self.changes {
            StepBack::new().await;
            if let Some((file, _)) = cached::open(path) {
                return Ok(File::of(file, path.to_owned(), false));
            }
        }
        let options = self.inner.clone();
        let file = on_thread("open", path, move |path| options.open(path)).await?;
        let append = self.append || appends(&file);
        Ok(File::of(file, path.to_owned(), append))
    }
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Cancellation
    ///
    /// Has opened nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path. An error as well if no loop runs on this thread.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens a file for writing. It is created, or emptied.
    ///
    /// # Cancellation
    ///
    /// The file may be created or emptied.
    ///
    /// # Errors
    ///
    /// The system's error with the path. An error as well if no loop runs on this thread.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.open(path).await
    }
}
