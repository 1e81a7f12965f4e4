//! The transport of a byte stream.
//!
//! A transport is shared by its protocol, by user code and by its *driver*, the task that reads and sends
//! ([`driver`](super::driver)). These invariants hold:
//!
//! - **T1** the stream and the protocol are taken out of their places while foreign code uses them, and no `RefCell` is
//!   borrowed meanwhile. So every method may be called at any time, also from a callback and from the stream's own
//!   code.
//! - **T2** the [`lifecycle`](super::lifecycle) calls the callbacks of its begin, its end and its pauses. The stream is
//!   dropped after `connection_lost`.
//! - **T3** while bytes wait, the driver is woken when they can be sent.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_loop::Sleep;
use futures_io::{AsyncRead, AsyncWrite};

use self::sealed::Callbacks;
use super::kind::Kind;
use super::lifecycle::{BaseTransport, Lifecycle, Stage};
use super::slot::drop_quietly;
use crate::send_queue::SendQueue;
use crate::tcp::stream::TcpStream;

/// A connection that calls a [`Protocol`](crate::Protocol): asyncio's `Transport`.
///
/// [`create_connection`](crate::create_connection) and [`create_server`](crate::create_server) make transports over
/// TCP, [`new`](Self::new) makes one over any byte stream. A `Transport` is a handle that is cheap to clone. Dropping
/// it does nothing, because the connection belongs to the loop until it is closed or lost. The methods that are not
/// `async` never wait for the peer, and do not fail when the peer does. An error of the connection reaches the
/// protocol's `connection_lost`.
pub struct Transport {
    pub(super) shared: Rc<Shared>,
}

impl Clone for Transport {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

/// A protocol for a [`Transport`]: a [`Protocol`](crate::Protocol), or a
/// [`BufferedProtocol`](crate::BufferedProtocol) in [`Buffered`](crate::Buffered).
pub trait AnyProtocol: sealed::Callbacks {}

pub(crate) mod sealed {
    use super::{Any, Poll, Transport, io};

    /// Reads into a buffer.
    pub(crate) type ReadInto<'a> = dyn FnMut(&mut [u8]) -> Poll<io::Result<usize>> + 'a;

    /// The callbacks that the transport calls.
    pub trait Callbacks: 'static {
        fn made(&mut self, transport: &Transport);
        /// Reads once, and passes the bytes on. 0 is the end.
        fn receive(
            &mut self,
            transport: &Transport,
            read: &mut ReadInto<'_>,
        ) -> Poll<io::Result<usize>>;
        fn eof(&mut self, transport: &Transport) -> bool;
        fn lost(&mut self, transport: &Transport, error: Option<&io::Error>);
        fn pause(&mut self, transport: &Transport);
        fn resume(&mut self, transport: &Transport);
        /// The protocol as its user knows it.
        fn as_any(&mut self) -> &mut dyn Any;
    }
}

/// A stream that a transport can be made over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Any {}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Wire for S {}

/// The state that the handles of a transport and its driver share.
pub(super) struct Shared {
    /// Taken while it is used; gone once the connection is lost.
    pub(super) wire: Cell<Option<Box<dyn Wire>>>,
    pub(super) life: Lifecycle<dyn Callbacks>,
    pub(super) queue: RefCell<SendQueue>,
    pub(super) is_reading_paused: Cell<bool>,
    /// The peer has sent its end.
    pub(super) is_at_end: Cell<bool>,
    /// The stream keeps a part of what it took.
    pub(super) needs_flush: Cell<bool>,
    /// The limit of closing, for streams that have one.
    pub(super) close_limit: Cell<Option<Duration>>,
    pub(super) closing: Cell<Option<Pin<Box<Sleep>>>>,
    /// Other code uses the stream. Nothing is received, and written bytes wait.
    pub(super) is_held: Cell<bool>,
    /// The bytes that were written since then.
    pub(super) later: RefCell<SendQueue>,
    /// Dropped when the connection is lost.
    guest: Cell<Option<Box<dyn Any>>>,
    pub(super) kind: Cell<&'static Kind>,
}

/// The settings of a new transport, besides its stream and its protocol.
pub(crate) struct Setup {
    /// The limit of closing, for streams that have one.
    pub(crate) close_limit: Option<Duration>,
    /// Dropped when the connection is lost.
    pub(crate) guest: Option<Box<dyn Any>>,
    pub(crate) kind: &'static Kind,
}

impl Transport {
    /// A transport whose driver is not there yet.
    pub(super) fn undriven(
        wire: Box<dyn Wire>,
        protocol: Box<dyn Callbacks>,
        setup: Setup,
    ) -> Self {
        Self {
            shared: Rc::new(Shared {
                wire: Cell::new(Some(wire)),
                life: Lifecycle::new(protocol),
                queue: RefCell::default(),
                is_reading_paused: Cell::new(false),
                is_at_end: Cell::new(false),
                needs_flush: Cell::new(false),
                close_limit: Cell::new(setup.close_limit),
                closing: Cell::new(None),
                is_held: Cell::new(false),
                later: RefCell::default(),
                guest: Cell::new(setup.guest),
                kind: Cell::new(setup.kind),
            }),
        }
    }

    /// Sends bytes, or keeps them to be sent. It never waits. Once the transport is closing or its connection is lost,
    /// the bytes are dropped.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.write_slice(bytes.as_ref());
    }

    fn write_slice(&self, mut bytes: &[u8]) {
        if bytes.is_empty() || !self.takes_bytes() {
            return;
        }
        if self.can_send_now() {
            let cx = &mut Context::from_waker(Waker::noop());
            match self.use_wire(|wire| wire.poll_write(cx, bytes)) {
                Poll::Ready(Ok(n)) if n == bytes.len() => return self.flush(),
                Poll::Ready(Ok(n)) => bytes = &bytes[n..],
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {}
            }
        }
        self.keep(|queue| queue.push(bytes));
    }

    /// [`write`](Self::write) for several pieces, which are sent together.
    ///
    /// # Panics
    ///
    /// After [`write_eof`](Self::write_eof).
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let pieces = Vec::from_iter(pieces);
        let slices = pieces.iter().map(|piece| IoSlice::new(piece.as_ref()));
        let mut slices = slices.collect::<Vec<_>>();
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, 0); // without the empty ones at the begin
        if slices.is_empty() || !self.takes_bytes() {
            return;
        }
        if self.can_send_now() {
            let cx = &mut Context::from_waker(Waker::noop());
            match self.use_wire(|wire| wire.poll_write_vectored(cx, slices)) {
                Poll::Ready(Ok(n)) => IoSlice::advance_slices(&mut slices, n),
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {}
            }
            if slices.is_empty() {
                return self.flush();
            }
        }
        self.keep(|queue| slices.iter().for_each(|slice| queue.push(slice)));
    }

    /// Whether bytes can still be written.
    fn takes_bytes(&self) -> bool {
        match self.shared.life.stage.get() {
            Stage::Open => true,
            Stage::EndRequested | Stage::EndSent => {
                panic!("`write` was called after `write_eof`, which has ended the stream")
            }
            Stage::Closing | Stage::Failed | Stage::Lost => false,
        }
    }

    fn can_send_now(&self) -> bool {
        self.shared.queue.borrow().is_empty() && !self.shared.is_held.get()
    }

    /// Uses the stream. It is put back afterwards, unless the connection was lost meanwhile. `Pending` if it is in use:
    /// the driver is woken when it is back (T3).
    pub(super) fn use_wire<T>(
        &self,
        f: impl FnOnce(Pin<&mut dyn Wire>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(mut wire) = self.shared.wire.take() else {
            return Poll::Pending;
        };
        let unless_panic = UsingWire(self);
        let outcome = f(Pin::new(&mut *wire));
        mem::forget(unless_panic);
        match self.shared.life.stage.get() {
            Stage::Lost => drop(wire),
            _ => self.shared.wire.set(Some(wire)),
        }
        outcome
    }

    /// Keeps bytes to be sent by the driver.
    fn keep(&self, push: impl FnOnce(&mut SendQueue)) {
        let shared = &*self.shared;
        // The stream's own code may have ended it.
        if shared.life.stage.get() >= Stage::Failed {
            return;
        }
        let was_empty = if shared.is_held.get() {
            push(&mut shared.later.borrow_mut());
            false
        } else {
            let mut queue = shared.queue.borrow_mut();
            let was_empty = queue.is_empty();
            push(&mut queue);
            was_empty
        };
        shared.life.marks.look_at(self.get_write_buffer_size());
        if was_empty {
            shared.life.driver.wake();
        }
        self.settle();
    }

    /// Has the stream send what it keeps.
    fn flush(&self) {
        if !self.shared.kind.get().keeps_bytes {
            return;
        }
        let cx = &mut Context::from_waker(Waker::noop());
        match self.use_wire(|wire| wire.poll_flush(cx)) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Pending => {
                self.shared.needs_flush.set(true);
                self.shared.life.driver.wake();
            }
        }
    }

    /// Sends the end of the stream after the written bytes: the peer reads an end, and may continue to send.
    pub fn write_eof(&self) {
        self.advance(Stage::EndRequested);
    }

    /// Closes the connection: nothing more is received, and the written bytes are sent first, in the background.
    /// Closing twice does nothing. A peer that does not read keeps the connection open. [`abort`](Self::abort) does not
    /// wait for the peer.
    pub fn close(&self) {
        self.advance(Stage::Closing);
    }

    /// Closes the connection. Unsent bytes are dropped. `connection_lost` is called soon, not by this method.
    pub fn abort(&self) {
        self.cut();
    }

    /// Whether the transport is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.life.stage.get() >= Stage::Closing
    }

    /// Receives nothing more, until [`resume_reading`](Self::resume_reading). The peer's bytes stay in the system's
    /// buffers, and the peer waits when they are full. Pausing twice does nothing.
    pub fn pause_reading(&self) {
        self.shared.is_reading_paused.set(true);
    }

    /// Continues to receive.
    pub fn resume_reading(&self) {
        if self.shared.is_reading_paused.replace(false) {
            self.shared.life.driver.wake();
        }
    }

    /// Whether bytes are received: not while [paused](Self::pause_reading), and not after the end of the stream or
    /// [`close`](Self::close).
    #[must_use]
    pub fn is_reading(&self) -> bool {
        let shared = &self.shared;
        shared.life.stage.get() < Stage::Closing
            && !shared.is_reading_paused.get()
            && !shared.is_at_end.get()
            && !shared.is_held.get()
    }

    /// Sets the water marks, in bytes. The protocol's `pause_writing` is called when more than `high` bytes wait to be
    /// sent, and `resume_writing` when no more than `low` do. The defaults are 16 KiB and 64 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    pub fn set_write_buffer_limits(&self, low: usize, high: usize) {
        self.shared.life.marks.set(low, high);
        self.look_at_queue();
    }

    /// The water marks, low and high.
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.shared.life.marks.get()
    }

    /// The number of bytes that wait to be sent.
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.shared.queue.borrow().len() + self.shared.later.borrow().len()
    }

    /// Waits while more bytes wait to be sent than the high water mark, until they have come down to the low one. It is
    /// for tasks that write. A protocol has `pause_writing`.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// `ConnectionReset` if the connection is lost or about to be closed.
    pub async fn drain(&self) -> io::Result<()> {
        let shared = &self.shared;
        let is_drained = || match shared.life.stage.get() {
            Stage::Closing | Stage::Failed | Stage::Lost => {
                Some(Err(shared.life.why_lost().unwrap_or_else(|| {
                    io::Error::new(io::ErrorKind::ConnectionReset, "the transport is closed")
                })))
            }
            _ => (!shared.life.marks.is_paused()).then_some(Ok(())),
        };
        shared.life.waiting.wait_until(is_drained).await
    }

    /// Waits until the connection is lost, and the protocol's `connection_lost` was called.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The error that `connection_lost` was given.
    pub async fn wait_closed(&self) -> io::Result<()> {
        self.shared.life.wait_lost().await
    }

    /// Calls another protocol from now on; in a callback, after the callback. `connection_made` is not called. The old
    /// protocol is dropped, and `connection_lost` of the new one is called at the end.
    pub fn set_protocol(&self, protocol: impl AnyProtocol) {
        self.shared.life.protocol.replace(Box::new(protocol));
    }

    /// Calls `f` with the protocol, if it is a `P`. `None` if it is not, if the connection is lost, or in a callback.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_net as net; }
    /// use asyncio::net::{Protocol, Transport, memory_pair};
    /// struct Counting(usize);
    ///
    /// impl Protocol for Counting {
    ///     fn data_received(&mut self, _: &Transport, data: &[u8]) {
    ///         self.0 += data.len();
    ///     }
    /// }
    ///
    /// # asyncio_loop::run(async {
    /// # let (ours, theirs) = memory_pair(1024);
    /// let transport = Transport::new(theirs, Counting(0))?;
    /// # ours.write_all(b"hello").await?;
    /// # asyncio_loop::yield_now().await;
    /// assert_eq!(transport.with_protocol(|counting: &mut Counting| counting.0), Some(5));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "get_protocol")]
    pub fn with_protocol<P: Any, R>(&self, f: impl FnOnce(&mut P) -> R) -> Option<R> {
        let downcast = |protocol: &mut dyn Callbacks| protocol.as_any().downcast_mut::<P>().map(f);
        self.lend(downcast)?
    }

    /// Calls `f` with the stream, if it is an `S`: for its options and addresses. `None` if it is not, if the
    /// connection is lost, or in the stream's own code. Bytes that `f` reads or writes are missing in this transport.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_net as net; }
    /// use asyncio::net::{Protocol, TcpStream, Transport, create_connection, create_server};
    /// # struct Quiet;
    /// # impl Protocol for Quiet {
    /// #     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    /// # }
    /// # asyncio_loop::run(async {
    /// # let server = create_server(|| Quiet, "127.0.0.1:0").await?;
    /// let transport = create_connection(|| Quiet, server.addresses()).await?;
    /// let nodelay = transport.with_stream(|stream: &TcpStream| stream.nodelay());
    /// assert!(nodelay.unwrap()?);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "get_extra_info")]
    pub fn with_stream<S: Any, R>(&self, f: impl FnOnce(&S) -> R) -> Option<R> {
        let mut result = None;
        let _ = self.use_wire(|wire| {
            let wire: &dyn Any = &*wire.get_mut();
            let stream = wire.downcast_ref::<S>();
            // A panic of `f` is the caller's own, and does not end the connection.
            result = stream.map(|stream| catch_unwind(AssertUnwindSafe(|| f(stream))));
            Poll::Ready(Ok(()))
        });
        match result? {
            Ok(result) => Some(result),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// The address of the peer, over TCP.
    ///
    /// # Errors
    ///
    /// The system's error, and `NotConnected` without a TCP connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.with_tcp(TcpStream::peer_addr)
    }

    /// The local address, over TCP.
    ///
    /// # Errors
    ///
    /// The system's error, and `NotConnected` without a TCP connection.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with_tcp(TcpStream::local_addr)
    }

    fn with_tcp<R>(&self, f: impl FnOnce(&TcpStream) -> io::Result<R>) -> io::Result<R> {
        let mut outcome = Err(io::ErrorKind::NotConnected.into());
        let find = self.shared.kind.get().find_tcp;
        let _ = self.use_wire(|wire| {
            if let Some(stream) = find(&*wire.get_mut()) {
                outcome = f(stream);
            }
            Poll::Ready(Ok(()))
        });
        outcome
    }

    /// Pauses or resumes the protocol and the tasks that drain, as the length of the queue says.
    pub(super) fn look_at_queue(&self) {
        let shared = &self.shared;
        // The holder waits for the end of the queue.
        let is_awaited = shared.is_held.get();
        if shared.life.marks.look_at(self.get_write_buffer_size()) || is_awaited {
            shared.life.waiting.wake_all();
        }
        self.settle();
    }
}

impl BaseTransport for Transport {
    type Protocol = dyn Callbacks;

    const PANICKED: &'static str = "a callback of a protocol panicked; its connection ends";

    fn lifecycle(&self) -> &Lifecycle<dyn Callbacks> {
        &self.shared.life
    }

    fn made(&self, protocol: &mut dyn Callbacks) {
        protocol.made(self);
    }

    fn lost(&self, protocol: &mut dyn Callbacks, error: Option<&io::Error>) {
        protocol.lost(self, error);
    }

    fn paused(&self, protocol: &mut dyn Callbacks) {
        protocol.pause(self);
    }

    fn resumed(&self, protocol: &mut dyn Callbacks) {
        protocol.resume(self);
    }

    fn drop_unsent(&self) {
        self.shared.queue.borrow_mut().clear();
    }

    fn drop_rest(&self) {
        drop_quietly(self.shared.wire.take());
        drop(self.shared.closing.take());
        drop(self.shared.guest.take());
    }
}

/// A use of the stream. Its drop says that the stream has panicked, and ends the connection: the stream is gone.
struct UsingWire<'a>(&'a Transport);

impl Drop for UsingWire<'_> {
    fn drop(&mut self) {
        // Wakers are foreign code, and a panic must not leave a destructor that runs because of a panic.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.0.fail(io::Error::other("the stream panicked"));
        }));
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("stage", &self.shared.life.stage.get())
            .field("reading", &self.is_reading())
            .field("buffered", &self.get_write_buffer_size())
            .finish()
    }
}
