//! The entries of a directory, as a stream.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_pool::Job;
use asyncio_task::StepBack;
use futures_core::Stream;

use super::error::FsError;
use super::on_thread::{joined, on_thread, start};
use super::paths::symlink_metadata;

/// How many entries a thread reads at once.
const BATCH: usize = 256;

/// Opens a directory to read its entries, which come in no particular order.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::fs;
///
/// # asyncio_loop::run(async {
/// let mut entries = fs::read_dir("src").await?;
/// let mut names = Vec::new();
/// while let Some(entry) = entries.next_entry().await? {
///     names.push(entry.file_name());
/// }
/// assert!(names.contains(&"lib.rs".into()));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// Has opened nothing.
///
/// # Errors
///
/// The system's error with the path. An error as well if no loop runs on this thread.
#[doc(alias = "scandir")]
#[doc(alias = "listdir")]
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let opened = on_thread("read the directory", path, |path| fs::read_dir(path)).await?;
    Ok(ReadDir {
        path: path.to_owned(),
        state: State::Idle(Box::new(opened)),
        read: VecDeque::new(),
        step_back: StepBack::new(),
    })
}

/// The entries of a directory, from [`read_dir`].
pub struct ReadDir {
    path: PathBuf,
    state: State,
    read: VecDeque<io::Result<DirEntry>>,
    step_back: StepBack,
}

enum State {
    Idle(Box<fs::ReadDir>),
    /// A thread reads the next entries.
    Reading(Job<(Box<fs::ReadDir>, Vec<io::Result<fs::DirEntry>>)>),
    Ended,
}

impl ReadDir {
    /// Waits for the next entry. `None` after the last one.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path of the directory.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_entry(cx)).await.transpose()
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        ready!(Pin::new(&mut self.step_back).poll(cx));
        self.step_back = StepBack::new();
        loop {
            if let Some(entry) = self.read.pop_front() {
                return Poll::Ready(Some(entry));
            }
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(mut entries) => {
                    let read = move || {
                        let batch = entries.by_ref().take(BATCH).collect();
                        (entries, batch)
                    };
                    match start(read) {
                        Ok(job) => State::Reading(job),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                State::Reading(mut job) => match Pin::new(&mut job).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Reading(job);
                        // It has stepped back for this entry.
                        return Poll::Pending;
                    }
                    Poll::Ready(outcome) => match joined(outcome) {
                        Ok((entries, batch)) => {
                            let is_last = batch.len() < BATCH;
                            let name =
                                |error| FsError::name("read the directory", &self.path, error);
                            let batch = batch
                                .into_iter()
                                .map(|entry| entry.map(|inner| DirEntry { inner }).map_err(name));
                            self.read.extend(batch);
                            match is_last {
                                true => State::Ended,
                                false => State::Idle(entries),
                            }
                        }
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    },
                },
            };
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_entry(cx)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadDir({})", self.path.display())
    }
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    inner: fs::DirEntry,
}

impl DirEntry {
    /// The path: that of the directory, and the name.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// The name.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.inner.file_name()
    }

    /// The type of the entry. A symbolic link is not followed.
    ///
    /// # Errors
    ///
    /// The system's error. Most file systems give the type with the name.
    pub fn file_type(&self) -> io::Result<FileType> {
        self.inner.file_type()
    }

    /// The metadata of the entry. A symbolic link is not followed.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path()).await
    }
}
