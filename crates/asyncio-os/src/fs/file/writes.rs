//! Writes: a thread does them, and goes on with one that nobody waits for any more.

use std::io::{self, Seek};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::StepBack;
use futures_io::AsyncWrite;

use super::calls::{write_all, write_all_at};
use super::{File, UnderWay};
use crate::fs::on_thread::start;

/// The most that a thread writes at once.
const LONGEST_WRITE: usize = 4 * 1024 * 1024;

/// The largest buffer that is kept from one write to the next.
const LONGEST_SPARE: usize = 256 * 1024;

/// The outcome of a write.
pub(super) struct Written {
    pub(super) buffer: Vec<u8>,
    pub(super) bytes: usize,
    /// Where it ended, if the file only appends.
    pub(super) end: Option<u64>,
    pub(super) result: io::Result<()>,
}

impl File {
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
