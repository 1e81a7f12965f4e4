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

use asyncio_sync::Lock;
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

/// The default limit of a message.
pub(super) const MAX_MESSAGE: usize = 16 * 1024 * 1024;

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
/// Dropping it closes the connection without a close frame. [`close`](Self::close) sends one.
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
            stream: Box::new(stream),
            waker: wakers.clone().into(),
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
        }
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
    /// over. In the latter two cases the peer gets a close frame with the reason, if it takes a few more bytes.
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
            // An error comes again below.
            let _ = self.poll_with(Side::Receiver, cx, |socket| socket.close(Some(goodbye)));
        }
        loop {
            match self.end.get() {
                End::Over => return Poll::Ready(Ok(None)),
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
            match ready!(self.poll_with(Side::Receiver, cx, tungstenite::WebSocket::read)) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    return Poll::Ready(Ok(Some(message)));
                }
                // The answers are tungstenite's.
                Ok(Message::Close(_)) => self.end.set(End::Told),
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => self.end.set(match self.role {
                    Role::Server => End::Closing,
                    Role::Client => End::Over,
                }),
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
        let mut message = Some(message.into());
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
    /// The connection breaks off first. A websocket that is closed already is no error.
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
    pub async fn close_with(&self, code: CloseCode, reason: &str) -> Result<(), WebSocketError> {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let mut frame = Some(frame);
        let turn = self.sending.lock().await;
        let closed = poll_fn(|cx| {
            self.poll_with(Side::Sender, cx, |socket| match frame.take() {
                Some(frame) => socket.close(Some(frame)),
                None => socket.flush(),
            })
        });
        let closed = closed.await;
        drop(turn);
        match closed {
            Ok(()) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
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
                Poll::Pending
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
    stream: Box<dyn Below>,
    waker: Waker,
}

impl Blocking {
    fn poll<T>(
        &mut self,
        f: impl FnOnce(Pin<&mut dyn Below>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let mut cx = Context::from_waker(&self.waker);
        match f(Pin::new(&mut *self.stream), &mut cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Read for Blocking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
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
