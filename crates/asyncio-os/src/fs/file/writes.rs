//! Writes: a thread does them, and ends each that it has begun, also if nobody waits for it any more.

use std::future::poll_fn;
use std::io::{self, Seek};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use asyncio_pool::Job;
use asyncio_task::StepBack;
use futures_io::AsyncWrite;

use super::behind::{Behind, Taker};
use super::calls::{write_all, write_all_at};
use super::{File, UnderWay};
use crate::fs::on_thread::start;

/// The maximum number of bytes that are copied before a thread begins to write them.
const LONGEST_COPY: usize = 256 * 1024;

/// The largest buffer that is kept from one write to the next.
const LONGEST_SPARE: usize = 256 * 1024;

/// A write that a thread does, or has done.
pub(super) struct Writing {
    pub(super) job: Job<Written>,
    /// How many bytes the thread was given.
    bytes: usize,
    /// The buffer for more. It is closed if the thread takes no more.
    pub(super) behind: Arc<Behind>,
}

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
    /// One thread does all of it, and writes a part while the next one is copied. Many small writes are quicker by
    /// [`write_behind`](Self::write_behind), or through a buffer.
    ///
    /// # Cancellation
    ///
    /// A part may be written; see [Cancelled writes](Self#cancelled-writes).
    ///
    /// # Errors
    ///
    /// The system's error with the path, such as `StorageFull`. The position is behind the bytes that
    /// were written.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.settled().await?;
        self.write_behind(buf).await?;
        self.settled().await?;
        self.trim_spare();
        Ok(())
    }

    /// Writes all of `buf` at the position, and returns when it is accepted, that is, copied for the thread that
    /// writes. It waits only while more than 256 KiB wait for the thread.
    ///
    /// It is aiofiles's `write`, and that of [`AsyncWrite`]. Use it for many parts in a row, and
    /// [`settle`](Self::settle) or [`close`](Self::close) at the end:
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_os::*; }
    /// use asyncio::fs::{File, TempDir};
    ///
    /// # asyncio_loop::run(async {
    /// # let directory = TempDir::new().await?;
    /// # let path = directory.path().join("numbers");
    /// let mut file = File::create(path).await?;
    /// for n in 0..10_000 {
    ///     file.write_behind(format!("{n}\n").as_bytes()).await?;
    /// }
    /// file.settle().await?;
    /// assert_eq!(file.position(), Some(48_890));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// A part may be accepted, and is written then; see [Cancelled writes](Self#cancelled-writes).
    ///
    /// # Errors
    ///
    /// The error of an earlier write, with the path. That of this write comes with a later operation. Bytes that were
    /// accepted and not written are lost then: the position is behind those that were written.
    pub async fn write_behind(&mut self, mut buf: &[u8]) -> io::Result<()> {
        loop {
            let n = poll_fn(|cx| self.poll_write_behind(cx, buf)).await?;
            buf = &buf[n..];
            if buf.is_empty() {
                return Ok(());
            }
        }
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
        self.begin_write(buf, Arc::default(), None)?;
        self.settled().await?;
        let [buf, _] = mem::take(&mut self.spares);
        Ok(buf)
    }

    /// Writes all of `buf` at `offset`. The position stays. In a file that is opened for appending, Linux writes it at
    /// the end.
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

    /// The number of bytes that a cancelled write may have written, all or some of them.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        match self.under_way {
            UnderWay::Write(Writing { bytes, .. }) => bytes,
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

    /// Has a thread write a part of `buf`, or gives it to the one that writes. Returns the size of the part.
    fn poll_write_behind(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Pin::new(&mut StepBack::new()).poll(cx).map(|()| Ok(0));
        }
        ready!(Pin::new(&mut self.step_back).poll(cx));
        if let UnderWay::Write(writing) = &mut self.under_way
            && let Some(n) = ready!(writing.behind.poll_accept(cx, buf))
        {
            writing.bytes += n;
            self.step_back = StepBack::new();
            return Poll::Ready(Ok(n));
        }
        ready!(self.poll_settled(cx))?;
        self.step_back = StepBack::new();
        let now = &buf[..buf.len().min(LONGEST_COPY)];
        let [mut copy, next] = mem::take(&mut self.spares);
        copy.clear();
        copy.extend_from_slice(now);
        let (behind, taker) = Behind::open(next);
        self.begin_write(copy, behind, Some(taker))?;
        Poll::Ready(Ok(now.len()))
    }

    /// Gives up the memory of a long write.
    fn trim_spare(&mut self) {
        for spare in &mut self.spares {
            if spare.capacity() > LONGEST_SPARE {
                *spare = Vec::new();
            }
        }
    }

    /// Has a thread write, and then the bytes that it takes from `behind`. Nothing is under way.
    fn begin_write(
        &mut self,
        bytes: Vec<u8>,
        behind: Arc<Behind>,
        taker: Option<Taker>,
    ) -> io::Result<()> {
        let file = self.inner.clone();
        let length = bytes.len();
        let mut position = self.position.filter(|_| !self.append);
        let append = self.append;
        let write = move || {
            let mut buffer = bytes;
            let mut bytes = 0;
            let result = loop {
                let (written, result) = match position {
                    Some(position) => write_all_at(&file, &buffer, position),
                    None => write_all(&file, &buffer),
                };
                bytes += written;
                position = position.map(|position| position + written as u64);
                let mut takes_more = || taker.as_ref().is_some_and(|taker| taker.take(&mut buffer));
                if result.is_err() || !takes_more() {
                    break result;
                }
            };
            let end = append.then(|| (&*file).stream_position().ok()).flatten();
            Written {
                buffer,
                bytes,
                end,
                result,
            }
        };
        self.is_kept_stale.set(true);
        self.under_way = UnderWay::Write(Writing {
            job: start(write)?,
            bytes: length,
            behind,
        });
        Ok(())
    }
}

/// A write is [written behind](File::write_behind): its error comes with a later operation, so flush or close the file
/// at the end.
impl AsyncWrite for File {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_behind(cx, buf)
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
