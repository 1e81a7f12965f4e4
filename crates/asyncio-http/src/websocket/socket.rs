//! A websocket over a stream of the loop.
//!
//! tungstenite knows the protocol and does I/O by `std::io`, where a full or empty socket is `WouldBlock`. Reading may
//! have to write (a pong) and writing may complete what reading began. So one waker stands below the socket, and wakes
//! both the reader and the writer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use asyncio_executors::timeout;
use asyncio_loop::{Sleep, sleep};
use asyncio_sync::Lock;
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// The default limit of a message.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How long the end may take by default.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The number of pings that are read before their answers are sent. Without a limit, the answers to a peer that takes
/// none of them would fill the memory.
const MAX_PONGS: u32 = 64;

/// The number of reads in one poll. One read may bring a thousand frames that are no messages.
const MAX_READS: u32 = 16;

/// A stream below a websocket.
pub(super) trait Below: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Below for T {}

type Stopping = Pin<Box<dyn Future<Output = ()>>>;

/// A websocket. Its methods take `&self`, so one task may receive while others send, or close it. Tasks that receive at
/// the same time take turns in order of arrival.
///
/// A websocket answers pings by itself while a task receives. When its server is asked to stop, it sends a close frame
/// ("going away"), and [`recv`](Self::recv) ends when the peer has answered.
///
/// Dropping it closes the connection without a close frame. [`close`](Self::close) sends one. A peer has ten seconds to
/// answer a close frame, and a server as long to close the connection; [`set_close_timeout`](Self::set_close_timeout)
/// changes that. Then the connection is cut off.
///
/// # Panics
///
/// The calls on a websocket of a client panic while another loop than its own runs, or none.
pub struct WebSocket {
    inner: RefCell<tungstenite::WebSocket<Blocking>>,
    wakers: Arc<Wakers>,
    /// Held by a sender and by a receiver, so that others wait in order.
    sending: Lock<()>,
    receiving: Lock<()>,
    /// Ends when the server is asked to stop. `None` on a client, and after that.
    stopping: RefCell<Option<Stopping>>,
    role: Role,
    end: Cell<End>,
    close_timeout: Cell<Duration>,
    /// The limit of the end, once one side has sent a close frame.
    closing: Cell<Option<Pin<Box<Sleep>>>>,
    is_cut_off: Cell<bool>,
    /// The pings since the last time that all was sent.
    pings: Cell<u32>,
    /// Whether bytes wait that are no answer of tungstenite. Their sender may have been cancelled.
    is_unsent: Cell<bool>,
}

/// How far a websocket is on its way to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Messages may come.
    Open,
    /// The peer has said that no more come.
    Told,
    /// Both sides have said so. The server closes the connection first.
    Closing,
    /// The peer has not answered in time, which is an error for the next receiver.
    CutOff,
    Over,
}

/// The side of a websocket that waits.
#[derive(Clone, Copy)]
enum Side {
    Receiver,
    Sender,
}

impl WebSocket {
    pub(super) fn new(
        stream: impl Below + 'static,
        role: Role,
        max_message: usize,
        stopping: Option<Stopping>,
    ) -> Self {
        let wakers = Arc::<Wakers>::default();
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            // Each message is sent at once.
            .write_buffer_size(0)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let stream = Blocking {
            stream: Some(Box::new(stream)),
            waker: wakers.clone().into(),
            reads: 0,
        };
        Self {
            inner: RefCell::new(tungstenite::WebSocket::from_raw_socket(
                stream,
                role,
                Some(config),
            )),
            wakers,
            sending: Lock::new(()),
            receiving: Lock::new(()),
            stopping: RefCell::new(stopping),
            role,
            end: Cell::new(End::Open),
            close_timeout: Cell::new(CLOSE_TIMEOUT),
            closing: Cell::new(None),
            is_cut_off: Cell::new(false),
            pings: Cell::new(0),
            is_unsent: Cell::new(false),
        }
    }

    /// Sets how long the end may take, from the first close frame on; 10 seconds by default. An end that has begun
    /// keeps its limit.
    pub fn set_close_timeout(&self, limit: Duration) {
        self.close_timeout.set(limit);
    }

    /// Receives the next text or binary message. `None` when the websocket was closed by a close frame.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The connection breaks off, the peer violates the protocol, or a message is too large. Then the websocket is
    /// over. In the latter two cases the peer gets a close frame with the reason, if it takes a few more bytes. An
    /// error, too, if the peer does not answer a close frame of this side in time.
    pub async fn recv(&self) -> Result<Option<Message>, WebSocketError> {
        let _turn = self.receiving.lock().await;
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, WebSocketError>> {
        if self.is_stopping(cx) {
            let goodbye = CloseFrame {
                code: CloseCode::Away,
                reason: "the server stops".into(),
            };
            self.limit_end();
            // An error comes again below.
            let said = self.poll_with(Side::Receiver, cx, |socket| socket.close(Some(goodbye)));
            if said.is_pending() {
                self.is_unsent.set(true);
            }
        }
        if let Ok(mut socket) = self.inner.try_borrow_mut() {
            socket.get_mut().reads = 0;
        }
        if let Poll::Ready(received) = self.poll_message(cx) {
            return Poll::Ready(received);
        }
        ready!(self.poll_end(cx));
        self.cut_off();
        self.poll_message(cx)
    }

    fn poll_message(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, WebSocketError>> {
        loop {
            match self.end.get() {
                End::Over => {
                    drop(self.closing.take());
                    return Poll::Ready(Ok(None));
                }
                End::CutOff => {
                    self.end.set(End::Over);
                    return Poll::Ready(Err(unanswered()));
                }
                End::Closing => {
                    // It is over, whatever becomes of the connection.
                    let _ = ready!(self.poll_with(Side::Receiver, cx, |socket| {
                        let stream = socket.get_mut();
                        Ok(stream.poll(|stream, cx| stream.poll_close(cx))?)
                    }));
                    self.end.set(End::Over);
                    continue;
                }
                End::Open | End::Told => {}
            }
            // After the close frame of the peer, a read sends all that waits. It would not know of an answer that a
            // flush has put behind the rest of a message.
            if self.end.get() == End::Open && self.is_unsent.get() && self.sends_the_rest(cx) {
                continue;
            }
            let read = ready!(self.poll_with(Side::Receiver, cx, |socket| {
                if self.pings.get() >= MAX_PONGS {
                    socket.flush()?;
                    self.pings.set(0);
                }
                socket.read()
            }));
            match read {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    return Poll::Ready(Ok(Some(message)));
                }
                // The answers are tungstenite's.
                Ok(Message::Close(_)) => {
                    self.end.set(End::Told);
                    self.limit_end();
                }
                Ok(Message::Ping(_)) => self.pings.set(self.pings.get() + 1),
                Ok(_) | Err(tungstenite::Error::ConnectionClosed) => {}
                // Some servers close the connection without the goodbye of TLS.
                Err(tungstenite::Error::Io(_)) if self.end.get() == End::Told => {
                    self.end.set(End::Over);
                }
                Err(error) => {
                    if let Some(reason) = reason(&error) {
                        // The error is the one to tell, whatever becomes of this.
                        let _ =
                            self.poll_with(Side::Receiver, cx, |socket| socket.close(Some(reason)));
                    }
                    self.end.set(End::Over);
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// Continues a message that another task has begun. `false` while the peer takes nothing.
    fn sends_the_rest(&self, cx: &Context<'_>) -> bool {
        let flushed = self.poll_with(Side::Receiver, cx, tungstenite::WebSocket::flush);
        if flushed.is_ready() {
            // An error is one for the next sender.
            self.is_unsent.set(false);
            self.wakers.clone().wake();
        }
        flushed.is_ready()
    }

    /// Both sides have sent a close frame. The receiver closes the connection, whichever task has noticed.
    fn both_have_closed(&self) {
        if matches!(self.end.get(), End::Open | End::Told) {
            self.end.set(match self.role {
                Role::Server => End::Closing,
                Role::Client => End::Over,
            });
            self.wakers.clone().wake();
        }
    }

    /// The end has begun, and may take so long.
    fn limit_end(&self) {
        let closing = self.closing.take();
        let has_begun = closing.is_some();
        let limit = || Box::pin(sleep(self.close_timeout.get()));
        self.closing.set(Some(closing.unwrap_or_else(limit)));
        if !has_begun {
            // A receiver that waits already has to wait for the limit, too.
            self.wakers.clone().wake();
        }
    }

    /// Waits for the limit of the end.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut closing) = self.closing.take() else {
            return Poll::Pending;
        };
        let polled = closing.as_mut().poll(cx);
        self.closing.set(Some(closing));
        polled
    }

    /// Drops the connection. A peer that has not sent a close frame by now is an error, for a receiver and for
    /// [`close`](Self::close).
    fn cut_off(&self) {
        let stream = match self.inner.try_borrow_mut() {
            Ok(mut socket) => socket.get_mut().stream.take(),
            Err(_in_use) => None,
        };
        drop(stream);
        if self.end.get() == End::Open {
            self.is_cut_off.set(true);
            self.end.set(End::CutOff);
        } else {
            self.end.set(End::Over);
        }
        self.wakers.clone().wake();
    }

    /// Whether the server is asked to stop, for the first time.
    fn is_stopping(&self, cx: &mut Context<'_>) -> bool {
        let Some(mut stopping) = self.stopping.take() else {
            return false;
        };
        let is_stopping = stopping.as_mut().poll(cx).is_ready();
        if !is_stopping {
            self.stopping.replace(Some(stopping));
        }
        is_stopping
    }

    /// Sends a message, after those of other tasks that send already. Waits while the peer takes nothing.
    ///
    /// # Cancellation
    ///
    /// The message is sent whole or not at all. The next operation continues a message that was begun.
    ///
    /// # Errors
    ///
    /// The websocket is closed, or the connection breaks off.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        let _turn = self.sending.lock().await;
        self.flush().await?;
        let message = message.into();
        if message.is_close() {
            self.limit_end();
        }
        let mut message = Some(message);
        poll_fn(|cx| {
            self.poll_with(Side::Sender, cx, |socket| match message.take() {
                Some(message) => socket.send(message),
                None => socket.flush(),
            })
        })
        .await?;
        Ok(())
    }

    async fn flush(&self) -> Result<(), WebSocketError> {
        let flush =
            |cx: &mut Context<'_>| self.poll_with(Side::Sender, cx, tungstenite::WebSocket::flush);
        Ok(poll_fn(flush).await?)
    }

    /// Closes the websocket: sends a close frame, and waits for that of the peer. Messages that arrive meanwhile are
    /// dropped.
    ///
    /// # Cancellation
    ///
    /// The close frame may be sent.
    ///
    /// # Errors
    ///
    /// The connection breaks off first, or the peer does not answer within the
    /// [limit](Self::set_close_timeout). A websocket that is closed already is no error.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn close(&self) -> Result<(), WebSocketError> {
        self.close_with(CloseCode::Normal, "").await
    }

    /// Closes the websocket with a code and a reason.
    ///
    /// # Cancellation
    ///
    /// As [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// The errors of [`close`](Self::close).
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn close_with(&self, code: CloseCode, reason: &str) -> Result<(), WebSocketError> {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        if matches!(self.end.get(), End::CutOff | End::Over) {
            return Ok(());
        }
        match timeout(self.close_timeout.get(), self.say_goodbye(frame)).await {
            Ok(outcome) => outcome?,
            // Perhaps a message of another task is in the way of the close frame.
            Err(_timed_out) => self.cut_off(),
        }
        match self.is_cut_off.get() {
            true => Err(unanswered()),
            false => Ok(()),
        }
    }

    async fn say_goodbye(&self, frame: CloseFrame) -> Result<(), WebSocketError> {
        let mut frame = Some(frame);
        let turn = self.sending.lock().await;
        let closed = poll_fn(|cx| {
            self.poll_with(Side::Sender, cx, |socket| match frame.take() {
                Some(frame) => socket.close(Some(frame)),
                None => socket.flush(),
            })
        });
        self.limit_end();
        let closed = closed.await;
        drop(turn);
        match closed {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed) => {}
            Err(error) => return Err(error.into()),
        }
        while self.recv().await?.is_some() {}
        Ok(())
    }

    /// Calls `f`, and has `cx` woken when it is worth another try.
    fn poll_with<T>(
        &self,
        side: Side,
        cx: &Context<'_>,
        f: impl FnOnce(&mut tungstenite::WebSocket<Blocking>) -> tungstenite::Result<T>,
    ) -> Poll<tungstenite::Result<T>> {
        self.wakers.set(side, cx.waker());
        let Ok(mut socket) = self.inner.try_borrow_mut() else {
            let message = "a websocket is used by the stream below it";
            return Poll::Ready(Err(io::Error::other(message).into()));
        };
        match f(&mut socket) {
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Side::Sender = side {
                    self.is_unsent.set(true);
                }
                Poll::Pending
            }
            Err(tungstenite::Error::ConnectionClosed) => {
                drop(socket);
                self.both_have_closed();
                Poll::Ready(Err(tungstenite::Error::ConnectionClosed))
            }
            outcome => Poll::Ready(outcome),
        }
    }
}

/// The messages. It ends at the close and after the first error.
impl Stream for WebSocket {
    type Item = Result<Message, WebSocketError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Result::transpose)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

/// The error of an end that takes too long.
fn unanswered() -> WebSocketError {
    let message = "the peer of a websocket has not answered the close in time";
    let error = io::Error::new(io::ErrorKind::TimedOut, message);
    tungstenite::Error::from(error).into()
}

/// The code and the reason for a peer that has violated the protocol (RFC 6455, section 7.4.1).
fn reason(error: &tungstenite::Error) -> Option<CloseFrame> {
    use tungstenite::error::ProtocolError;

    let (code, reason) = match error {
        tungstenite::Error::Capacity(_) => (CloseCode::Size, "the message is too large"),
        tungstenite::Error::Utf8(_) => (CloseCode::Invalid, "the text is not UTF-8"),
        // The peer is gone.
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        tungstenite::Error::Protocol(_) => (CloseCode::Protocol, "the frame violates the protocol"),
        _ => return None,
    };
    let reason = reason.into();
    Some(CloseFrame { code, reason })
}

/// The tasks that wait for the stream of a websocket.
#[derive(Default)]
struct Wakers(Mutex<[Option<Waker>; 2]>);

impl Wakers {
    fn set(&self, side: Side, waker: &Waker) {
        // Cloned, woken and dropped outside of the lock: wakers run code of others.
        let mut waker = Some(waker.clone());
        {
            let mut both = self.0.lock().unwrap_or_else(|e| e.into_inner());
            std::mem::swap(&mut both[side as usize], &mut waker);
        }
        drop(waker);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        let both = std::mem::take(&mut *self.0.lock().unwrap_or_else(|e| e.into_inner()));
        both.into_iter().flatten().for_each(Waker::wake);
    }
}

/// A stream of the loop as `std::io` sees it: never blocking.
struct Blocking {
    /// `None` after it was cut off.
    stream: Option<Box<dyn Below>>,
    waker: Waker,
    /// The number of reads in this poll.
    reads: u32,
}

impl Blocking {
    fn poll<T>(
        &mut self,
        f: impl FnOnce(Pin<&mut dyn Below>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut cx = Context::from_waker(&self.waker);
        match f(Pin::new(&mut **stream), &mut cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Read for Blocking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.reads == MAX_READS {
            self.waker.wake_by_ref();
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.reads += 1;
        self.poll(|stream, cx| stream.poll_read(cx, buf))
    }
}

impl io::Write for Blocking {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.poll(|stream, cx| stream.poll_write(cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.poll(|stream, cx| stream.poll_flush(cx))
    }
}

/// The failure of a websocket.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WebSocketError(#[source] Box<tungstenite::Error>);

impl WebSocketError {
    /// Whether the websocket was closed before, by either side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        use tungstenite::Error::{AlreadyClosed, ConnectionClosed, Protocol};
        use tungstenite::error::ProtocolError::SendAfterClosing;
        matches!(
            *self.0,
            AlreadyClosed | ConnectionClosed | Protocol(SendAfterClosing)
        )
    }

    /// Whether the peer has not answered a close frame in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(&*self.0, tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
    }

    /// Whether a message was larger than the limit.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(*self.0, tungstenite::Error::Capacity(_))
    }
}

impl From<tungstenite::Error> for WebSocketError {
    fn from(error: tungstenite::Error) -> Self {
        Self(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::rc::Rc;
    use std::time::Duration;

    use asyncio_executors::timeout;
    use asyncio_loop::{EventLoop, spawn, time, yield_now};
    use asyncio_net::{MemoryStream, memory_pair};
    use asyncio_sync::Event;
    use tungstenite::protocol::{Message, Role};

    use super::{CLOSE_TIMEOUT, MAX_MESSAGE, WebSocket};

    /// A close frame of a client without a code.
    const CLOSE: &[u8] = b"\x88\x80\0\0\0\0";

    /// Runs a test on virtual time. Returns how long it took.
    fn run(test: impl Future<Output = ()> + 'static) -> Duration {
        let event_loop = EventLoop::builder().virtual_time(true).build_loop();
        let took = async {
            let start = time();
            test.await;
            time() - start
        };
        event_loop.unwrap().run_until_complete(took).unwrap()
    }

    fn socket(stream: MemoryStream, role: Role) -> Rc<WebSocket> {
        Rc::new(WebSocket::new(stream, role, MAX_MESSAGE, None))
    }

    /// A server's websocket, and the stream of its client.
    fn served(capacity: usize) -> (Rc<WebSocket>, MemoryStream) {
        let (ours, theirs) = memory_pair(capacity);
        (socket(ours, Role::Server), theirs)
    }

    /// Whether the stream of a peer ends.
    async fn ends(peer: &MemoryStream) -> bool {
        let mut buf = [0; 64];
        while matches!(peer.read(&mut buf).await, Ok(1..)) {}
        true
    }

    mod an_end {
        use super::*;

        #[test]
        fn that_the_peer_does_not_answer_has_a_limit() {
            for role in [Role::Server, Role::Client] {
                let took = run(async move {
                    let (ours, peer) = memory_pair(1024);
                    let socket = socket(ours, role);
                    let waiting = socket.clone();
                    let receiver = spawn(async move { waiting.recv().await });
                    assert!(socket.close().await.unwrap_err().is_timeout());
                    assert!(ends(&peer).await);
                    assert!(receiver.await.unwrap().unwrap_err().is_timeout());
                    assert_eq!(socket.recv().await.unwrap(), None);
                    assert!(socket.send("late").await.is_err());
                });
                assert_eq!(took, CLOSE_TIMEOUT);
            }
        }

        #[test]
        fn that_begins_with_a_message_has_a_limit_too() {
            let took = run(async {
                let (socket, peer) = served(1024);
                socket.send(Message::Close(None)).await.unwrap();
                let received = timeout(Duration::from_secs(60), socket.recv()).await;
                let error = received.expect("the end has a limit").unwrap_err();
                assert!(error.is_timeout());
                assert!(ends(&peer).await);
            });
            assert_eq!(took, CLOSE_TIMEOUT);
        }

        #[test]
        fn waits_no_longer_for_a_sender() {
            let took = run(async {
                let (socket, peer) = served(16);
                socket.set_close_timeout(Duration::from_secs(3));
                let sending = socket.clone();
                let sender = spawn(async move { sending.send("x".repeat(100)).await });
                yield_now().await;
                assert!(socket.close().await.unwrap_err().is_timeout());
                assert!(sender.await.unwrap().is_err());
                assert!(ends(&peer).await);
            });
            assert_eq!(took, Duration::from_secs(3));
        }

        #[test]
        fn goes_on_if_the_close_is_cancelled() {
            let took = run(async {
                let (socket, peer) = served(1024);
                let waiting = socket.clone();
                let receiver = spawn(async move { waiting.recv().await });
                yield_now().await;
                assert!(
                    timeout(Duration::from_secs(1), socket.close())
                        .await
                        .is_err()
                );
                assert!(receiver.await.unwrap().unwrap_err().is_timeout());
                assert!(ends(&peer).await);
            });
            assert_eq!(took, CLOSE_TIMEOUT);
        }

        #[test]
        fn of_a_server_that_does_not_close_has_a_limit() {
            let took = run(async {
                let (ours, server) = memory_pair(1024);
                let socket = socket(ours, Role::Client);
                server.write_all(b"\x88\0").await.unwrap();
                assert_eq!(socket.recv().await.unwrap(), None);
                assert!(ends(&server).await);
                socket.close().await.unwrap();
            });
            assert_eq!(took, CLOSE_TIMEOUT);
        }

        #[test]
        fn of_both_sides_at_once_is_in_order() {
            let took = run(async {
                let (one, two) = memory_pair(1024);
                let (server, client) = (socket(one, Role::Server), socket(two, Role::Client));
                let closing = client.clone();
                let client_side = spawn(async move { closing.close().await });
                server.close().await.unwrap();
                client_side.await.unwrap().unwrap();
                for socket in [server, client] {
                    assert_eq!(socket.recv().await.unwrap(), None);
                    socket.close().await.unwrap();
                    assert!(socket.send("late").await.unwrap_err().is_closed());
                }
            });
            assert_eq!(took, Duration::ZERO);
        }

        #[test]
        fn in_the_middle_of_a_message_waits_for_its_rest() {
            let took = run(async {
                let (socket, peer) = served(1024);
                peer.write_all(b"\x81\x82\0\0\0\0a").await.unwrap();
                let close = spawn(async move { socket.close().await });
                yield_now().await;
                peer.write_all(b"b").await.unwrap();
                peer.write_all(CLOSE).await.unwrap();
                close.await.unwrap().unwrap();
                assert!(ends(&peer).await);
            });
            assert_eq!(took, Duration::ZERO);
        }

        #[test]
        fn that_a_sender_notices_first_is_one_for_the_receiver() {
            let took = run(async {
                let (socket, peer) = served(200);
                // It stays in the way of the answer to the close frame.
                let message = socket.send("x".repeat(300));
                assert!(timeout(Duration::from_secs(1), message).await.is_err());
                let waiting = socket.clone();
                let receiver = spawn(async move { waiting.recv().await });
                peer.write_all(CLOSE).await.unwrap();
                yield_now().await;
                yield_now().await;
                assert_eq!(peer.read(&mut [0; 200]).await.unwrap(), 200);
                assert!(socket.send("late").await.unwrap_err().is_closed());
                assert_eq!(receiver.await.unwrap().unwrap(), None);
                assert!(ends(&peer).await);
            });
            assert_eq!(took, Duration::from_secs(1));
        }

        #[test]
        fn of_the_stream_in_the_middle_is_an_error() {
            for role in [Role::Server, Role::Client] {
                run(async move {
                    let (ours, peer) = memory_pair(1024);
                    let socket = socket(ours, role);
                    let closing = socket.clone();
                    let close = spawn(async move { closing.close().await });
                    yield_now().await;
                    drop(peer);
                    assert!(!close.await.unwrap().unwrap_err().is_timeout());
                    assert_eq!(socket.recv().await.unwrap(), None);
                });
            }
        }
    }

    mod a_message_that_was_begun {
        use super::*;

        /// As many bytes of the socket.
        async fn take(peer: &MemoryStream, number: usize) -> Vec<u8> {
            let mut taken = Vec::new();
            while taken.len() < number {
                let mut buf = [0; 64];
                let reading = timeout(Duration::from_secs(60), peer.read(&mut buf));
                let n = reading.await.expect("more bytes come").unwrap();
                assert!(n > 0, "the socket ends after {} bytes", taken.len());
                taken.extend_from_slice(&buf[..n]);
            }
            taken
        }

        /// A server's frame with this payload.
        fn frame(payload: &str) -> Vec<u8> {
            let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
            [b"\x81\x7e", &length[..], payload.as_bytes()].concat()
        }

        #[test]
        fn goes_on_while_a_task_receives() {
            let took = run(async {
                let (socket, peer) = served(200);
                let payload = "x".repeat(1000);
                let message = socket.send(payload.clone());
                assert!(timeout(Duration::from_secs(1), message).await.is_err());
                let receiver = spawn(async move { socket.recv().await });
                assert_eq!(take(&peer, 1004).await, frame(&payload));
                peer.write_all(b"\x81\x80\0\0\0\0").await.unwrap();
                assert_eq!(receiver.await.unwrap().unwrap(), Some(Message::text("")));
            });
            assert_eq!(took, Duration::from_secs(1));
        }

        #[test]
        fn is_no_obstacle_for_messages_of_the_peer() {
            let took = run(async {
                let (socket, peer) = served(200);
                let message = socket.send("x".repeat(1000));
                assert!(timeout(Duration::from_secs(1), message).await.is_err());
                peer.write_all(b"\x81\x80\0\0\0\0").await.unwrap();
                // The peer takes nothing.
                assert_eq!(socket.recv().await.unwrap(), Some(Message::text("")));
            });
            assert_eq!(took, Duration::from_secs(1));
        }

        #[test]
        fn comes_before_the_goodbye_of_a_server_that_stops() {
            run(async {
                let (ours, peer) = memory_pair(200);
                let stop = Rc::new(Event::new());
                let stopping = {
                    let stop = stop.clone();
                    Box::pin(async move { stop.wait().await })
                };
                let socket = WebSocket::new(ours, Role::Server, MAX_MESSAGE, Some(stopping));
                let payload = "x".repeat(1000);
                let message = socket.send(payload.clone());
                assert!(timeout(Duration::from_secs(1), message).await.is_err());
                stop.set();
                let receiver = spawn(async move { socket.recv().await });
                yield_now().await;
                let whole = take(&peer, 1006).await;
                assert_eq!(whole[..1004], frame(&payload));
                assert_eq!(whole[1004], 0x88);
                peer.write_all(CLOSE).await.unwrap();
                assert_eq!(receiver.await.unwrap().unwrap(), None);
            });
        }
    }

    mod pings {
        use super::*;

        #[test]
        fn of_a_peer_that_takes_no_answers_are_not_read() {
            run(async {
                let (socket, peer) = served(1024);
                let receiver = spawn(async move { socket.recv().await });
                let ping = [&b"\x89\xfd\0\0\0\0"[..], &[0; 125]].concat();
                let pings = ping.repeat(1_000);
                let flood = timeout(Duration::from_secs(1), peer.write_all(&pings)).await;
                assert!(flood.is_err(), "the answers would fill the memory");
                drop(peer);
                assert!(receiver.await.unwrap().is_err());
            });
        }

        #[test]
        fn during_the_end_are_skipped() {
            let took = run(async {
                let (socket, peer) = served(1024);
                let close = spawn(async move { socket.close().await });
                yield_now().await;
                peer.write_all(b"\x89\x80\0\0\0\0").await.unwrap();
                peer.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
                peer.write_all(CLOSE).await.unwrap();
                close.await.unwrap().unwrap();
                let mut all = Vec::new();
                let mut buf = [0; 64];
                while let Ok(n @ 1..) = peer.read(&mut buf).await {
                    all.extend_from_slice(&buf[..n]);
                }
                assert_eq!(
                    all, b"\x88\x02\x03\xe8",
                    "a close frame, and nothing behind it"
                );
            });
            assert_eq!(took, Duration::ZERO);
        }

        #[test]
        fn and_empty_parts_that_come_in_a_flood_let_other_tasks_run() {
            const FLOOD: usize = 200_000;
            let pong = b"\x8a\x80\0\0\0\0";
            let empty_part = b"\x00\x80\0\0\0\0";
            let first_part = b"\x01\x80\0\0\0\0";
            let (last_part, whole) = (b"\x80\x80\0\0\0\0", b"\x81\x80\0\0\0\0");
            for (before, flood, after) in [
                (pong, pong, whole),
                (first_part, empty_part, last_part),
                (first_part, pong, last_part),
            ] {
                run(async {
                    let (socket, peer) = served((FLOOD + 2) * 6);
                    peer.write_all(before).await.unwrap();
                    peer.write_all(&flood.repeat(FLOOD)).await.unwrap();
                    peer.write_all(after).await.unwrap();
                    let receiver = spawn(async move { socket.recv().await });
                    let mut turns = 0;
                    while !receiver.is_finished() {
                        yield_now().await;
                        turns += 1;
                    }
                    assert_eq!(receiver.await.unwrap().unwrap(), Some(Message::text("")));
                    assert!(turns > 5, "{turns}");
                });
            }
        }
    }
}
