//! The futures that read and write a stream.
//!
//! They are written by hand and kept small: the task of each idle connection holds one, and each
//! request takes two.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_reactor::{
    Direction, Reading, Registered, Source, Waiting, Writing, parts_of_one_call,
};

use super::calls::Calls;

/// A source of a byte stream.
pub(crate) trait StreamSource: Source + Calls {
    /// Whether a short read means that the receive buffer is empty. A read of a Unix socket also
    /// comes back short before bytes that carry descriptors or credentials.
    const SHORT_READ_MEANS_EMPTY: bool;
}

impl StreamSource for mio::net::TcpStream {
    const SHORT_READ_MEANS_EMPTY: bool = true;
}

#[cfg(unix)]
impl StreamSource for mio::net::UnixStream {
    const SHORT_READ_MEANS_EMPTY: bool = false;
}

pub(crate) struct Read<'s, 'b, S: Source> {
    pub(crate) waiting: Waiting<'s, S, Reading>,
    pub(crate) buf: &'b mut [u8],
}

pub(crate) struct ReadVectored<'s, 'b, 'c, S: Source> {
    pub(crate) waiting: Waiting<'s, S, Reading>,
    pub(crate) bufs: &'b mut [IoSliceMut<'c>],
}

pub(crate) struct ReadExact<'s, 'b, S: Source> {
    pub(crate) waiting: Waiting<'s, S, Reading>,
    /// The part of the buffer that is still to be filled.
    pub(crate) left: &'b mut [u8],
}

pub(crate) struct Write<'s, 'b, S: Source> {
    pub(crate) waiting: Waiting<'s, S, Writing>,
    pub(crate) buf: &'b [u8],
}

pub(crate) struct WriteAll<'s, 'b, S: Source> {
    pub(crate) waiting: Waiting<'s, S, Writing>,
    /// The bytes that are still to be written.
    pub(crate) left: &'b [u8],
}

impl<S: StreamSource> Future for Read<'_, '_, S> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_read(&mut this.waiting, cx, this.buf)
    }
}

impl<S: StreamSource> Future for ReadVectored<'_, '_, '_, S>
where
    for<'a> &'a S: io::Read,
{
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (parts, wanted) = parts_of_one_call(this.bufs);
        let bufs = &mut this.bufs[parts];
        poll_read_as(&mut this.waiting, cx, wanted, |mut stream| {
            stream.read_vectored(bufs)
        })
    }
}

impl<S: StreamSource> Future for ReadExact<'_, '_, S> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.left.is_empty() {
            return poll_read(&mut this.waiting, cx, &mut []).map_ok(|_| ());
        }
        while !this.left.is_empty() {
            match ready!(poll_read(&mut this.waiting, cx, this.left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                n => this.left = &mut mem::take(&mut this.left)[n..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: StreamSource> Future for Write<'_, '_, S> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_write(&mut this.waiting, cx, this.buf)
    }
}

impl<S: StreamSource> Future for WriteAll<'_, '_, S> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match poll_write(&mut this.waiting, cx, this.left) {
            // Usually the first write takes all bytes.
            Poll::Ready(Ok(n)) if n == this.left.len() => Poll::Ready(Ok(())),
            written => this.write_rest(cx, written),
        }
    }
}

impl<S: StreamSource> WriteAll<'_, '_, S> {
    /// Continues after a write that did not take all bytes.
    #[inline(never)]
    fn write_rest(
        &mut self,
        cx: &mut Context<'_>,
        mut written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        loop {
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.left = &self.left[n..],
            }
            if self.left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            written = poll_write(&mut self.waiting, cx, self.left);
        }
    }
}

#[inline]
fn poll_read<S: StreamSource>(
    waiting: &mut Waiting<'_, S, Reading>,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    poll_read_as(waiting, cx, buf.len(), |stream| stream.receive(buf))
}

/// Reads by calling `f`, which reads at most `wanted` bytes.
#[inline]
fn poll_read_as<S: StreamSource>(
    waiting: &mut Waiting<'_, S, Reading>,
    cx: &mut Context<'_>,
    wanted: usize,
    f: impl FnMut(&S) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    match S::SHORT_READ_MEANS_EMPTY || wanted == 0 {
        true => waiting.poll_transfer(cx, wanted, f),
        false => waiting.poll_io(cx, f),
    }
}

/// The total size up to which several parts are written as one.
const GATHERED: usize = 4 * 1024;

thread_local! {
    /// The buffer in which small parts are put together. It is taken while it is used.
    static TOGETHER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes several buffers in one call, `wanted` bytes in all. Small ones are copied together first: the system takes
/// one buffer faster than several, and the copy costs less than that.
#[inline]
pub(crate) fn write_parts<S: Calls>(
    mut stream: &S,
    bufs: &[IoSlice<'_>],
    wanted: usize,
) -> io::Result<usize>
where
    for<'a> &'a S: io::Write,
{
    if let [only] = bufs {
        return stream.send(only);
    }
    // While a thread ends, there may be no buffer any more.
    let together = match wanted <= GATHERED {
        true => TOGETHER.try_with(Cell::take).ok(),
        false => None,
    };
    let Some(mut together) = together else {
        return stream.write_vectored(bufs);
    };
    together.clear();
    bufs.iter().for_each(|buf| together.extend_from_slice(buf));
    let outcome = stream.send(&together);
    let _ = TOGETHER.try_with(|kept| kept.set(together));
    outcome
}

/// [`poll_read_as`], for code that polls the source.
pub(crate) fn poll_read_with<S: StreamSource>(
    io: &Registered<S>,
    cx: &mut Context<'_>,
    wanted: usize,
    f: impl FnMut(&S) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    match S::SHORT_READ_MEANS_EMPTY || wanted == 0 {
        true => io.poll_read_with(cx, wanted, f),
        false => io.poll_io(cx, Direction::Read, f),
    }
}

/// [`poll_read_as`], without waiting.
pub(crate) fn try_read_with<S: StreamSource>(
    io: &Registered<S>,
    wanted: usize,
    f: impl FnOnce(&S) -> io::Result<usize>,
) -> io::Result<usize> {
    match S::SHORT_READ_MEANS_EMPTY {
        true => io.try_transfer(Direction::Read, wanted, f),
        false if wanted == 0 => Ok(0),
        false => io.try_io(Direction::Read, f),
    }
}

#[inline(always)]
fn poll_write<S: StreamSource>(
    waiting: &mut Waiting<'_, S, Writing>,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    waiting.poll_transfer(cx, buf.len(), |stream| stream.send(buf))
}
