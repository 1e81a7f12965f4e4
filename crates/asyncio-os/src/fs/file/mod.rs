//! An open file.
//!
//! A file with positions (a regular one) is read and written at a position of our own, and the
//! system's is not used. So a cancelled read has not moved it. Other files, such as terminals, have
//! no positions. There, the bytes of a cancelled read are kept for the next one.
//!
//! At most one operation of a file is on a thread. It is kept in the file, so the operation
//! outlives the future that began it, and the next one waits for it.

mod behind;
mod calls;
mod locks;
mod reads;
mod writes;

use std::cell::Cell;
use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::mem;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use asyncio_pool::Job;
use asyncio_task::StepBack;
use futures_io::AsyncSeek;

use super::error::FsError;
use super::on_thread::{flatten, joined, start};
use reads::Kept;
use writes::Writing;

/// An open file: aiofiles's, in the shape of [`std::fs::File`].
///
/// [`StreamReader`](asyncio_net::StreamReader) reads lines from it:
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; pub use asyncio_os::*; }
/// use asyncio::fs::File;
/// use asyncio::net::StreamReader;
///
/// # asyncio_loop::run(async {
/// let mut lines = StreamReader::new(File::open("Cargo.toml").await?);
/// let mut count = 0;
/// while let Some(_line) = lines.next_line().await? {
///     count += 1;
/// }
/// assert!(count > 10);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancelled writes
///
/// A write that a thread has begun goes on when its await is cancelled, and one that waits for a thread is still done.
/// [`unsettled`](Self::unsettled) is the number of bytes that may have been written. The next operation on the file
/// waits for the write, and [`settle`](Self::settle) returns the number that was written. A write that was [accepted
/// and not done](Self::write_behind) is treated in the same way.
///
/// Methods that take `&self` do not wait for such a write: [`read_at`](Self::read_at), [`write_at`](Self::write_at),
/// [`metadata`](Self::metadata), [`unlock`](Self::unlock). Settle it before.
///
/// # Dropping
///
/// Closes the file, after a write that is under way. [`close`](Self::close) returns its error.
pub struct File {
    inner: Arc<fs::File>,
    path: PathBuf,
    /// The position, if the file has positions.
    position: Option<u64>,
    append: bool,
    /// Whether the page cache may be asked.
    is_cached: bool,
    /// Where the last read ended.
    read_to: u64,
    /// The bytes that a cancelled read has read.
    kept: Kept,
    /// Whether the file was changed since those were read.
    is_kept_stale: Cell<bool>,
    under_way: UnderWay,
    /// The buffers of the last write, for the next one.
    spares: [Vec<u8>; 2],
    step_back: StepBack,
}

/// The work of a thread with the file.
enum UnderWay {
    Nothing,
    Read(Job<(Vec<u8>, io::Result<()>)>, u64),
    Write(Writing),
}

impl File {
    pub(in crate::fs) fn of(file: fs::File, path: PathBuf, append: bool) -> Self {
        // The file is open, so this waits for no disk.
        let has_positions = file.metadata().is_ok_and(|about| has_positions(&about));
        File {
            inner: Arc::new(file),
            path,
            position: has_positions.then_some(0),
            append,
            is_cached: has_positions,
            read_to: 0,
            kept: Kept::default(),
            is_kept_stale: Cell::new(false),
            under_way: UnderWay::Nothing,
            spares: Default::default(),
            step_back: StepBack::new(),
        }
    }

    /// A stream that is shared with other processes: it is used at the system's position.
    #[cfg(unix)]
    pub(crate) fn sequential(file: fs::File, name: &str) -> Self {
        let mut file = Self::of(file, name.into(), false);
        file.position = None;
        file.is_cached = false;
        file
    }

    /// A file of the standard library, at its position. `path` is for errors. On Windows it must not be open for
    /// appending.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn from_std(mut file: fs::File, path: impl Into<PathBuf>) -> io::Result<Self> {
        let position = match has_positions(&file.metadata()?) {
            true => file.stream_position()?,
            false => 0,
        };
        let append = appends(&file);
        let mut file = Self::of(file, path.into(), append);
        file.position = file.position.map(|_| position);
        Ok(file)
    }

    /// The path by which the file was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The position of the next read or write. `None` for a file without positions, such as a
    /// terminal.
    #[must_use]
    #[doc(alias = "tell")]
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// Moves the position. Returns the new one.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: the position is where it was.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a position before the start. The system's error for a file without
    /// positions, and the error of a cancelled write.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.settled().await?;
        let Some(position) = self.position else {
            return self.with("seek in", move |mut file| file.seek(to)).await;
        };
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (position, by),
            SeekFrom::End(by) => (self.metadata().await?.len(), by),
        };
        self.move_by(base, by)
    }

    /// Sets the position.
    fn move_by(&mut self, base: u64, by: i64) -> io::Result<u64> {
        let moved = base
            .checked_add_signed(by)
            .filter(|to| i64::try_from(*to).is_ok());
        let moved =
            moved.ok_or_else(|| self.name("seek in", io::ErrorKind::InvalidInput.into()))?;
        self.position = Some(moved);
        Ok(moved)
    }

    /// Waits until the contents and the metadata are on the disk.
    ///
    /// # Cancellation
    ///
    /// The disk may have them.
    ///
    /// # Errors
    ///
    /// The system's error with the path, and the error of a cancelled write.
    #[doc(alias = "fsync")]
    pub async fn sync_all(&mut self) -> io::Result<()> {
        self.settled().await?;
        self.with("synchronize", |file| file.sync_all()).await
    }

    /// Waits until the contents are on the disk, with as much of the metadata as is needed to read
    /// them.
    ///
    /// # Cancellation
    ///
    /// The disk may have them.
    ///
    /// # Errors
    ///
    /// The system's error with the path, and the error of a cancelled write.
    #[doc(alias = "fdatasync")]
    pub async fn sync_data(&mut self) -> io::Result<()> {
        self.settled().await?;
        self.with("synchronize", |file| file.sync_data()).await
    }

    /// Cuts the file, or extends it with zeros. The position stays.
    ///
    /// # Cancellation
    ///
    /// The change may be made.
    ///
    /// # Errors
    ///
    /// The system's error with the path, and the error of a cancelled write.
    #[doc(alias = "truncate")]
    pub async fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.settled().await?;
        self.is_kept_stale.set(true);
        self.with("set the length of", move |file| file.set_len(length))
            .await
    }

    /// The metadata.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.with("look at", |file| file.metadata()).await
    }

    /// Sets the permissions.
    ///
    /// # Cancellation
    ///
    /// The change may be made.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.with("set the permissions of", move |file| {
            file.set_permissions(permissions)
        })
        .await
    }

    /// Closes the file on a thread, after a write that is under way.
    ///
    /// # Cancellation
    ///
    /// The file is closed all the same.
    ///
    /// # Errors
    ///
    /// The error of a cancelled write, with the path.
    pub async fn close(mut self) -> io::Result<()> {
        self.settled().await?;
        let inner = self.inner.clone();
        let path = self.path.clone();
        drop(self);
        let close = move || -> io::Result<()> {
            drop(inner);
            Ok(())
        };
        flatten(start(close)?.await).map_err(|error| FsError::name("close", &path, error))
    }

    /// Returns the file of the standard library, at this position.
    ///
    /// # Cancellation
    ///
    /// The file is closed.
    ///
    /// # Errors
    ///
    /// The error of a cancelled write, with the path. The system's error.
    pub async fn into_std(mut self) -> io::Result<fs::File> {
        self.settled().await?;
        let mut file = self.inner.try_clone()?;
        if let Some(position) = self.position {
            file.seek(SeekFrom::Start(position))?;
        }
        Ok(file)
    }

    /// Runs an operation on a thread.
    async fn with<T: Send + 'static>(
        &self,
        operation: &'static str,
        f: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = self.inner.clone();
        let outcome = start(move || f(&file))?.await;
        flatten(outcome).map_err(|error| self.name(operation, error))
    }

    async fn settled(&mut self) -> io::Result<usize> {
        StepBack::new().await;
        poll_fn(|cx| self.poll_settled(cx)).await
    }

    /// Waits for what is under way. Returns how many bytes were written.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.under_way {
            UnderWay::Nothing => Poll::Ready(Ok(0)),
            UnderWay::Read(job, at) => {
                let at = *at;
                let outcome = joined(ready!(Pin::new(job).poll(cx)));
                self.under_way = UnderWay::Nothing;
                // An error comes again with the next read.
                let (bytes, _) = outcome?;
                self.kept = Kept::new(bytes, at);
                Poll::Ready(Ok(0))
            }
            UnderWay::Write(writing) => {
                let outcome = joined(ready!(Pin::new(&mut writing.job).poll(cx)));
                let next = writing.behind.take_memory();
                self.under_way = UnderWay::Nothing;
                let written = outcome?;
                self.spares = [written.buffer, next];
                if let Some(position) = &mut self.position {
                    *position = written.end.unwrap_or(*position + written.bytes as u64);
                }
                let result = written.result.map_err(|error| self.name("write", error));
                Poll::Ready(result.map(|()| written.bytes))
            }
        }
    }

    fn name(&self, operation: &'static str, error: io::Error) -> io::Error {
        FsError::name(operation, &self.path, error)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        match mem::replace(&mut self.under_way, UnderWay::Nothing) {
            // It is done, though nobody waits for it.
            UnderWay::Write(writing) => writing.job.discard(),
            UnderWay::Read(..) | UnderWay::Nothing => {}
        }
    }
}

impl AsyncSeek for File {
    /// A position from the end is found by the metadata of the open file, on the loop's thread.
    fn poll_seek(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let this = self.get_mut();
        ready!(this.poll_settled(cx))?;
        let Some(position) = this.position else {
            let error = this.name("seek in", io::ErrorKind::NotSeekable.into());
            return Poll::Ready(Err(error));
        };
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (position, by),
            SeekFrom::End(by) => (this.inner.metadata()?.len(), by),
        };
        Poll::Ready(this.move_by(base, by))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

fn has_positions(about: &Metadata) -> bool {
    #[cfg(unix)]
    let is_block_device = std::os::unix::fs::FileTypeExt::is_block_device(&about.file_type());
    #[cfg(not(unix))]
    let is_block_device = false;
    about.is_file() || is_block_device
}

/// Whether all writes go to the end.
#[cfg(unix)]
pub(in crate::fs) fn appends(file: &fs::File) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl};

    fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND))
}

/// Nothing tells. [`OpenOptions`](super::OpenOptions) knows it.
#[cfg(not(unix))]
pub(in crate::fs) fn appends(_: &fs::File) -> bool {
    false
}
