//! Copying from one stream to another.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::StepBack;
use futures_io::{AsyncRead, AsyncWrite};

use crate::waker_list::poll_step_back;

/// The size of the buffer of one direction.
const BUFFER: usize = 16 * 1024;

/// Its size after a read that has filled the small one. Fewer system calls save a quarter of the processor time.
const LARGE: usize = 64 * 1024;

/// Copies all bytes from `reader` to `writer`, and flushes `writer` at the end of `reader`. Returns the number of
/// bytes.
///
/// `writer` is not closed. A slow writer makes the reader wait: at most 64 KiB are on the way.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{copy, memory_pair};
///
/// # asyncio_loop::run(async {
/// let (one, mut source) = memory_pair(64);
/// let (mut sink, other) = memory_pair(64);
/// one.write_all(b"hello").await?;
/// drop(one);
/// assert_eq!(copy(&mut source, &mut sink).await?, 5);
/// let mut buf = [0; 8];
/// assert_eq!(other.read(&mut buf).await?, 5);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// Loses bytes that were read and not written, up to 64 KiB.
///
/// # Errors
///
/// The error of the reader or of the writer.
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut direction = Direction::default();
    poll_fn(|cx| {
        ready!(direction.poll_copy(cx, Pin::new(reader), Pin::new(writer)))?;
        ready!(Pin::new(&mut *writer).poll_flush(cx))?;
        Poll::Ready(Ok(direction.copied))
    })
    .await
}

/// Copies between two streams in both directions until both have ended, as a proxy does. Returns the numbers of bytes
/// from `one` to `other` and back.
///
/// The end of one direction is passed on: the writing side of its target is closed, and the other direction goes on.
///
/// # Cancellation
///
/// Loses bytes that were read and not written, up to 64 KiB in each direction.
///
/// # Errors
///
/// The first error of any of the four sides. The other direction is given up then.
pub async fn copy_bidirectional<A, B>(one: &mut A, other: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let went = there.poll_to_the_end(cx, one, other)?;
        let came = back.poll_to_the_end(cx, other, one)?;
        ready!(went);
        ready!(came);
        Poll::Ready(Ok((there.copied, back.copied)))
    })
    .await
}

/// One direction, with the bytes on their way.
#[derive(Default)]
struct Direction {
    /// Made at the first read.
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    copied: u64,
    stage: Stage,
    step_back: StepBack,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Copying,
    /// The reader has ended. The writer is to be closed.
    Ended,
    Closed,
}

impl Direction {
    /// Copies until the reader ends.
    fn poll_copy<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        while self.stage == Stage::Copying {
            if self.begin == self.end {
                ready!(poll_step_back(&mut self.step_back, cx));
                self.make_room();
                match reader.as_mut().poll_read(cx, &mut self.buffer) {
                    Poll::Ready(Ok(0)) => self.stage = Stage::Ended,
                    Poll::Ready(Ok(n)) => (self.begin, self.end) = (0, n),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        (self.begin, self.end) = (0, 0);
                        if self.buffer.len() > BUFFER {
                            self.buffer = Vec::new(); // it may wait for long
                        }
                        // A writer with a buffer sends its rest while no more bytes come.
                        ready!(writer.poll_flush(cx))?;
                        return Poll::Pending;
                    }
                }
            } else {
                let rest = &self.buffer[self.begin..self.end];
                match ready!(writer.as_mut().poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    n => {
                        self.begin += n;
                        self.copied += n as u64;
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Makes a buffer, or a larger one if the last read has filled it.
    fn make_room(&mut self) {
        let size = match self.end {
            BUFFER.. => LARGE,
            _ => BUFFER,
        };
        if self.buffer.len() < size {
            self.buffer = vec![0; size];
        }
    }

    /// Copies until the reader ends, and then closes the writer.
    fn poll_to_the_end<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        ready!(self.poll_copy(cx, Pin::new(reader), Pin::new(writer)))?;
        if self.stage == Stage::Ended {
            ready!(Pin::new(writer).poll_close(cx))?;
            self.stage = Stage::Closed;
            self.buffer = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}
