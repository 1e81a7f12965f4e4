//! Reads of the system's streams into hyper's buffer, in place.
//!
//! hyper's buffer is uninitialised memory. Streams of this project can read into it without a copy.
//!
//! - **P1** A `&mut [u8]` that begins where the buffer begins, and is no longer, is the initialised beginning of the
//!   buffer. A stream gives it; [`fill`] checks both.
//! - **P2** `poll_read_uninit` of a stream writes bytes into its buffer, and nothing uninitialised.
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
        return Some(fill(cursor, |buf, take| {
            tcp.poll_read_uninit(cx, buf, take)
        }));
    }
    #[cfg(unix)]
    if let Some(unix) = stream.downcast_ref::<UnixStream>() {
        return Some(fill(cursor, |buf, take| {
            unix.poll_read_uninit(cx, buf, take)
        }));
    }
    None
}

/// Fills a part of the buffer by `read`, which is the `poll_read_uninit` of a stream.
#[inline]
fn fill(
    cursor: &mut ReadBufCursor<'_>,
    read: impl FnOnce(&mut [MaybeUninit<u8>], &mut dyn FnMut(&mut [u8])) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    // SAFETY: the buffer may not be made less initialised than it is, and `read` does not do that (P2).
    let buf = unsafe { cursor.as_mut() };
    let (start, most) = (buf.as_ptr(), buf.len());
    let mut filled = 0;
    let outcome = read(buf, &mut |bytes| {
        assert!(bytes.as_ptr() == start.cast() && bytes.len() <= most);
        filled = bytes.len();
    });
    ready!(outcome)?;
    // SAFETY: the next bytes of the cursor are initialised, as many as `filled` (P1).
    unsafe { cursor.advance(filled) };
    Poll::Ready(Ok(filled))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use hyper::rt::ReadBuf;

    use super::*;

    type Take<'t> = &'t mut dyn FnMut(&mut [u8]);

    /// The bytes that `read` leaves in a buffer of four bytes.
    fn filled(read: impl FnOnce(&mut [MaybeUninit<u8>], Take<'_>)) -> Vec<u8> {
        let mut memory = [MaybeUninit::uninit(); 4];
        let mut buf = ReadBuf::uninit(&mut memory);
        let outcome = fill(&mut buf.unfilled(), |memory, take| {
            read(memory, take);
            Poll::Ready(Ok(4)) // whatever it says
        });
        assert!(matches!(outcome, Poll::Ready(Ok(n)) if n == buf.filled().len()));
        buf.filled().to_vec()
    }

    // Proves P1, P2.
    #[test]
    fn only_bytes_that_were_shown_count() {
        assert_eq!(filled(|_, _| ()), b"");
        let two = filled(|memory, take| take(memory[..2].write_copy_of_slice(b"ab")));
        assert_eq!(two, b"ab");
        let elsewhere = || filled(|_, take| take(&mut [0; 2]));
        assert!(catch_unwind(AssertUnwindSafe(elsewhere)).is_err());
        let later = |memory: &mut [MaybeUninit<u8>], take: Take<'_>| {
            take(memory[1..3].write_copy_of_slice(b"bc"));
        };
        assert!(catch_unwind(AssertUnwindSafe(|| filled(later))).is_err());
    }
}
