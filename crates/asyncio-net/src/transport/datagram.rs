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
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_loop::{NoRunningLoop, Sleep, SpawnOptions, try_spawn_with};

use super::lifecycle::{BaseTransport, Lifecycle, Stage};
use super::protocol::with_scratch;
use crate::udp::UdpSocket;
#[cfg(unix)]
use crate::unix::datagram::UnixDatagram;

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

struct Shared<S: DatagramSocket> {
    socket: S,
    life: Lifecycle<dyn DatagramProtocol<S>>,
    queue: RefCell<VecDeque<Waiting<S>>>,
    /// The size of the queue.
    size: Cell<usize>,
    /// Errors that the protocol was not told yet.
    errors: RefCell<VecDeque<io::Error>>,
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
                life: Lifecycle::new(Box::new(protocol)),
                queue: RefCell::default(),
                size: Cell::new(0),
                errors: RefCell::default(),
            }),
        };
        let driver = Driver(transport.clone());
        let driving = async move {
            let mut pause = None;
            let driving = |cx: &mut Context<'_>| driver.poll_all(cx, &mut pause);
            let mut driving = driving;
            poll_fn(|cx| driver.shared.life.driver.step(cx, &mut driving)).await;
        };
        match try_spawn_with(SpawnOptions::callback(), driving) {
            Ok(task) => task.detach(),
            Err(refused) => return Err(io::Error::other(NoRunningLoop::from(refused))),
        }
        transport.begin();
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
        if shared.life.stage.get() != Stage::Open {
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
            shared.life.driver.wake();
        }
        self.settle();
    }

    fn resize(&self, size: usize) {
        self.shared.size.set(size);
        self.shared.life.marks.look_at(size);
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
        self.cut();
    }

    /// Whether the transport is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.life.stage.get() != Stage::Open
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
        self.shared.life.wait_lost().await
    }

    /// Sets the water marks, in bytes, as
    /// [`Transport::set_write_buffer_limits`](crate::Transport::set_write_buffer_limits) does. Each datagram counts as
    /// 8 bytes more.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    pub fn set_write_buffer_limits(&self, low: usize, high: usize) {
        self.shared.life.marks.set(low, high);
        self.shared.life.marks.look_at(self.shared.size.get());
        self.settle();
    }

    /// The water marks, low and high.
    #[must_use]
    pub fn get_write_buffer_limits(&self) -> (usize, usize) {
        self.shared.life.marks.get()
    }

    /// The size of the waiting datagrams. Each counts as 8 bytes more.
    #[must_use]
    pub fn get_write_buffer_size(&self) -> usize {
        self.shared.size.get()
    }

    /// Calls another protocol from now on, as [`Transport::set_protocol`](crate::Transport::set_protocol) does.
    pub fn set_protocol(&self, protocol: impl DatagramProtocol<S>) {
        self.shared.life.protocol.replace(Box::new(protocol));
    }

    /// Calls `f` with the protocol, as [`Transport::with_protocol`](crate::Transport::with_protocol) does.
    #[doc(alias = "get_protocol")]
    pub fn with_protocol<P: Any, R>(&self, f: impl FnOnce(&mut P) -> R) -> Option<R> {
        let downcast = |protocol: &mut dyn DatagramProtocol<S>| {
            let protocol: &mut dyn Any = protocol;
            protocol.downcast_mut::<P>().map(f)
        };
        self.lend(downcast)?
    }
}

impl<S: DatagramSocket> BaseTransport for DatagramTransport<S> {
    type Protocol = dyn DatagramProtocol<S>;

    const PANICKED: &'static str = "a callback of a protocol panicked; its transport ends";

    fn lifecycle(&self) -> &Lifecycle<Self::Protocol> {
        &self.shared.life
    }

    fn made(&self, protocol: &mut Self::Protocol) {
        protocol.connection_made(self);
    }

    fn lost(&self, protocol: &mut Self::Protocol, error: Option<&io::Error>) {
        protocol.connection_lost(self, error);
    }

    fn paused(&self, protocol: &mut Self::Protocol) {
        protocol.pause_writing(self);
    }

    fn resumed(&self, protocol: &mut Self::Protocol) {
        protocol.resume_writing(self);
    }

    /// Whether the protocol was not told of an error yet.
    fn is_due(&self) -> bool {
        !self.shared.errors.borrow().is_empty()
    }

    fn call_due(&self) {
        let error = self.shared.errors.borrow_mut().pop_front();
        if let Some(error) = error {
            self.call_once(|protocol, transport| protocol.error_received(transport, &error));
        }
    }

    fn drop_unsent(&self) {
        drop(self.shared.queue.take());
        self.shared.size.set(0);
    }
}

impl<S: DatagramSocket> fmt::Debug for DatagramTransport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("stage", &self.shared.life.stage.get())
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
        self.driver_is_gone("the event loop ended before the transport was closed");
    }
}

impl<S: DatagramSocket> Driver<S> {
    /// Receives and sends until both have to wait. Ready when the transport is closed.
    fn poll_all(&self, cx: &mut Context<'_>, pause: &mut Pause) -> Poll<()> {
        let shared = &*self.shared;
        let mut received = 0;
        loop {
            let has_more =
                shared.life.stage.get() == Stage::Open && self.poll_receive(cx).is_ready();
            received += usize::from(has_more);
            let is_sent = self.poll_send(cx, pause).is_ready();
            let stage = shared.life.stage.get();
            if stage >= Stage::Failed || (stage == Stage::Closing && is_sent) {
                self.advance(Stage::Failed);
                self.finish();
                return Poll::Ready(());
            }
            if !shared.life.driver.take_woken() && !has_more {
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
                Ok((n, from)) => {
                    self.call(|protocol, transport| {
                        protocol.datagram_received(transport, &buf[..n], from);
                    });
                }
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
