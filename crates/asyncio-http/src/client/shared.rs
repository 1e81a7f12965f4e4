//! The HTTP/2 connection of a host, which all requests to the host share.
//!
//! A request that is not answered in time leaves the connection in doubt: the host may be gone without a word. Later
//! requests make a new one. Requests that are under way stay on the old one, which closes after the last of them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_loop::{time, try_running_loop};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;

use super::alarm::Alarm;
use super::error::FetchError;
use super::failed::Failed;
use super::options::Options;
use super::upload::Upload;

/// How long a host may leave all requests unanswered until a request that is given up leaves the connection in doubt.
const PATIENCE: Duration = Duration::from_secs(1);

/// The knowledge about HTTP/2 at a host.
#[derive(Default)]
pub(super) enum Shared {
    #[default]
    Unknown,
    /// The host speaks HTTP/1.
    Never,
    Connected(Http2),
}

/// An HTTP/2 connection. Without requests and dropped, it closes.
#[derive(Clone)]
pub(super) struct Http2 {
    sender: SendRequest<Upload>,
    uses: Rc<Uses>,
}

/// The requests of a connection.
struct Uses {
    number: Cell<usize>,
    /// The last time at which a request began or ended.
    last: Cell<Instant>,
    /// The last time at which the host has answered.
    answered: Cell<Instant>,
    is_in_doubt: Cell<bool>,
}

/// A request on a shared connection, to the end of its response.
pub(crate) struct Use {
    uses: Rc<Uses>,
    begun: Instant,
    is_answered: Cell<bool>,
}

impl Http2 {
    pub(super) fn new(sender: SendRequest<Upload>) -> Self {
        let uses = Rc::new(Uses::new());
        Self { sender, uses }
    }

    /// Whether another request can use it.
    pub(super) fn is_usable(&self, idle_timeout: Duration) -> bool {
        let uses = &self.uses;
        let is_old = || time().duration_since(uses.last.get()) > idle_timeout;
        let is_in_use = uses.number.get() > 0;
        let is_sound = !self.sender.is_closed() && !uses.is_in_doubt.get();
        is_sound && (is_in_use || !is_old())
    }

    /// Sends a request and waits for the head of the response.
    pub(super) async fn send(
        &self,
        options: &Options,
        alarm: &Alarm,
        mut request: Request<Upload>,
    ) -> Result<Result<(Response<Incoming>, Use), Failed>, FetchError> {
        let in_use = Use::begin(&self.uses);
        let progress = request.body_mut().watch();
        // The host may have as many requests under way as it allows. It is not silent while it answers those.
        let silent_since = || match progress.is_queued() {
            true => Some(self.uses.answered.get()),
            false => Some(progress.silent_since()),
        };
        let sending = send(self.sender.clone(), request);
        let limit = options.read_timeout;
        match alarm.within(limit, silent_since, sending).await {
            Ok(sent) => {
                in_use.answered();
                Ok(sent.map(|response| (response, in_use)))
            }
            Err(late) => {
                in_use.is_silent();
                Err(late)
            }
        }
    }
}

impl Uses {
    fn new() -> Self {
        Self {
            number: Cell::new(0),
            last: Cell::new(time()),
            answered: Cell::new(time()),
            is_in_doubt: Cell::new(false),
        }
    }
}

impl Use {
    fn begin(uses: &Rc<Uses>) -> Self {
        let now = time();
        uses.number.set(uses.number.get() + 1);
        uses.last.set(now);
        Self {
            uses: uses.clone(),
            begun: now,
            is_answered: Cell::new(false),
        }
    }

    fn answered(&self) {
        self.is_answered.set(true);
        self.uses.answered.set(time());
    }

    /// The host has not sent the next bytes in time.
    pub(super) fn is_silent(&self) {
        self.uses.is_in_doubt.set(true);
    }

    /// The response has ended.
    pub(super) fn end(self) {
        self.uses.last.set(time());
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let uses = &self.uses;
        uses.number.set(uses.number.get() - 1);
        let is_given_up = !self.is_answered.get() && uses.answered.get() <= self.begun;
        if is_given_up && try_running_loop().is_ok() && time() - self.begun >= PATIENCE {
            uses.is_in_doubt.set(true);
        }
    }
}

async fn send(
    mut sender: SendRequest<Upload>,
    mut request: Request<Upload>,
) -> Result<Response<Incoming>, Failed> {
    // The connection has a header of HTTP/1 no use for.
    request.headers_mut().remove(http::header::HOST);
    if let Err(error) = sender.ready().await {
        let unsent = Some(request);
        return Err(Failed { error, unsent });
    }
    let sent = sender.try_send_request(request).await;
    sent.map_err(|mut failed| Failed {
        unsent: failed.take_message(),
        error: failed.into_error(),
    })
}

#[cfg(test)]
mod tests {
    use asyncio_loop::{EventLoop, sleep};

    use super::*;

    /// Whether the uses of a connection leave it in doubt.
    fn is_in_doubt(test: impl AsyncFnOnce(&Rc<Uses>) + 'static) -> bool {
        let event_loop = EventLoop::builder().virtual_time(true).build_loop();
        let uses = async move {
            let uses = Rc::new(Uses::new());
            test(&uses).await;
            assert_eq!(uses.number.get(), 0);
            uses.is_in_doubt.get()
        };
        event_loop.unwrap().run_until_complete(uses).unwrap()
    }

    #[test]
    fn a_request_that_is_given_up_leaves_a_silent_connection_in_doubt() {
        assert!(is_in_doubt(async |uses| {
            let in_use = Use::begin(uses);
            sleep(PATIENCE).await;
            drop(in_use);
        }));
        // Given up soon.
        assert!(!is_in_doubt(async |uses| {
            let in_use = Use::begin(uses);
            sleep(PATIENCE / 2).await;
            drop(in_use);
        }));
        // The head has come, or that of another request.
        for of_itself in [true, false] {
            assert!(!is_in_doubt(async move |uses| {
                let uses = [Use::begin(uses), Use::begin(uses)];
                sleep(PATIENCE).await;
                uses[usize::from(of_itself)].answered();
                sleep(PATIENCE).await;
                drop(uses);
            }));
        }
    }
}
