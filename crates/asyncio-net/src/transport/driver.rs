//! The driver of a transport: the task that reads for it, and sends the bytes that it has kept.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Deref;
use std::task::{Context, Poll, ready};

use asyncio_loop::{NoRunningLoop, SpawnOptions, try_spawn_with};
use futures_io::{AsyncRead, AsyncWrite};

use super::kind::Kind;
use super::lifecycle::{BaseTransport as _, Stage};
use super::stream::{AnyProtocol, Setup, Transport};

/// The numbers of bytes and of pieces that are received before other tasks run. asyncio receives 256 KiB.
const BYTES_A_STEP: usize = 256 * 1024;
const PIECES_A_STEP: usize = 64;

impl Transport {
    /// A transport over a stream, such as a pipe, a TLS stream or a [`memory_pair`](crate::memory_pair). The protocol's
    /// `connection_made` is called before this returns.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_net as net; }
    /// use asyncio::net::{Protocol, Transport, memory_pair};
    ///
    /// struct Shout;
    ///
    /// impl Protocol for Shout {
    ///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
    ///         transport.write(data.to_ascii_uppercase());
    ///     }
    /// }
    ///
    /// # asyncio_loop::run(async {
    /// let (ours, theirs) = memory_pair(1024);
    /// let transport = Transport::new(theirs, Shout)?;
    /// ours.write_all(b"hello").await?;
    /// let mut buf = [0; 16];
    /// let n = ours.read(&mut buf).await?;
    /// assert_eq!(&buf[..n], b"HELLO");
    /// # let _ = transport;
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// No loop runs on this thread.
    pub fn new<S, P>(stream: S, protocol: P) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        P: AnyProtocol,
    {
        Self::with(stream, protocol, None)
    }

    /// [`new`](Self::new), with a value that is dropped when the connection is lost.
    pub(crate) fn with<S, P>(
        stream: S,
        protocol: P,
        guest: Option<Box<dyn Any>>,
    ) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        P: AnyProtocol,
    {
        let setup = Setup {
            close_limit: None,
            guest,
            kind: Kind::of::<S>(),
        };
        Self::set_up(stream, protocol, setup)
    }

    /// [`new`](Self::new), with more.
    pub(crate) fn set_up<S, P>(stream: S, protocol: P, setup: Setup) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        P: AnyProtocol,
    {
        let transport = Self::undriven(Box::new(stream), Box::new(protocol), setup);
        let driver = Driver(transport.clone());
        let driving = async move { poll_fn(|cx| driver.poll_drive(cx)).await };
        match try_spawn_with(SpawnOptions::callback(), driving) {
            Ok(task) => task.detach(),
            Err(refused) => return Err(io::Error::other(NoRunningLoop::from(refused))),
        }
        transport.begin();
        Ok(transport)
    }
}

/// The future of the driver's task. If it is dropped before the connection is lost, its loop has closed.
struct Driver(Transport);

impl Deref for Driver {
    type Target = Transport;

    fn deref(&self) -> &Transport {
        &self.0
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.driver_is_gone("the event loop ended before the connection");
    }
}

impl Driver {
    /// Reads and sends until both have to wait. Ready when the connection is lost.
    fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.life.driver.step(cx, |cx| self.poll_all(cx))
    }

    fn poll_all(&self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &*self.shared;
        let (mut bytes, mut pieces) = (0, 0);
        loop {
            let mut has_more = false;
            match self.poll_receive(cx) {
                Poll::Ready(Ok(n)) => {
                    (bytes, pieces) = (bytes + n, pieces + 1);
                    has_more = true;
                }
                Poll::Ready(Err(error)) => self.fail(error),
                Poll::Pending => {}
            }
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                self.fail(error);
            }
            if shared.life.stage.get() >= Stage::Failed {
                self.finish();
                return Poll::Ready(());
            }
            // The driver was woken for one piece. There may be nothing more.
            has_more = has_more && self.poll_readable(cx).is_ready();
            if !shared.life.driver.take_woken() && !has_more {
                break;
            }
            if bytes >= BYTES_A_STEP || pieces >= PIECES_A_STEP {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if shared.life.stage.get() == Stage::Closing {
            return self.poll_close_limit(cx);
        }
        Poll::Pending
    }

    /// Whether another read is worth a try.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_reading() {
            return Poll::Pending;
        }
        let poll_readable = self.shared.kind.get().poll_readable;
        self.use_wire(|wire| poll_readable(&*wire.get_mut(), cx))
            .map(drop)
    }

    /// Reads once, and passes the bytes to the protocol. `Pending` if there are none, or if nothing is to be read.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.is_reading() {
            return Poll::Pending;
        }
        let received = self.call(|protocol, transport| {
            protocol.receive(transport, &mut |buffer| {
                let n = ready!(transport.use_wire(|wire| wire.poll_read(cx, buffer)))?;
                // The stream's own code may have closed the transport.
                match transport.shared.life.stage.get() < Stage::Closing {
                    true => Poll::Ready(Ok(n)),
                    false => Poll::Pending,
                }
            })
        });
        // Without an answer the protocol panicked, and the transport has failed.
        let n = ready!(received.unwrap_or(Poll::Pending))?;
        if n == 0 && self.shared.life.stage.get() < Stage::Closing {
            self.shared.is_at_end.set(true);
            let stays_open = self.call(|protocol, transport| protocol.eof(transport));
            if stays_open == Some(false) {
                self.close();
            }
        }
        Poll::Ready(Ok(n))
    }

    /// Sends as much as possible, and then takes the steps of closing.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        loop {
            if !shared.queue.borrow().is_empty() {
                ready!(self.poll_send_queue(cx))?;
                continue;
            }
            match shared.life.stage.get() {
                Stage::Open | Stage::EndSent if shared.needs_flush.get() => {
                    ready!(self.use_wire(|wire| wire.poll_flush(cx)))?;
                    shared.needs_flush.set(false);
                    self.look_at_queue();
                }
                Stage::EndRequested => {
                    ready!(self.use_wire(|wire| wire.poll_close(cx)))?;
                    if shared.life.stage.get() == Stage::EndRequested {
                        shared.life.stage.set(Stage::EndSent);
                    }
                }
                Stage::Closing => {
                    let closed = ready!(self.use_wire(|wire| wire.poll_close(cx)));
                    // A peer that has said goodbye, and is gone, needs none.
                    if !shared.is_at_end.get() {
                        closed?;
                    }
                    self.cut();
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_send_queue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &*self.shared;
        let mut queue = shared.queue.take();
        let sent = self.use_wire(|wire| wire.poll_write(cx, queue.unsent()));
        if let Poll::Ready(Ok(n)) = sent {
            queue.advance(n);
            shared.needs_flush.set(true);
        }
        // Bytes that the stream's own code has written meanwhile come behind.
        let behind = shared.queue.replace(queue);
        if !behind.is_empty() {
            shared.queue.borrow_mut().push(behind.unsent());
        }
        match ready!(sent)? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            _ => {
                self.look_at_queue();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Fails the transport when closing takes too long.
    fn poll_close_limit(&self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &*self.shared;
        let Some(limit) = shared.close_limit.get() else {
            return Poll::Pending;
        };
        let closing = shared.closing.take();
        let mut closing = closing.unwrap_or_else(|| Box::pin(asyncio_loop::sleep(limit)));
        if closing.as_mut().poll(cx).is_pending() {
            shared.closing.set(Some(closing));
            return Poll::Pending;
        }
        let message = format!("the connection was not closed within {limit:?}");
        self.fail(io::Error::new(io::ErrorKind::TimedOut, message));
        self.finish();
        Poll::Ready(())
    }
}
