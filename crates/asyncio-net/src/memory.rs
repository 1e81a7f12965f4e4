//! Two streams that are connected in memory, for tests.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_io::{AsyncRead, AsyncWrite};

/// Creates two streams that are connected to each other in memory. Each direction holds up to `capacity` bytes; a
/// writer waits while it is full.
///
/// They belong to no reactor, so on virtual time a timeout beside them takes no real time.
///
/// ```
/// use std::time::Duration;
/// use asyncio_loop::{EventLoop, sleep};
/// use asyncio_net::memory_pair;
///
/// let mut event_loop = EventLoop::builder().virtual_time(true).build_loop()?;
/// event_loop.run_until_complete(async {
///     let (client, server) = memory_pair(1024);
///     asyncio_loop::spawn(async move {
///         sleep(Duration::from_secs(3600)).await; // no time at all
///         client.write_all(b"late").await
///     })
///     .detach();
///     let mut buf = [0; 8];
///     assert_eq!(server.read(&mut buf).await?, 4);
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
///
/// If `capacity` is 0.
#[must_use]
pub fn memory_pair(capacity: usize) -> (MemoryStream, MemoryStream) {
    assert!(
        capacity > 0,
        "a stream in memory must have room for at least 1 byte"
    );
    let (there, back) = (Pipe::new(capacity), Pipe::new(capacity));
    let one = MemoryStream {
        incoming: back.clone(),
        outgoing: there.clone(),
    };
    let other = MemoryStream {
        incoming: there,
        outgoing: back,
    };
    (one, other)
}

/// One end of a [`memory_pair`]. Dropping it closes both directions.
pub struct MemoryStream {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

/// One direction.
struct Pipe {
    state: RefCell<State>,
    capacity: usize,
}

struct State {
    bytes: VecDeque<u8>,
    /// The writer sends nothing more.
    is_closed: bool,
    /// The reader is gone.
    is_broken: bool,
    readers: Vec<Waker>,
    writers: Vec<Waker>,
}

impl Pipe {
    fn new(capacity: usize) -> Rc<Self> {
        let state = RefCell::new(State {
            bytes: VecDeque::new(),
            is_closed: false,
            is_broken: false,
            readers: Vec::new(),
            writers: Vec::new(),
        });
        Rc::new(Self { state, capacity })
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        // Cloned first: that runs foreign code.
        let waker = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if state.bytes.is_empty() && !state.is_closed && !buf.is_empty() {
            let known = keep(&mut state.readers, waker);
            drop(state);
            drop(known);
            return Poll::Pending;
        }
        let n = io::Read::read(&mut state.bytes, buf).unwrap_or(0);
        let writers = std::mem::take(&mut state.writers);
        drop(state);
        writers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let waker = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if state.is_broken || state.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(self.capacity - state.bytes.len());
        if n == 0 && !buf.is_empty() {
            let known = keep(&mut state.writers, waker);
            drop(state);
            drop(known);
            return Poll::Pending;
        }
        state.bytes.extend(&buf[..n]);
        let readers = std::mem::take(&mut state.readers);
        drop(state);
        readers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn close(&self, by_reader: bool) {
        let mut state = self.state.borrow_mut();
        match by_reader {
            true => state.is_broken = true,
            false => state.is_closed = true,
        }
        let wakers = [
            std::mem::take(&mut state.readers),
            std::mem::take(&mut state.writers),
        ];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// Keeps a waker, or gives it back if it is known.
fn keep(wakers: &mut Vec<Waker>, waker: Waker) -> Option<Waker> {
    if wakers.iter().any(|kept| kept.will_wake(&waker)) {
        return Some(waker);
    }
    wakers.push(waker);
    None
}

impl MemoryStream {
    /// Waits for bytes, and reads up to the size of `buf`. Zero is the end (or `buf` is empty).
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// None.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.incoming.poll_read(cx, buf))
    }

    /// Waits for room, and writes as much of `buf` as fits.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the other end is gone, or if this one was [shut down](Self::shutdown).
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        poll_fn(move |cx| self.outgoing.poll_write(cx, buf))
    }

    /// Writes all of `buf`.
    ///
    /// # Cancellation
    ///
    /// A part of `buf` may be written, and its size is lost.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.write(buf).await?;
            buf = &buf[n..];
        }
        Ok(())
    }

    /// Sends nothing more: the other end reads the end of the stream, and may continue to send.
    pub fn shutdown(&self) {
        self.outgoing.close(false);
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.close(false);
        self.incoming.close(true);
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.incoming.poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown();
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("unread", &self.incoming.state.borrow().bytes.len())
            .field(
                "unsent_room",
                &(self.outgoing.capacity - self.outgoing.state.borrow().bytes.len()),
            )
            .finish()
    }
}
