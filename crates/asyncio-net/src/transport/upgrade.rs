//! The upgrade of a transport: its stream is replaced by one above it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::stream::{FindTcp, Stage, Transport, Wire};

/// A transport whose stream is being replaced. If it is dropped before [`complete`](Self::complete), the connection ends.
pub(crate) struct Upgrade {
    transport: Transport,
    is_over: bool,
}

impl Transport {
    /// Begins an upgrade: from now on nothing is received, and what is written waits for its end.
    pub(crate) fn begin_upgrade(&self) -> io::Result<Upgrade> {
        let shared = &self.shared;
        if shared.stage.get() != Stage::Open || shared.is_upgrading.replace(true) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(Upgrade {
            transport: self.clone(),
            is_over: false,
        })
    }
}

impl Upgrade {
    /// The stream, after all that was written before the upgrade is sent.
    pub(crate) async fn take_wire(&self) -> io::Result<Box<dyn Wire>> {
        let shared = &self.transport.shared;
        let wire = || {
            if shared.stage.get() >= Stage::Failed {
                return Some(None);
            }
            let is_sent = shared.queue.borrow().is_empty() && !shared.needs_flush.get();
            is_sent.then(|| shared.wire.take())
        };
        let wire = poll_fn(|cx| shared.waiting.poll_until(cx.waker(), wire)).await;
        wire.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Waits for a handshake, or for the end of the connection.
    pub(crate) async fn shake_hands<T>(
        &self,
        handshake: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let shared = &self.transport.shared;
        let lost = || (shared.stage.get() >= Stage::Failed).then_some(());
        let mut handshake = pin!(handshake);
        poll_fn(|cx| match shared.waiting.poll_until(cx.waker(), lost) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Poll::Pending => handshake.as_mut().poll(cx),
        })
        .await
    }

    /// Puts the new stream in place.
    pub(crate) fn complete(
        mut self,
        wire: Box<dyn Wire>,
        close_limit: Duration,
        find_tcp: FindTcp,
    ) -> io::Result<()> {
        self.is_over = true;
        let shared = &self.transport.shared;
        if shared.stage.get() >= Stage::Failed {
            return Err(io::ErrorKind::NotConnected.into());
        }
        shared.wire.set(Some(wire));
        shared.close_limit.set(Some(close_limit));
        shared.find_tcp.set(find_tcp);
        let written = shared.later.take();
        shared.is_upgrading.set(false);
        shared.queue.borrow_mut().push(written.unsent());
        shared.driver.wake();
        Ok(())
    }

    /// Ends the connection with an error. Returns another one like it.
    pub(crate) fn fail(mut self, error: io::Error) -> io::Error {
        self.is_over = true;
        let copy = crate::failure::Failure::from(&error).error();
        self.transport.fail(error);
        copy
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if !self.is_over {
            let message = "the upgrade of the connection was cancelled";
            self.transport
                .fail(io::Error::new(io::ErrorKind::ConnectionAborted, message));
        }
    }
}
