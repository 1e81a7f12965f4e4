//! A transport whose stream other code uses for a time: to upgrade it, or to send a file.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
#[cfg(feature = "rustls")]
use std::time::Duration;

#[cfg(feature = "rustls")]
use super::kind::Kind;
use super::lifecycle::{BaseTransport as _, Stage};
use super::stream::{Transport, Wire};

/// The right to use the stream of a transport. Meanwhile nothing is received, and what is written waits.
///
/// Its drop gives the stream back. Without a stream the connection ends.
pub(crate) struct Hold {
    transport: Transport,
    /// The stream, once it was waited for.
    wire: Option<Box<dyn Wire>>,
    /// Whether the present stream must not be used again, because bytes that were written since must not be sent by it.
    is_final: bool,
}

impl Transport {
    /// Begins to hold the stream. If the hold is final, its drop without another stream ends the connection.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the transport is closing, or held already.
    pub(crate) fn hold(&self, is_final: bool) -> io::Result<Hold> {
        let shared = &self.shared;
        if shared.life.stage.get() != Stage::Open || shared.is_held.replace(true) {
            let message = "the transport is closing, or its stream is in use";
            return Err(io::Error::new(io::ErrorKind::NotConnected, message));
        }
        Ok(Hold {
            transport: self.clone(),
            wire: None,
            is_final,
        })
    }
}

impl Transport {
    /// Waits for an operation on the held stream, or for the end of the connection.
    pub(crate) async fn unless_lost<T>(
        &self,
        operation: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let shared = &self.shared;
        let lost = || (shared.life.stage.get() >= Stage::Failed).then_some(());
        let mut operation = pin!(operation);
        let mut lost = shared.life.waiting.wait_until(lost);
        poll_fn(|cx| match Pin::new(&mut lost).poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Poll::Pending => operation.as_mut().poll(cx),
        })
        .await
    }
}

impl Hold {
    /// Waits until all that was written before is sent.
    pub(crate) async fn wait(&mut self) -> io::Result<()> {
        let shared = &self.transport.shared;
        let wire = || {
            if shared.life.stage.get() >= Stage::Failed {
                return Some(None);
            }
            let is_sent = shared.queue.borrow().is_empty() && !shared.needs_flush.get();
            is_sent.then(|| shared.wire.take())
        };
        self.wire = shared.life.waiting.wait_until(wire).await;
        match self.wire {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The stream, after [`wait`](Self::wait).
    pub(crate) fn wire(&mut self) -> &mut dyn Wire {
        let wire = self.wire.as_mut();
        &mut **wire.expect("the stream was waited for, and not taken")
    }

    /// The transport.
    pub(crate) fn transport(&self) -> Transport {
        self.transport.clone()
    }
}

/// For an upgrade, which replaces the stream.
#[cfg(feature = "rustls")]
impl Hold {
    /// Takes the stream, after [`wait`](Self::wait). If none is [put back](Self::put_back), the connection ends.
    pub(crate) fn take_wire(&mut self) -> Box<dyn Wire> {
        self.is_final = true;
        self.wire
            .take()
            .expect("the stream was waited for, and not taken")
    }

    /// Puts a stream in place.
    pub(crate) fn put_back(
        mut self,
        wire: Box<dyn Wire>,
        close_limit: Duration,
        kind: &'static Kind,
    ) {
        self.transport.shared.close_limit.set(Some(close_limit));
        self.transport.shared.kind.set(kind);
        self.wire = Some(wire);
    }

    /// Ends the connection with an error. Returns another one like it.
    pub(crate) fn fail(self, error: io::Error) -> io::Error {
        let copy = crate::failure::Failure::from(&error).error();
        self.transport.fail(error);
        copy
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shared = &self.transport.shared;
        match self.wire.take() {
            None if self.is_final => {
                let message = "the upgrade of the connection was cancelled";
                let error = io::Error::new(io::ErrorKind::ConnectionAborted, message);
                return self.transport.fail(error);
            }
            // The driver never had to give it away.
            None => {}
            Some(wire) if shared.life.stage.get() == Stage::Lost => return drop(wire),
            Some(wire) => shared.wire.set(Some(wire)),
        }
        let written = shared.later.take();
        shared.is_held.set(false);
        shared.queue.borrow_mut().push(written.unsent());
        shared.life.driver.wake();
    }
}
