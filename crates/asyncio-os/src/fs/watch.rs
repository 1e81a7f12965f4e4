//! Changes of files, as a stream: inotify on the loop.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_net::{AsyncFd, Direction, Interest};
use futures_core::Stream;
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::error::FsError;

/// Room for some dozens of events.
const ROOM: usize = 4096;

/// Watches a file, or a directory with the files in it, from now on. Directories below it are not watched.
///
/// Only on Linux; other systems do not have this function.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::fs::{self, ChangeKind, TempDir};
///
/// # asyncio_loop::run(async {
/// let directory = TempDir::new().await?;
/// let mut changes = fs::watch(directory.path())?;
/// fs::write(directory.path().join("new"), "").await?;
/// let change = changes.next_change().await?;
/// assert_eq!(change.kind, ChangeKind::Created);
/// assert!(change.path.ends_with("new"));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// A log that another program appends to, as `tail -f` shows it:
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_os::*; }
/// use asyncio::fs::{self, File};
/// use std::path::Path;
///
/// async fn follow(path: &Path, mut on_line: impl FnMut(&str)) -> std::io::Result<()> {
///     let mut changes = fs::watch(path)?; // before the first read, so that no change is missed
///     let mut file = File::open(path).await?;
///     let (mut text, mut buf) = (Vec::new(), [0; 4096]);
///     loop {
///         while let n @ 1.. = file.read(&mut buf).await? {
///             text.extend_from_slice(&buf[..n]);
///         }
///         // The last line may not be complete yet.
///         while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
///             let line: Vec<u8> = text.drain(..=end).collect();
///             on_line(String::from_utf8_lossy(&line).trim_end());
///         }
///         changes.next_change().await?;
///     }
/// }
/// # asyncio_loop::run(async {
/// # let directory = fs::TempDir::new().await?;
/// # let path = directory.path().join("log");
/// # fs::write(&path, "one\ntw").await?;
/// # let lines = std::cell::RefCell::new(Vec::new());
/// # let write = async {
/// #     let mut log = fs::OpenOptions::new().append(true).open(&path).await?;
/// #     while lines.borrow().len() < 1 { asyncio_loop::yield_now().await; }
/// #     log.write_all(b"o\nthree\n").await?;
/// #     while lines.borrow().len() < 3 { asyncio_loop::yield_now().await; }
/// #     std::io::Result::Ok(())
/// # };
/// # let follow = follow(&path, |line| lines.borrow_mut().push(line.to_owned()));
/// # asyncio::race((follow, write)).await?;
/// # assert_eq!(lines.into_inner(), ["one", "two", "three"]);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The system's error with the path: `NotFound`, or no more watches. An error as well if no loop runs on this thread.
pub fn watch(path: impl AsRef<Path>) -> io::Result<Watch> {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let mut watch = Watch {
        inotify: AsyncFd::with_interest(inotify, Interest::READABLE)?,
        paths: HashMap::new(),
        changes: VecDeque::new(),
    };
    watch.add(path)?;
    Ok(watch)
}

/// The changes of files and directories, from [`watch`].
pub struct Watch {
    inotify: AsyncFd<OwnedFd>,
    /// The paths by the numbers of their watches.
    paths: HashMap<i32, PathBuf>,
    /// The changes that were read and not received.
    changes: VecDeque<Change>,
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file: the watched path, with the name of a file in it if that has changed.
    pub path: PathBuf,
    /// The kind of the change.
    pub kind: ChangeKind,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A file was created.
    Created,
    /// Contents were written.
    Modified,
    /// A file that was open for writing was closed.
    Closed,
    /// Permissions, times or the owner have changed.
    Attributes,
    /// A file was removed, or the watched path itself.
    Removed,
    /// A file was moved away from this name, or the watched path itself.
    MovedFrom,
    /// A file was moved to this name.
    MovedTo,
    /// Changes were lost, because there were too many unread ones. The path is empty.
    Overflow,
}

impl Watch {
    /// Watches another path as well.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn add(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVE_SELF;
        let number = inotify::add_watch(&self.inotify, path, flags)
            .map_err(|error| FsError::name("watch", path, error.into()))?;
        self.paths.insert(number, path.to_owned());
        Ok(())
    }

    /// Waits for the next change.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error. An error if its loop is closed or is not the running one.
    pub async fn next_change(&mut self) -> io::Result<Change> {
        poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Change>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Ok(change));
            }
            let (paths, changes) = (&mut self.paths, &mut self.changes);
            let read = |fd: &OwnedFd| read_events(fd, paths, changes);
            ready!(self.inotify.poll_io(cx, Direction::Read, read))?;
        }
    }
}

/// Reads once, and notes the changes.
fn read_events(
    fd: &OwnedFd,
    paths: &mut HashMap<i32, PathBuf>,
    changes: &mut VecDeque<Change>,
) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut events = Reader::new(fd, &mut room);
    loop {
        match events.next() {
            Ok(event) => changes.extend(change(&event, paths)),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if events.is_buffer_empty() {
            return Ok(());
        }
    }
}

fn change(event: &Event<'_>, paths: &mut HashMap<i32, PathBuf>) -> Option<Change> {
    let flags = event.events();
    let kind = if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        ChangeKind::Overflow
    } else if flags.contains(ReadFlags::IGNORED) {
        paths.remove(&event.wd());
        return None;
    } else if flags.contains(ReadFlags::CREATE) {
        ChangeKind::Created
    } else if flags.contains(ReadFlags::MODIFY) {
        ChangeKind::Modified
    } else if flags.contains(ReadFlags::CLOSE_WRITE) {
        ChangeKind::Closed
    } else if flags.contains(ReadFlags::ATTRIB) {
        ChangeKind::Attributes
    } else if flags.intersects(ReadFlags::DELETE | ReadFlags::DELETE_SELF) {
        ChangeKind::Removed
    } else if flags.intersects(ReadFlags::MOVED_FROM | ReadFlags::MOVE_SELF) {
        ChangeKind::MovedFrom
    } else if flags.contains(ReadFlags::MOVED_TO) {
        ChangeKind::MovedTo
    } else {
        return None;
    };
    let mut path = paths.get(&event.wd()).cloned().unwrap_or_default();
    if let Some(name) = event.file_name() {
        path.push(OsStr::from_bytes(name.to_bytes()));
    }
    Some(Change { path, kind })
}

impl Stream for Watch {
    type Item = io::Result<Change>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(cx).map(Some)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch")
            .field(&self.paths.values().collect::<Vec<_>>())
            .finish()
    }
}
