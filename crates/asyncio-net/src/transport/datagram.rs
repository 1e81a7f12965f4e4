//! Transports of datagrams.
//!
//! The rules of [`stream`](super::stream) on the stream and on callbacks hold here, too. The socket is never
//! taken: it is one of this crate, and runs no foreign code.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_loop::{NoRunningLoop, Sleep, SpawnOptions, try_spawn_with};

use super::driving::Driving;
use super::protocol::with_scratch;
use super::slot::{Slot, drop_quietly, report};
use crate::failure::Failure;
use crate::send_queue::WaterMarks;
use crate::udp::UdpSocket;
#[cfg(unix)]
use crate::unix::datagram::UnixDatagram;
use crate::waker_list::WakerList;

/// The number of datagrams that are received before other tasks run.
const DATAGRAMS_A_STEP: usize = 64;

/// The bytes by which a waiting datagram counts more, as in asyncio. So the water marks bound empty datagrams, too.
const OVERHEAD: usize = 8;

/// The pause before another attempt, where no event tells that there is room.
type Pause = Option<Pin<Box<Sleep>>>;

/// The callbacks of a datagram socket: asyncio's `DatagramProtocol`.
///
/// The loop calls them on its thread, one at a time, with the rules of [`Protocol`](crate::Protocol).
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{DatagramProtocol, DatagramTransport, UdpSocket, create_datagram_endpoint};
/// use std::net::SocketAddr;
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], from: SocketAddr) {
///         transport.sendto(data, from);
///     }
/// }
///
/// # asyncio_loop::run(async {
/// let transport = create_datagram_endpoint(|| Echo, UdpSocket::bind("127.0.0.1:0").await?)?;
/// let client = UdpSocket::connected(transport.get_ref().local_addr()?).await?;
/// client.send(b"hello").await?;
/// let mut buf = [0; 16];
/// assert_eq!(client.recv(&mut buf).await?, 5);
/// transport.close();
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub trait DatagramProtocol<S: DatagramSocket = UdpSocket>: Any {
    /// The transport is made. Nothing was received yet.
    fn connection_made(&mut self, transport: &DatagramTransport<S>) {
        let _ = transport;
    }

    /// A datagram was received.
    fn datagram_received(
        &mut self,
        transport: &DatagramTransport<S>,
        data: &[u8],
        from: <S as DatagramSocket>::Addr,
    );

    /// Sending or receiving a datagram has failed, for example because the peer has refused one. The transport stays
    /// open.
    fn error_received(&mut self, transport: &DatagramTransport<S>, error: &io::Error) {
        let _ = (transport, error);
    }

    /// The transport is closed, and this is the last call. There is an error if its loop has ended, or if a callback
    /// panicked.
    fn connection_lost(&mut self, transport: &DatagramTransport<S>, error: Option<&io::Error>) {
        let _ = (transport, error);
    }

    /// More bytes wait to be sent than the [high water mark](DatagramTransport::set_write_buffer_limits).
    fn pause_writing(&mut self, transport: &DatagramTransport<S>) {
        let _ = transport;
    }

    /// No more bytes wait to be sent than the low water mark.
    fn resume_writing(&mut self, transport: &DatagramTransport<S>) {
        let _ = transport;
    }
}

/// A socket that a [`DatagramTransport`] can be made over: a [`UdpSocket`] or a `UnixDatagram`.
pub trait DatagramSocket: sealed::Sealed<Addr = <Self as DatagramSocket>::Addr> + 'static {
    /// The type of its addresses.
    type Addr: 'static;
}

pub(crate) mod sealed {
    use super::{Context, Pause, Poll, io};

    pub trait Sealed {
        type Addr;

        /// The size of the largest datagram that is received whole.
        const MOST: usize;

        fn poll_receive(
            &self,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<(usize, Self::Addr)>>;

        /// Sends to an address, or to the connected peer. `pause` is kept from one call to the next. Without it nothing
        /// wakes `cx`.
        fn poll_transmit(
            &self,
            cx: &mut Context<'_>,
            datagram: &[u8],
            to: Option<&Self::Addr>,
            pause: Option<&mut Pause>,
        ) -> Poll<io::Result<usize>>;
    }
}

impl DatagramSocket for UdpSocket {
    type Addr = std::net::SocketAddr;
}

impl sealed::Sealed for UdpSocket {
    type Addr = std::net::SocketAddr;

    const MOST: usize = 64 * 1024;

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, Self::Addr)>> {
        self.poll_recv_from(cx, buf)
    }

    fn poll_transmit(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Self::Addr>,
        _pause: Option<&mut Pause>,
    ) -> Poll<io::Result<usize>> {
        match to {
            Some(to) => self.poll_send_to(cx, datagram, *to),
            None => self.poll_send(cx, datagram),
        }
    }
}

#[cfg(unix)]
impl DatagramSocket for UnixDatagram {
    type Addr = std::os::unix::net::SocketAddr;
}

#[cfg(unix)]
impl sealed::Sealed for UnixDatagram {
    type Addr = std::os::unix::net::SocketAddr;

    // More than a sender's buffer holds, unless that was enlarged.
    const MOST: usize = 256 * 1024;

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, Self::Addr)>> {
        self.poll_recv_from(cx, buf)
    }

    fn poll_transmit(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: Option<&Self::Addr>,
        pause: Option<&mut Pause>,
    ) -> Poll<io::Result<usize>> {
        match to {
            Some(to) => self.poll_send_to_addr(cx, datagram, to, pause),
            None => self.poll_send(cx, datagram),
        }
    }
}

/// Calls a protocol for a socket: asyncio's `create_datagram_endpoint`. The protocol's `connection_made` is called
/// before this returns.
///
/// The socket has the addresses and options: [`UdpSocket::bind`] is asyncio's `local_addr`, [`UdpSocket::connected`]
/// its `remote_addr`, [`UdpSocket::set_broadcast`] its `allow_broadcast`.
///
/// See [`DatagramProtocol`] for an example.
///
/// # Errors
///
/// No loop runs on this thread.
pub fn create_datagram_endpoint<S, P>(
    factory: impl FnOnce() -> P,
    socket: S,
) -> io::Result<DatagramTransport<S>>
where
    S: DatagramSocket,
    P: DatagramProtocol<S>,
{
    DatagramTransport::new(socket, factory())
}

/// A datagram socket that calls a [`DatagramProtocol`]: asyncio's `DatagramTransport`.
///
/// It is a handle that is cheap to clone. Dropping it does nothing, because the socket belongs to the loop until it is
/// closed. No method waits.
pub struct DatagramTransport<S: DatagramSocket = UdpSocket> {
    shared: Rc<Shared<S>>,
}

impl<S: DatagramSocket> Clone for DatagramTransport<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// Closed after the queue.
    Closing,
    /// The driver has to call `connection_lost`.
    Ending,
    /// `connection_lost` is called.
    Lost,
}

struct Shared<S: DatagramSocket> {
    socket: S,
    protocol: Slot<dyn DatagramProtocol<S>>,
    queue: RefCell<VecDeque<Waiting<S>>>,
    /// The size of the queue.
    size: Cell<usize>,
    marks: WaterMarks,
    told_paused: Cell<bool>,
    /// Errors that the protocol was not told yet.
    errors: RefCell<VecDeque<io::Error>>,
    stage: Cell<Stage>,
    failure: RefCell<Option<Rc<io::Error>>>,
    is_made: Cell<bool>,
    driver: Driving,
    waiting: WakerList,
}

/// A datagram that waits to be sent.
struct Waiting<S: DatagramSocket> {
    bytes: Box<[u8]>,
    to: Option<<S as DatagramSocket>::Addr>,
}

impl<S: DatagramSocket> DatagramTransport<S> {
    /// See [`create_datagram_endpoint`].
    ///
    /// # Errors
    ///
    /// No loop runs on this thread.
    pub fn new(socket: S, protocol: impl DatagramProtocol<S>) -> io::Result<Self> {
        let transport = Self {
            shared: Rc::new(Shared {
                socket,
                protocol: Slot::new(Box::new(protocol)),
                queue: RefCell::default(),
                size: Cell::new(0),
                marks: WaterMarks::default(),
                told_paused: Cell::new(false),
                errors: RefCell::default(),
                stage: Cell::new(Stage::Open),
                failure: RefCell::new(None),
                is_made: Cell::new(false),
                driver: Driving::default(),
                waiting: WakerList::default(),
            }),
        };
        let driver = Driver(transport.clone());
        let driving = async move {
            let mut pause = None;
            let driving = |cx: &mut Context<'_>| driver.poll_all(cx, &mut pause);
            let mut driving = driving;
            poll_fn(|cx| driver.shared.driver.step(cx, &mut driving)).await;
        };
        match try_spawn_with(SpawnOptions::callback(), driving) {
            Ok(task) => task.detach(),
            Err(refused) => return Err(io::Error::other(NoRunningLoop::from(refused))),
        }
        transport.shared.is_made.set(true);
        transport.call(|protocol, transport| protocol.connection_made(transport));
        Ok(transport)
    }

    /// Sends a datagram to an address, or keeps it to be sent. It never waits. An error reaches the protocol's
    /// `error_received`. Once the transport is closing, datagrams are dropped.
    pub fn sendto(&self, data: impl AsRef<[u8]>, to: <S as DatagramSocket>::Addr) {
        self.transmit(data.as_ref(), Some(to));
    }

    /// Sends a datagram to the peer to which the socket is connected, as [`sendto`](Self::sendto) does.
    pub fn send(&self, data: impl AsRef<[u8]>) {
        self.transmit(data.as_ref(), None);
    }

    fn transmit(&self, data: &[u8], to: Option<<S as DatagramSocket>::Addr>) {
        let shared = &*self.shared;
        if shared.stage.get() != Stage::Open {
            return;
        }
        let was_empty = shared.queue.borrow().is_empty();
        if was_empty {
            let cx = &mut Context::from_waker(Waker::noop());
            let sent = shared.socket.poll_transmit(cx, data, to.as_ref(), None);
            match sent {
                Poll::Ready(Ok(_)) => return,
                Poll::Ready(Err(error)) => return self.tell(error),
                Poll::Pending => {}
            }
        }
        shared.queue.borrow_mut().push_back(Waiting {
            bytes: data.into(),
            to,
        });
        self.resize(shared.size.get() + data.len() + OVERHEAD);
        if was_empty {
            shared.driver.wake();
        }
        self.settle();
    }

    fn resize(&self, size: usize) {
        self.shared.size.set(size);
        self.shared.marks.look_at(size);
    }

    /// Tells the protocol of an error.
    fn tell(&self, error: io::Error) {
        self.shared.errors.borrow_mut().push_back(error);
        self.settle();
    }

    /// The socket, for its options and addresses.
    #[must_use]
    #[doc(alias = "get_extra_info")]
    pub fn get_ref(&self) -> &S {
        &self.shared.socket
    }

    /// Closes the transport: nothing more is received, and waiting datagrams are sent first, in the background. Closing
    /// twice does nothing. The socket itself is closed when the last handle is dropped, too.
    pub fn close(&self) {
        self.advance(Stage::Closing);
    }

    /// Closes the transport. Unsent datagrams are dropped. `connection_lost` is called soon, not by this method.
    pub fn abort(&self) {
        drop(self.shared.queue.take());
        self.shared.size.set(0);
        self.advance(Stage::Ending);
    }

    fn advance(&self, stage: Stage) {
        if self.shared.stage.get() < stage {
            self.shared.stage.set(stage);
            self.shared.driver.wake();
            self.settle();
        }
    }

    fn fail(&self, error: io::Error) {
        if self.shared.stage.get() < Stage::Ending {
            self.shared.failure.replace(Some(Rc::new(error)));
        }
        self.abort();
    }

    /// Whether the transport is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.stage.get() != Stage::Open
    }

    /// Waits until the protocol's `connection_lost` was called.
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
        let failure = shared.failure.borrow();
        let failure = failure.as_ref();
        failure.map_or(Ok(()), |error| Err(Failure::from(&**error).error()))
    }

    /// Sets the water marks, in bytes, as
    /// [`Transport::set_write_buffer_limits`](crate::Transport::set_write_buffer_limits) does. Each datagram counts as
    /// 8 bytes more.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    pub fn set_write_buffer_limits(&self, low: usize, high: usize) {
        self.shared.marks.set(low, high);
        self.shared.marks.look_at(self.shared.size.get());
        self.settle();
    }

    /// The water marks, low and high.
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.shared.marks.get()
    }

    /// The size of the waiting datagrams. Each counts as 8 bytes more.
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.shared.size.get()
    }

    /// Calls another protocol from now on, as [`Transport::set_protocol`](crate::Transport::set_protocol) does.
    pub fn set_protocol(&self, protocol: impl DatagramProtocol<S>) {
        self.shared.protocol.replace(Box::new(protocol));
    }

    /// Calls `f` with the protocol, as [`Transport::with_protocol`](crate::Transport::with_protocol) does.
    #[doc(alias = "get_protocol")]
    pub fn with_protocol<P: Any, R>(&self, f: impl FnOnce(&mut P) -> R) -> Option<R> {
        let lent = self.shared.protocol.lend(|protocol| {
            let protocol: &mut dyn Any = protocol;
            protocol.downcast_mut::<P>().map(f)
        });
        self.settle();
        match lent? {
            Ok(result) => result,
            // It is the caller's own.
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Calls a callback, and those that it has caused.
    fn call(&self, f: impl FnOnce(&mut dyn DatagramProtocol<S>, &Self)) {
        self.call_once(f);
        self.settle();
    }

    fn call_once(&self, f: impl FnOnce(&mut dyn DatagramProtocol<S>, &Self)) {
        if let Some(Err(payload)) = self.shared.protocol.lend(|protocol| f(protocol, self)) {
            report(
                "a callback of a protocol panicked; its transport ends",
                payload,
            );
            let shared = &*self.shared;
            if shared.stage.get() < Stage::Ending {
                let error = io::Error::other("a callback of the protocol panicked");
                shared.failure.replace(Some(Rc::new(error)));
                drop(shared.queue.take());
                shared.stage.set(Stage::Ending);
                shared.driver.wake();
            }
        }
    }

    /// Makes the callbacks that are due, once the protocol is not lent.
    fn settle(&self) {
        let shared = &self.shared;
        while shared.stage.get() < Stage::Ending && !shared.protocol.is_lent() {
            let error = shared.errors.borrow_mut().pop_front();
            if let Some(error) = error {
                self.call_once(|protocol, transport| protocol.error_received(transport, &error));
                continue;
            }
            let is_paused = shared.marks.is_paused();
            if shared.told_paused.replace(is_paused) == is_paused {
                break;
            }
            self.call_once(|protocol, transport| match is_paused {
                true => protocol.pause_writing(transport),
                false => protocol.resume_writing(transport),
            });
        }
        if shared.driver.is_gone() && shared.stage.get() == Stage::Ending {
            self.finish();
        }
    }

    /// Calls `connection_lost`. If the protocol is lent, it is called again when the protocol is back.
    fn finish(&self) {
        let shared = &*self.shared;
        if shared.stage.get() == Stage::Lost || shared.protocol.is_lent() {
            return;
        }
        shared.stage.set(Stage::Lost);
        let failure = shared.failure.borrow().clone();
        if shared.is_made.get() {
            self.call_once(|protocol, transport| {
                protocol.connection_lost(transport, failure.as_deref());
            });
        }
        drop_quietly(shared.protocol.remove());
        shared.waiting.wake_all();
    }
}

impl<S: DatagramSocket> fmt::Debug for DatagramTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("stage", &self.shared.stage.get())
            .field("buffered", &self.get_write_buffer_size())
            .finish()
    }
}

/// The future of the driver's task. If it is dropped before the end, its loop has closed.
struct Driver<S: DatagramSocket>(DatagramTransport<S>);

impl<S: DatagramSocket> Deref for Driver<S> {
    type Target = DatagramTransport<S>;

    fn deref(&self) -> &DatagramTransport<S> {
        &self.0
    }
}

impl<S: DatagramSocket> Drop for Driver<S> {
    fn drop(&mut self) {
        self.shared.driver.end();
        if self.shared.stage.get() < Stage::Ending {
            let message = "the event loop ended before the transport was closed";
            self.fail(io::Error::new(io::ErrorKind::NotConnected, message));
        }
        self.finish();
    }
}

impl<S: DatagramSocket> Driver<S> {
    /// Receives and sends until both have to wait. Ready when the transport is closed.
    fn poll_all(&self, cx: &mut Context<'_>, pause: &mut Pause) -> Poll<()> {
        let shared = &*self.shared;
        let mut received = 0;
        loop {
            let has_more = shared.stage.get() == Stage::Open && self.poll_receive(cx).is_ready();
            received += usize::from(has_more);
            let is_sent = self.poll_send(cx, pause).is_ready();
            let stage = shared.stage.get();
            if stage >= Stage::Ending || (stage == Stage::Closing && is_sent) {
                self.advance(Stage::Ending);
                self.finish();
                return Poll::Ready(());
            }
            if !shared.driver.take_woken() && !has_more {
                return Poll::Pending;
            }
            if received >= DATAGRAMS_A_STEP {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Receives a datagram.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<()> {
        with_scratch(S::MOST, |buf| {
            let outcome = self.shared.socket.poll_receive(cx, buf);
            outcome.map(|received| match received {
                Ok((n, from)) => self.call(|protocol, transport| {
                    protocol.datagram_received(transport, &buf[..n], from);
                }),
                Err(error) if error.raw_os_error().is_some() => self.tell(error),
                // The reactor's own: it will not get better.
                Err(error) => self.fail(error),
            })
        })
    }

    /// Sends waiting datagrams. Ready when none is left.
    fn poll_send(&self, cx: &mut Context<'_>, pause: &mut Pause) -> Poll<()> {
        let shared = &*self.shared;
        loop {
            let Some(next) = shared.queue.borrow_mut().pop_front() else {
                return Poll::Ready(());
            };
            let to = next.to.as_ref();
            match shared
                .socket
                .poll_transmit(cx, &next.bytes, to, Some(&mut *pause))
            {
                Poll::Pending => {
                    shared.queue.borrow_mut().push_front(next);
                    return Poll::Pending;
                }
                Poll::Ready(outcome) => {
                    self.resize(shared.size.get() - next.bytes.len() - OVERHEAD);
                    match outcome {
                        Ok(_) => self.settle(),
                        Err(error) => self.tell(error),
                    }
                }
            }
        }
    }
}
