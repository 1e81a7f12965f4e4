//! An open file.
//!
//! A file with positions (a regular one) is read and written at a position of our own, and the
//! system's is not used. So a cancelled read has not moved it. Other files, such as terminals, have
//! no positions. There, the bytes of a cancelled read are kept for the next one.
//!
//! At most one operation of a file is on a thread. It is kept in the file, so the operation
//! outlives the future that began it, and the next one waits for it.

use std::cell::Cell;
use std::fmt;
use std::fs::{self, Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_pool::Job;
use asyncio_task::StepBack;
use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::cached;
use super::error::FsError;
use super::on_thread::{flatten, joined, start};

/// The most that a thread reads at once.
const LONGEST_READ: usize = 1024 * 1024;

/// The most that is read on the loop's thread at once: the copy takes some 20 µs.
const LONGEST_INLINE: usize = 128 * 1024;

/// The most that a thread writes at once.
const LONGEST_WRITE: usize = 4 * 1024 * 1024;

/// The largest buffer that is kept from one write to the next.
const LONGEST_SPARE: usize = 256 * 1024;

/// How much of a file that is read in sequence the system is told to read ahead.
const AHEAD: u64 = 2 * 1024 * 1024;

/// The pauses between two tries to lock: the first, and the maximum.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// An open file: aiofiles's, in the shape of [`std::fs::File`].
///
/// [`StreamReader`](asyncio_net::StreamReader) reads lines from it:
///
/// ```
/// use asyncio_net::StreamReader;
/// use asyncio_os::fs::File;
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
/// A write that a thread has begun goes on when its await is cancelled, and one that waits for a
/// thread is still done. [`unsettled`](Self::unsettled) is how much may have been written. The next operation on
/// the file waits for it, and [`settle`](Self::settle) tells how much it was.
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
    /// The buffer of the last write, for the next one.
    spare: Vec<u8>,
    step_back: StepBack,
}

/// Bytes that no caller has received.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How many of them were received.
    taken: usize,
    /// The position of the first byte that was not.
    at: u64,
}

/// The work of a thread with the file.
enum UnderWay {
    Nothing,
    Read(Job<(Vec<u8>, io::Result<()>)>, u64),
    Write(Job<Written>, usize),
}

/// The outcome of a write.
struct Written {
    buffer: Vec<u8>,
    bytes: usize,
    /// Where it ended, if the file only appends.
    end: Option<u64>,
    result: io::Result<()>,
}

impl File {
    pub(super) fn of(file: fs::File, path: PathBuf, append: bool) -> Self {
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
            spare: Vec::new(),
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

    /// Reads up to the size of `buf` at the position. Zero means the end of the file (or `buf` is
    /// empty). It may be less than `buf` before the end, too: see [`read_exact`](Self::read_exact).
    ///
    /// # Cancellation
    ///
    /// Loses nothing: the position is where it was.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_bytes(cx, buf)).await
    }

    /// Fills `buf`.
    ///
    /// # Cancellation
    ///
    /// Loses the bytes that were read so far; the position is behind them.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends first. Otherwise the system's error with the path.
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(self.name("read", io::ErrorKind::UnexpectedEof.into())),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Reads to the end and appends the bytes to `buf`. Returns their number.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: the bytes that were read are in `buf`, and the position is behind them.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        let mut chunk = vec![0; LONGEST_INLINE];
        loop {
            match self.read(&mut chunk).await? {
                0 => return Ok(buf.len() - before),
                n => buf.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// Reads up to the size of `buf` at `offset`. The position stays. Zero means the end of the file (or `buf` is
    /// empty). It may be less than `buf` before the end, too: see [`read_exact_at`](Self::read_exact_at).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    #[doc(alias = "pread")]
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        StepBack::new().await;
        if buf.is_empty() {
            return Ok(0);
        }
        if self.is_cached {
            let length = buf.len().min(LONGEST_INLINE);
            if let Ok(n) = cached::read_at(&self.inner, &mut buf[..length], offset) {
                return Ok(n);
            }
        }
        let length = buf.len().min(LONGEST_READ);
        let file = self.inner.clone();
        let read = move || {
            let mut bytes = vec![0; length];
            let n = read_at(&file, &mut bytes, offset)?;
            bytes.truncate(n);
            Ok(bytes)
        };
        let bytes = flatten(start(read)?.await).map_err(|error| self.name("read", error))?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Fills `buf` from `offset` on. The position stays.
    ///
    /// # Cancellation
    ///
    /// Loses the bytes that were read so far.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends first. Otherwise the system's error with the path.
    pub async fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset).await? {
                0 => return Err(self.name("read", io::ErrorKind::UnexpectedEof.into())),
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at the position, to the system's cache. See [`sync_all`](Self::sync_all).
    ///
    /// A thread writes up to 4 MiB at once.
    ///
    /// # Cancellation
    ///
    /// A part may be written; see [Cancelled writes](Self#cancelled-writes).
    ///
    /// # Errors
    ///
    /// The system's error with the path, such as `StorageFull`. The position is behind the bytes that
    /// were written.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        self.settled().await?;
        while !buf.is_empty() {
            let (now, later) = buf.split_at(buf.len().min(LONGEST_WRITE));
            self.begin_write_of(now)?;
            self.settled().await?;
            buf = later;
        }
        self.trim_spare();
        Ok(())
    }

    /// Writes all of `buf` at the position, without a copy of it, and as one operation. Returns it.
    ///
    /// # Cancellation
    ///
    /// A part may be written; see [Cancelled writes](Self#cancelled-writes).
    ///
    /// # Errors
    ///
    /// Those of [`write_all`](Self::write_all).
    pub async fn write_owned(&mut self, buf: Vec<u8>) -> io::Result<Vec<u8>> {
        self.settled().await?;
        self.begin_write(buf)?;
        self.settled().await?;
        Ok(mem::take(&mut self.spare))
    }

    /// Writes all of `buf` at `offset`. The position stays.
    ///
    /// # Cancellation
    ///
    /// If the write has begun, it goes on. Otherwise nothing is written.
    ///
    /// # Errors
    ///
    /// Those of [`write_all`](Self::write_all). A part may be written then.
    #[doc(alias = "pwrite")]
    pub async fn write_at(&self, buf: impl Into<Vec<u8>>, offset: u64) -> io::Result<()> {
        let buf = buf.into();
        self.is_kept_stale.set(true);
        self.with("write", move |file| write_all_at(file, &buf, offset).1)
            .await
    }

    /// How many bytes a cancelled write may have written: all or some of these.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        match self.under_way {
            UnderWay::Write(_, bytes) => bytes,
            _ => 0,
        }
    }

    /// Waits for a cancelled write, and returns how many bytes it has written. The position is behind
    /// them.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The error of the write.
    pub async fn settle(&mut self) -> io::Result<usize> {
        self.settled().await
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
        poll_fn(|cx| self.poll_settled(cx)).await?;
        let Some(position) = self.position else {
            return self.with("seek in", move |mut file| file.seek(to)).await;
        };
        let (base, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::Current(by) => (position, by),
            SeekFrom::End(by) => (self.metadata().await?.len(), by),
        };
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
    /// They may be there.
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
    /// They may be there.
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
    /// It may be done.
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
    /// It may be done.
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

    /// Waits for the exclusive lock of the file. It keeps other programs out only if they lock, too.
    ///
    /// The system has no event for a lock, so it tries again after 1 ms at first, and at most 50 ms.
    /// The lock ends with [`unlock`](Self::unlock), or when the file is closed.
    ///
    /// # Cancellation
    ///
    /// Has not locked.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    #[doc(alias = "flock")]
    pub async fn lock(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock).await
    }

    /// Waits for a shared lock of the file: any number of programs may have one at once.
    ///
    /// # Cancellation
    ///
    /// Has not locked.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.lock_by(fs::File::try_lock_shared).await
    }

    /// Takes the exclusive lock, if it is free. `false` if it is not.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn try_lock(&self) -> io::Result<bool> {
        self.try_lock_by(fs::File::try_lock)
    }

    /// Takes a shared lock, if there is no exclusive one. `false` if there is.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn try_lock_shared(&self) -> io::Result<bool> {
        self.try_lock_by(fs::File::try_lock_shared)
    }

    /// Ends the lock.
    ///
    /// # Errors
    ///
    /// The system's error with the path.
    pub fn unlock(&self) -> io::Result<()> {
        self.inner
            .unlock()
            .map_err(|error| self.name("unlock", error))
    }

    async fn lock_by(&self, lock: fn(&fs::File) -> Result<(), fs::TryLockError>) -> io::Result<()> {
        let here = asyncio_loop::try_running_loop().map_err(io::Error::other)?;
        // Another program has the lock, so virtual time does not jump.
        let _outside = here.outside_work();
        let mut pause = MIN_PAUSE;
        while !self.try_lock_by(lock)? {
            asyncio_loop::sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
        Ok(())
    }

    fn try_lock_by(&self, lock: fn(&fs::File) -> Result<(), fs::TryLockError>) -> io::Result<bool> {
        match lock(&self.inner) {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(self.name("lock", error)),
        }
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

    fn name(&self, operation: &'static str, error: io::Error) -> io::Error {
        FsError::name(operation, &self.path, error)
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if let UnderWay::Write(..) = self.under_way {
                ready!(self.poll_settled(cx))?;
            }
            if let UnderWay::Read(job, at) = &mut self.under_way {
                let at = *at;
                let outcome = joined(ready!(Pin::new(job).poll(cx)));
                self.under_way = UnderWay::Nothing;
                let (bytes, result) = outcome?;
                if self.position.is_some() && self.is_kept_stale.get() {
                    self.is_kept_stale.set(false);
                    continue;
                }
                result.map_err(|error| self.name("read", error))?;
                if bytes.is_empty() {
                    // The end, for the position at which it was read.
                    if self.position.is_none_or(|position| position == at) {
                        return Poll::Ready(Ok(0));
                    }
                    continue;
                }
                self.kept = Kept {
                    bytes,
                    taken: 0,
                    at,
                };
            }
            if self.position.is_some() && self.is_kept_stale.replace(false) {
                self.kept = Kept::default();
            }
            if let Some(n) = self.kept.take(self.position, buf) {
                self.moved_by(n);
                return Poll::Ready(Ok(n));
            }
            ready!(Pin::new(&mut self.step_back).poll(cx));
            self.step_back = StepBack::new();
            if let (true, Some(position)) = (self.is_cached, self.position) {
                let length = buf.len().min(LONGEST_INLINE);
                match cached::read_at(&self.inner, &mut buf[..length], position) {
                    Ok(n) => {
                        self.moved_by(n);
                        return Poll::Ready(Ok(n));
                    }
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                        self.is_cached = false;
                    }
                    Err(_) => {}
                }
            }
            // The bytes that come are new.
            self.is_kept_stale.set(false);
            self.begin_read(buf.len().min(LONGEST_READ))?;
        }
    }

    fn moved_by(&mut self, n: usize) {
        if let Some(position) = &mut self.position {
            *position += n as u64;
            self.read_to = *position;
        }
    }

    /// Has a thread read.
    fn begin_read(&mut self, length: usize) -> io::Result<()> {
        let file = self.inner.clone();
        let position = self.position;
        let is_in_sequence = position.is_some_and(|position| position == self.read_to);
        let read = move || {
            let mut bytes = vec![0; length];
            let read = match position {
                Some(position) => read_at(&file, &mut bytes, position),
                None => again_if_interrupted(|| (&*file).read(&mut bytes)),
            };
            bytes.truncate(*read.as_ref().unwrap_or(&0));
            if let (true, Some(position)) = (is_in_sequence, position) {
                cached::will_need(&file, position + length as u64, AHEAD);
            }
            (bytes, read.map(drop))
        };
        self.under_way = UnderWay::Read(start(read)?, position.unwrap_or(0));
        Ok(())
    }

    /// Has a thread write a copy. Nothing is under way.
    fn begin_write_of(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut copy = mem::take(&mut self.spare);
        copy.clear();
        copy.extend_from_slice(bytes);
        self.begin_write(copy)
    }

    /// Gives up the memory of a long write.
    fn trim_spare(&mut self) {
        if self.spare.capacity() > LONGEST_SPARE {
            self.spare = Vec::new();
        }
    }

    /// Has a thread write. Nothing is under way.
    fn begin_write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let file = self.inner.clone();
        let length = bytes.len();
        let position = self.position.filter(|_| !self.append);
        let append = self.append;
        let write = move || {
            let (written, result) = match position {
                Some(position) => write_all_at(&file, &bytes, position),
                None => write_all(&file, &bytes),
            };
            let end = append.then(|| (&*file).stream_position().ok()).flatten();
            Written {
                buffer: bytes,
                bytes: written,
                end,
                result,
            }
        };
        self.is_kept_stale.set(true);
        self.under_way = UnderWay::Write(start(write)?, length);
        Ok(())
    }

    async fn settled(&mut self) -> io::Result<usize> {
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
                self.kept = Kept {
                    bytes,
                    taken: 0,
                    at,
                };
                Poll::Ready(Ok(0))
            }
            UnderWay::Write(job, _) => {
                let outcome = joined(ready!(Pin::new(job).poll(cx)));
                self.under_way = UnderWay::Nothing;
                let written = outcome?;
                self.spare = written.buffer;
                if let Some(position) = &mut self.position {
                    *position = written.end.unwrap_or(*position + written.bytes as u64);
                }
                let result = written.result.map_err(|error| self.name("write", error));
                Poll::Ready(result.map(|()| written.bytes))
            }
        }
    }
}

impl Kept {
    /// Moves bytes of the position to `buf`.
    fn take(&mut self, position: Option<u64>, buf: &mut [u8]) -> Option<usize> {
        if self.taken == self.bytes.len() {
            return None;
        }
        if position.is_some_and(|position| position != self.at) {
            // The position was moved elsewhere.
            *self = Kept::default();
            return None;
        }
        let left = &self.bytes[self.taken..];
        let n = left.len().min(buf.len());
        buf[..n].copy_from_slice(&left[..n]);
        self.taken += n;
        self.at += n as u64;
        Some(n)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        match mem::replace(&mut self.under_way, UnderWay::Nothing) {
            // It is done, though nobody waits for it.
            UnderWay::Write(job, _) => job.discard(),
            UnderWay::Read(..) | UnderWay::Nothing => {}
        }
    }
}

impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_bytes(cx, buf)
    }
}

/// A write is accepted as soon as the one before is done. Its error comes with the next operation, so
/// flush or close the file at the end.
impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_settled(cx))?;
        ready!(Pin::new(&mut this.step_back).poll(cx));
        this.step_back = StepBack::new();
        let now = &buf[..buf.len().min(LONGEST_WRITE)];
        if !now.is_empty() {
            this.begin_write_of(now)?;
        }
        Poll::Ready(Ok(now.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_settled(cx))?;
        this.trim_spare();
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
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
        let moved = base
            .checked_add_signed(by)
            .filter(|to| i64::try_from(*to).is_ok());
        let moved =
            moved.ok_or_else(|| this.name("seek in", io::ErrorKind::InvalidInput.into()))?;
        this.position = Some(moved);
        Poll::Ready(Ok(moved))
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
pub(super) fn appends(file: &fs::File) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl};

    fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND))
}

/// Nothing tells. [`OpenOptions`](super::OpenOptions) knows it.
#[cfg(not(unix))]
pub(super) fn appends(_: &fs::File) -> bool {
    false
}

fn again_if_interrupted<T>(mut f: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match f() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn read_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    again_if_interrupted(|| {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(file, buf, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(file, buf, offset);
    })
}

fn write_at(file: &fs::File, buf: &[u8], offset: u64) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::write_at(file, buf, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_write(file, buf, offset);
}

/// Writes until all is written or an error comes. Returns how much was written.
fn write_all_by(
    buf: &[u8],
    mut write: impl FnMut(&[u8], usize) -> io::Result<usize>,
) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < buf.len() {
        match again_if_interrupted(|| write(&buf[written..], written)) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn write_all_at(file: &fs::File, buf: &[u8], offset: u64) -> (usize, io::Result<()>) {
    write_all_by(buf, |left, written| {
        write_at(file, left, offset + written as u64)
    })
}

fn write_all(mut file: &fs::File, buf: &[u8]) -> (usize, io::Result<()>) {
    write_all_by(buf, |left, _| file.write(left))
}
