//! Reads of the system's streams into hyper's buffer, in place.
//!
//! hyper's buffer is uninitialised memory. Streams of this project can read into it without a copy.
//!
//! - **P1** `poll_read_uninit` of a stream initialises the first bytes of its buffer, as many as it returns. It writes
//!   nothing uninitialised anywhere.
#![allow(unsafe_code)]

use std::any::Any;
use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use asyncio_net::TcpStream;
#[cfg(unix)]
use asyncio_net::UnixStream;
use hyper::rt::ReadBufCursor;

use crate::client::Stream;

/// Reads into hyper's buffer. `None` if the stream is another one than those that the module knows.
#[inline]
pub(crate) fn poll_read(
    stream: &dyn Any,
    cx: &mut Context<'_>,
    cursor: &mut ReadBufCursor<'_>,
) -> Option<Poll<io::Result<usize>>> {
    let tcp = stream.downcast_ref::<TcpStream>();
    let tcp = tcp.or_else(|| stream.downcast_ref().and_then(Stream::as_plain));
    if let Some(tcp) = tcp {
        return Some(fill(cursor, |buf| tcp.poll_read_uninit(cx, buf)));
    }
    #[cfg(unix)]
    if let Some(unix) = stream.downcast_ref::<UnixStream>() {
        return Some(fill(cursor, |buf| unix.poll_read_uninit(cx, buf)));
    }
    None
}

/// Fills a part of the buffer by `read`, which is the `poll_read_uninit` of a stream.
#[inline]
fn fill(
    cursor: &mut ReadBufCursor<'_>,
    read: impl FnOnce(&mut [MaybeUninit<u8>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    // SAFETY: the buffer may not be made less initialised than it is, and `read` does not do that (P1).
    let buf = unsafe { cursor.as_mut() };
    let n = ready!(read(buf))?;
    // SAFETY: the next `n` bytes of the cursor are initialised (P1).
    unsafe { cursor.advance(n) };
    Poll::Ready(Ok(n))
}
