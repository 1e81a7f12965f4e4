//! The transport of a byte stream.
//!
//! A transport is shared by its protocol, by user code and by its *driver*, the task that reads and sends
//! ([`driver`](super::driver)). These invariants hold:
//!
//! - **T1** the stream and the protocol are taken out of their places while foreign code uses them, and no `RefCell` is
//!   borrowed meanwhile. So every method may be called at any time, also from a callback and from the stream's own
//!   code.
//! - **T2** `connection_lost` is called once, after `connection_made`, by the driver or by its drop. The protocol and
//!   the stream are dropped then, so a protocol that keeps its transport is no leak.
//! - **T3** the protocol was told of a pause as often as of its end, or once more.
//! - **T4** while bytes wait, the driver is woken when they can be sent.

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
use super::driving::Driving;
use super::kind::Kind;
use super::slot::{Slot, drop_quietly, report};
use crate::failure::Failure;
use crate::send_queue::{SendQueue, WaterMarks};
use crate::tcp::stream::TcpStream;
use crate::waker_list::WakerList;

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

/// How far the transport has been closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    /// The end is sent after the queue.
    EndRequested,
    /// The end is sent. The peer may continue to send.
    EndSent,
    /// Nothing more is received. The connection is closed after the queue.
    Closing,
    /// The driver has to call `connection_lost`.
    Failed,
    /// `connection_lost` is called.
    Lost,
}

/// The state that the handles of a transport and its driver share.
pub(super) struct Shared {
    /// Taken while it is used; gone once the connection is lost.
    pub(super) wire: Cell<Option<Box<dyn Wire>>>,
    pub(super) protocol: Slot<dyn Callbacks>,
    pub(super) queue: RefCell<SendQueue>,
    pub(super) marks: WaterMarks,
    /// Whether the last call to the protocol was `pause_writing`, and not `resume_writing`.
    told_paused: Cell<bool>,
    pub(super) stage: Cell<Stage>,
    pub(super) error: RefCell<Option<Rc<io::Error>>>,
    pub(super) is_reading_paused: Cell<bool>,
    /// The peer has sent its end.
    pub(super) is_at_end: Cell<bool>,
    /// The stream keeps a part of what it took.
    pub(super) needs_flush: Cell<bool>,
    is_made: Cell<bool>,
    pub(super) driver: Driving,
    /// The limit of closing, for streams that have one.
    pub(super) close_limit: Cell<Option<Duration>>,
    pub(super) closing: Cell<Option<Pin<Box<Sleep>>>>,
    /// Tasks that wait for the end, or for room.
    pub(super) waiting: WakerList,
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
                protocol: Slot::new(protocol),
                queue: RefCell::default(),
                marks: WaterMarks::default(),
                told_paused: Cell::new(false),
                stage: Cell::new(Stage::Open),
                error: RefCell::new(None),
                is_reading_paused: Cell::new(false),
                is_at_end: Cell::new(false),
                needs_flush: Cell::new(false),
                is_made: Cell::new(false),
                driver: Driving::default(),
                close_limit: Cell::new(setup.close_limit),
                closing: Cell::new(None),
                waiting: WakerList::default(),
                is_held: Cell::new(false),
                later: RefCell::default(),
                guest: Cell::new(setup.guest),
                kind: Cell::new(setup.kind),
            }),
        }
    }

    /// Calls `connection_made`.
    pub(super) fn begin(&self) {
        self.shared.is_made.set(true);
        self.call(Callbacks::made);
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
        match self.shared.stage.get() {
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
    /// the driver is woken when it is back (T4).
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
        match self.shared.stage.get() {
            Stage::Lost => drop(wire),
            _ => self.shared.wire.set(Some(wire)),
        }
        outcome
    }

    /// Keeps bytes to be sent by the driver.
    fn keep(&self, push: impl FnOnce(&mut SendQueue)) {
        let shared = &*self.shared;
        // The stream's own code may have ended it.
        if shared.stage.get() >= Stage::Failed {
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
        shared.marks.look_at(self.get_write_buffer_size());
        if was_empty {
            shared.driver.wake();
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
                self.shared.driver.wake();
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
        self.shared.queue.borrow_mut().clear();
        self.advance(Stage::Failed);
    }

    fn advance(&self, stage: Stage) {
        if self.shared.stage.get() < stage {
            self.shared.stage.set(stage);
            self.shared.driver.wake();
            self.settle();
        }
    }

    /// The connection has failed.
    pub(super) fn fail(&self, error: io::Error) {
        if self.shared.stage.get() < Stage::Failed {
            self.shared.error.replace(Some(Rc::new(error)));
        }
        self.abort();
    }

    /// Whether the transport is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.stage.get() >= Stage::Closing
    }

    /// Receives nothing more, until [`resume_reading`](Self::resume_reading). The peer's bytes stay in the system's
    /// buffers, and the peer waits when they are full. Pausing twice does nothing.
    pub fn pause_reading(&self) {
        self.shared.is_reading_paused.set(true);
    }

    /// Continues to receive.
    pub fn resume_reading(&self) {
        if self.shared.is_reading_paused.replace(false) {
            self.shared.driver.wake();
        }
    }

    /// Whether bytes are received: not while [paused](Self::pause_reading), and not after the end of the stream or
    /// [`close`](Self::close).
    #[must_use]
    pub fn is_reading(&self) -> bool {
        let shared = &self.shared;
        shared.stage.get() < Stage::Closing
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
        self.shared.marks.set(low, high);
        self.look_at_queue();
    }

    /// The water marks, low and high.
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.shared.marks.get()
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
        let is_drained = || match shared.stage.get() {
            Stage::Closing | Stage::Failed | Stage::Lost => {
                Some(Err(self.why_lost().unwrap_or_else(|| {
                    io::Error::new(io::ErrorKind::ConnectionReset, "the transport is closed")
                })))
            }
            _ => (!shared.marks.is_paused()).then_some(Ok(())),
        };
        shared.waiting.wait_until(is_drained).await
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
        let shared = &self.shared;
        let is_lost = || (shared.stage.get() == Stage::Lost).then_some(());
        shared.waiting.wait_until(is_lost).await;
        self.why_lost().map_or(Ok(()), Err)
    }

    fn why_lost(&self) -> Option<io::Error> {
        let error = self.shared.error.borrow();
        error.as_ref().map(|error| Failure::from(&**error).error())
    }

    /// Calls another protocol from now on; in a callback, after the callback. `connection_made` is not called. The old
    /// protocol is dropped, and `connection_lost` of the new one is called at the end.
    pub fn set_protocol(&self, protocol: impl AnyProtocol) {
        self.shared.protocol.replace(Box::new(protocol));
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
        let lent = self.shared.protocol.lend(|protocol| {
            let protocol = protocol.as_any().downcast_mut::<P>();
            protocol.map(f)
        });
        self.settle();
        match lent? {
            Ok(result) => result,
            // It is the caller's own.
            Err(payload) => resume_unwind(payload),
        }
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

    /// Calls a callback, and those that it has caused. `None` if the protocol is lent or gone, or if it panicked, which
    /// has ended the connection.
    pub(super) fn call<R>(&self, f: impl FnOnce(&mut dyn Callbacks, &Self) -> R) -> Option<R> {
        let outcome = self.call_once(f);
        self.settle();
        outcome
    }

    fn call_once<R>(&self, f: impl FnOnce(&mut dyn Callbacks, &Self) -> R) -> Option<R> {
        match self.shared.protocol.lend(|protocol| f(protocol, self))? {
            Ok(result) => Some(result),
            Err(payload) => {
                report(
                    "a callback of a protocol panicked; its connection ends",
                    payload,
                );
                let error = io::Error::other("a callback of the protocol panicked");
                if self.shared.stage.get() < Stage::Failed {
                    self.shared.error.replace(Some(Rc::new(error)));
                    self.shared.queue.borrow_mut().clear();
                    self.shared.stage.set(Stage::Failed);
                    self.shared.driver.wake();
                }
                None
            }
        }
    }

    /// Makes the callbacks that are due, once the protocol is not lent.
    #[inline]
    fn settle(&self) {
        let shared = &self.shared;
        if shared.told_paused.get() != shared.marks.is_paused() || shared.driver.is_gone() {
            self.make_up();
        }
    }

    #[cold]
    fn make_up(&self) {
        let shared = &self.shared;
        while shared.stage.get() < Stage::Failed
            && shared.told_paused.get() != shared.marks.is_paused()
            && !shared.protocol.is_lent()
        {
            let is_paused = shared.marks.is_paused();
            shared.told_paused.set(is_paused);
            match is_paused {
                true => self.call_once(Callbacks::pause),
                false => self.call_once(Callbacks::resume),
            };
        }
        if shared.driver.is_gone() && shared.stage.get() == Stage::Failed {
            self.finish();
        }
    }

    /// Pauses or resumes the protocol and the tasks that drain, as the length of the queue says.
    pub(super) fn look_at_queue(&self) {
        let shared = &self.shared;
        // The holder waits for the end of the queue.
        let is_awaited = shared.is_held.get();
        if shared.marks.look_at(self.get_write_buffer_size()) || is_awaited {
            shared.waiting.wake_all();
        }
        self.settle();
    }

    /// Calls `connection_lost`, and drops the protocol and the stream (T2). If the protocol is lent, it is called again
    /// when the protocol is back.
    pub(super) fn finish(&self) {
        let shared = &*self.shared;
        if shared.stage.get() == Stage::Lost || shared.protocol.is_lent() {
            return;
        }
        shared.stage.set(Stage::Lost);
        shared.queue.borrow_mut().clear();
        let error = shared.error.borrow().clone();
        if shared.is_made.get() {
            self.call_once(|protocol, transport| protocol.lost(transport, error.as_deref()));
        }
        drop_quietly(shared.protocol.remove());
        drop_quietly(shared.wire.take());
        drop(shared.closing.take());
        drop(shared.guest.take());
        shared.waiting.wake_all();
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
            .field("stage", &self.shared.stage.get())
            .field("reading", &self.is_reading())
            .field("buffered", &self.get_write_buffer_size())
            .finish()
    }
}
