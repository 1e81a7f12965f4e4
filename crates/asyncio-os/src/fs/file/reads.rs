//! Reads: from the page cache at once, or by a thread.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::StepBack;
use futures_io::AsyncRead;

use super::calls::{again_if_interrupted, read_at};
use super::{File, UnderWay};
use crate::fs::cached;
use crate::fs::on_thread::{flatten, joined, start};

/// The maximum number of bytes that a thread reads at once.
const LONGEST_READ: usize = 1024 * 1024;

/// The maximum number of bytes of one read on the loop's thread: the copy takes some 20 µs.
const LONGEST_INLINE: usize = 128 * 1024;

/// How much of a file that is read in sequence the system is told to read ahead.
const AHEAD: u64 = 2 * 1024 * 1024;

/// Bytes that no caller has received.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// How many of them were received.
    taken: usize,
    /// The position of the first byte that was not.
    at: u64,
}

impl File {
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
        loop {
            match self.read(&mut buf[filled..]).await? {
                0 if filled < buf.len() => {
                    return Err(self.name("read", io::ErrorKind::UnexpectedEof.into()));
                }
                n => filled += n,
            }
            if filled == buf.len() {
                return Ok(());
            }
        }
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
        loop {
            match self.read_at(buf, offset).await? {
                0 if !buf.is_empty() => {
                    return Err(self.name("read", io::ErrorKind::UnexpectedEof.into()));
                }
                n => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
            }
            if buf.is_empty() {
                return Ok(());
            }
        }
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Pin::new(&mut StepBack::new()).poll(cx).map(|()| Ok(0));
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
                    return Poll::Ready(Ok(0));
                }
                self.kept = Kept::new(bytes, at);
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
}

impl Kept {
    pub(super) fn new(bytes: Vec<u8>, at: u64) -> Self {
        Kept {
            bytes,
            taken: 0,
            at,
        }
    }

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

impl AsyncRead for File {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_read_bytes(cx, buf)
    }
}
