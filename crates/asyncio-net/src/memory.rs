//! Two streams that are connected in memory, for tests.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_task::StepBack;
use futures_io::{AsyncRead, AsyncWrite};

use crate::waker_list::{WakerList, poll_step_back};

/// Creates two streams that are connected to each other in memory. Each direction holds up to `capacity` bytes; a
/// writer waits while it is full.
///
/// They wait for no system event. So on virtual time a time limit around them takes no real time.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; pub use asyncio_net as net; }
/// use asyncio::net::memory_pair;
/// use asyncio::{EventLoop, sleep};
/// use std::time::Duration;
///
/// let mut event_loop = EventLoop::builder().virtual_time(true).build_loop()?;
/// event_loop.run_until_complete(async {
///     let (client, server) = memory_pair(1024);
///     asyncio::spawn(async move {
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
        step_backs: Default::default(),
    };
    let other = MemoryStream {
        incoming: there,
        outgoing: back,
        step_backs: Default::default(),
    };
    (one, other)
}

/// One end of a [`memory_pair`]. Dropping it closes both directions.
pub struct MemoryStream {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
    /// The budgets of the polling reader and the polling writer.
    step_backs: [StepBack; 2],
}

/// One direction.
struct Pipe {
    state: RefCell<State>,
    readers: WakerList,
    writers: WakerList,
    capacity: usize,
}

struct State {
    bytes: VecDeque<u8>,
    /// The writer sends nothing more.
    is_closed: bool,
    /// The reader is gone.
    is_broken: bool,
}

impl Pipe {
    fn new(capacity: usize) -> Rc<Self> {
        let state = RefCell::new(State {
            bytes: VecDeque::new(),
            is_closed: false,
            is_broken: false,
        });
        Rc::new(Self {
            state,
            readers: WakerList::default(),
            writers: WakerList::default(),
            capacity,
        })
    }

    /// Reads the bytes that are there. `None` if it would have to wait.
    fn try_read(&self, buf: &mut [u8]) -> Option<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        if state.bytes.is_empty() && !state.is_closed && !buf.is_empty() {
            return None;
        }
        let read = io::Read::read(&mut state.bytes, buf);
        drop(state);
        self.writers.wake_all();
        Some(read)
    }

    /// Writes as much as fits. `None` if it would have to wait.
    fn try_write(&self, buf: &[u8]) -> Option<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        if state.is_broken || state.is_closed {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(self.capacity - state.bytes.len());
        if n == 0 && !buf.is_empty() {
            return None;
        }
        state.bytes.extend(&buf[..n]);
        drop(state);
        self.readers.wake_all();
        Some(Ok(n))
    }

    /// The writer sends nothing more.
    fn end(&self) {
        self.state.borrow_mut().is_closed = true;
        self.readers.wake_all();
    }

    /// The reader is gone.
    fn break_off(&self) {
        self.state.borrow_mut().is_broken = true;
        self.writers.wake_all();
    }
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
        let incoming = &self.incoming;
        incoming.readers.wait_until(move || incoming.try_read(buf))
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
        let outgoing = &self.outgoing;
        outgoing.writers.wait_until(move || outgoing.try_write(buf))
    }

    /// Writes all of `buf`.
    ///
    /// # Cancellation
    ///
    /// A part of `buf` may be written, and its size is lost.
    ///
    /// # Errors
    ///
    /// The errors of [`write`](Self::write).
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.write(buf).await?;
            buf = &buf[n..];
        }
        Ok(())
    }

    /// Sends nothing more: the other end reads the end of the stream, and may continue to send.
    pub fn shutdown(&self) {
        self.outgoing.end();
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.break_off();
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_step_back(&mut this.step_backs[0], cx));
        let incoming = &this.incoming;
        incoming
            .readers
            .poll_until(cx.waker(), || incoming.try_read(buf))
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_step_back(&mut this.step_backs[1], cx));
        let outgoing = &this.outgoing;
        outgoing
            .writers
            .poll_until(cx.waker(), || outgoing.try_write(buf))
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
