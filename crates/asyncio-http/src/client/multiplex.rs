//! Requests over the shared HTTP/2 connection of a host.

use std::rc::Rc;

use asyncio_loop::time;
use http::Request;

use super::alarm::Alarm;
use super::error::FetchError;
use super::failed::{Seen, is_io, is_refused};
use super::options::Options;
use super::pool::{Connected, Exchange, Held, Host, Idle, Outgoing, Pool, uploaded};
use super::proxy::Way;
use super::shared::{Http2, Shared};
use super::upload::{Progress, Upload};

/// The number of connections on which a request is tried.
const MAX_TRIES: u32 = 4;

impl Pool {
    /// Sends over the shared connection of a host, making it if need be. Gives the request back if the host speaks
    /// HTTP/1.
    #[expect(clippy::too_many_arguments, reason = "they are those of `send`")]
    pub(super) async fn send_shared(
        &self,
        host: &Rc<Host>,
        way: Way<'_>,
        options: &Options,
        alarm: &Alarm,
        mut request: Request<Upload>,
        mut upload: Option<Rc<Progress>>,
        again: &impl Fn(Seen) -> Option<Outgoing>,
    ) -> Result<Result<Exchange, (Request<Upload>, Option<Rc<Progress>>)>, FetchError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Some((connection, is_kept)) = self.shared(host, way, options).await? else {
                return Ok(Err((request, upload)));
            };
            let sending = connection.send(options, alarm, request);
            let failed = match sending.await? {
                Ok((response, in_use)) => {
                    return Ok(Ok(Exchange {
                        response,
                        held: Held::Shared(in_use),
                        upload,
                    }));
                }
                Err(failed) => failed,
            };
            let may_try = tries < MAX_TRIES;
            if let Some(unsent) = failed.unsent.filter(|_| may_try) {
                request = unsent;
                continue;
            }
            let seen = seen(&failed.error, is_kept).filter(|_| may_try);
            match seen.and_then(again) {
                Some(anew) => (request, upload) = uploaded(anew),
                None => return Err(FetchError::Exchange(failed.error)),
            }
        }
    }

    /// Sends over a new connection, and shares it.
    pub(super) async fn send_first(
        &self,
        host: &Host,
        connection: Http2,
        options: &Options,
        alarm: &Alarm,
        request: Request<Upload>,
        upload: Option<Rc<Progress>>,
    ) -> Result<Exchange, FetchError> {
        let before = host.shared.replace(Shared::Connected(connection.clone()));
        drop(before);
        let sending = connection.send(options, alarm, request);
        let sent = sending.await?;
        let (response, in_use) = sent.map_err(|failed| FetchError::Exchange(failed.error))?;
        Ok(Exchange {
            response,
            held: Held::Shared(in_use),
            upload,
        })
    }

    /// The shared connection of a host, and whether there was one. `None` if the host speaks HTTP/1.
    async fn shared(
        &self,
        host: &Rc<Host>,
        way: Way<'_>,
        options: &Options,
    ) -> Result<Option<(Http2, bool)>, FetchError> {
        let known = || match &*host.shared.borrow() {
            Shared::Unknown => None,
            Shared::Never => Some(None),
            Shared::Connected(connection) => {
                let usable = connection.is_usable(host.idle_timeout);
                usable.then(|| Some((connection.clone(), true)))
            }
        };
        if let Some(known) = known() {
            return Ok(known);
        }
        let _first = host.first.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        match self.connect(way, options).await? {
            Connected::Http2(connection) => {
                let before = host.shared.replace(Shared::Connected(connection.clone()));
                drop(before);
                Ok(Some((connection, false)))
            }
            Connected::Http1(link) => {
                let before = host.shared.replace(Shared::Never);
                drop(before);
                // For the next request. It has no permit, so it may be one too many, until it is used.
                let since = time();
                host.idle.borrow_mut().push(Idle { link, since });
                Ok(None)
            }
        }
    }
}

/// The part of a failed request that the host may have seen, if it may be sent again at all.
fn seen(error: &hyper::Error, is_kept: bool) -> Option<Seen> {
    if is_refused(error) {
        return Some(Seen::Nothing);
    }
    (is_kept && is_io(error)).then_some(Seen::Perhaps)
}
