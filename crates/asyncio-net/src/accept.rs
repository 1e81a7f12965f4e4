//! Back-off after a failed `accept`.
//!
//! Most errors of `accept` do not concern the listener. A server that ended with them would end
//! with the first client that disconnects early. There are three cases:
//!
//! - The *connection* is gone or refused: skip it.
//! - *Resources* are exhausted: the connection stays in the queue, so an immediate retry would
//!   spin. Pause, each time longer, and report it to the exception handler.
//! - The *listener* is broken: return the error.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use asyncio_loop::{Cause, Unhandled, call_exception_handler};

const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// The number of failed connections in a row that are skipped without a pause. Otherwise a permanent error that is
/// mistaken for a connection's would spin.
const MAX_SKIPS: u32 = 16;
/// The shortest time between two reports to the loop's exception handler.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum AcceptNext {
    /// Retry at once.
    Retry,
    /// Retry after this time; the error is the reason.
    RetryAfter(Duration, io::Error),
}

/// Accepts with `accept` until that succeeds or the listener fails, with a back-off in between.
pub(crate) async fn accept_with<T>(
    backoff: &AcceptBackoff,
    accept: impl AsyncFn() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match accept().await {
            Ok(connection) => {
                backoff.reset();
                return Ok(connection);
            }
            Err(error) => match backoff.on_error(error)? {
                AcceptNext::Retry => {}
                AcceptNext::RetryAfter(pause, reason) => {
                    backoff.report(&reason);
                    asyncio_loop::sleep(pause).await;
                }
            },
        }
    }
}

/// The state of the back-off of one listener.
#[derive(Debug, Default)]
pub(crate) struct AcceptBackoff {
    /// The number of pauses since the last accepted connection.
    pauses: Cell<u32>,
    /// The number of skipped connections since the last pause.
    skips: Cell<u32>,
    /// The time of the last report.
    last_report: Cell<Option<Instant>>,
}

impl AcceptBackoff {
    /// Resets the back-off, after an accepted connection.
    fn reset(&self) {
        self.pauses.set(0);
        self.skips.set(0);
    }

    /// Decides what follows an error of `accept`.
    ///
    /// # Errors
    ///
    /// The same error, if it concerns the listener itself.
    fn on_error(&self, error: io::Error) -> io::Result<AcceptNext> {
        match AcceptFault::of(&error) {
            AcceptFault::Connection if self.skips.get() < MAX_SKIPS => {
                self.skips.set(self.skips.get() + 1);
                Ok(AcceptNext::Retry)
            }
            AcceptFault::Connection | AcceptFault::Resources => {
                Ok(AcceptNext::RetryAfter(self.pause(), error))
            }
            AcceptFault::Listener => Err(error),
        }
    }

    /// Whether a pause that begins now is to be reported. If so, it counts as reported.
    fn should_report(&self, now: Instant) -> bool {
        let last_report = self.last_report.get();
        let should_report = last_report
            .is_none_or(|last_report| now.duration_since(last_report) >= REPORT_INTERVAL);
        if should_report {
            self.last_report.set(Some(now));
        }
        should_report
    }

    /// Reports a pause to the loop's exception handler, at most once a second.
    fn report(&self, reason: &io::Error) {
        if self.should_report(asyncio_loop::time()) {
            call_exception_handler(&Unhandled::new(
                "a listener cannot accept connections at the moment; it retries",
                None,
                Cause::Error(reason.to_string()),
            ));
        }
    }

    fn pause(&self) -> Duration {
        self.skips.set(0);
        let pauses = self.pauses.get();
        self.pauses.set(pauses.saturating_add(1));
        MIN_PAUSE.saturating_mul(1 << pauses.min(16)).min(MAX_PAUSE)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum AcceptFault {
    Connection,
    Resources,
    Listener,
}

impl AcceptFault {
    #[cfg(unix)]
    fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(error) {
            // The connection is gone before it was accepted, or a firewall forbids it. Linux also
            // returns network errors of that connection; accept(2) says to "treat them like EAGAIN
            // by retrying".
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::PERM
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::TIMEDOUT,
            ) => AcceptFault::Connection,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => AcceptFault::Connection,
            // No descriptor, no memory, or (ENOSPC) the limit of watched descriptors is reached.
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC) => {
                AcceptFault::Resources
            }
            _ => AcceptFault::Listener,
        }
    }

    #[cfg(not(unix))]
    fn of(error: &io::Error) -> Self {
        const WSAEMFILE: i32 = 10024;
        const WSAENOBUFS: i32 = 10055;
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset, _) => {
                AcceptFault::Connection
            }
            (_, Some(WSAEMFILE | WSAENOBUFS)) => AcceptFault::Resources,
            _ => AcceptFault::Listener,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// The milliseconds of the pause that `errno` causes, if any.
    fn pause_after(backoff: &AcceptBackoff, errno: Errno) -> Option<u128> {
        match backoff.on_error(errno.into()).unwrap() {
            AcceptNext::Retry => None,
            AcceptNext::RetryAfter(pause, reason) => {
                assert_eq!(Errno::from_io_error(&reason), Some(errno));
                Some(pause.as_millis())
            }
        }
    }

    #[test]
    fn an_aborted_connection_is_skipped() {
        let backoff = AcceptBackoff::default();
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM] {
            assert_eq!(pause_after(&backoff, errno), None);
        }
    }

    #[test]
    fn many_aborted_connections_in_a_row_do_not_spin() {
        let backoff = AcceptBackoff::default();
        for _ in 0..MAX_SKIPS {
            assert_eq!(pause_after(&backoff, Errno::CONNABORTED), None);
        }
        assert_eq!(pause_after(&backoff, Errno::CONNABORTED), Some(10));
        assert_eq!(pause_after(&backoff, Errno::CONNABORTED), None);
    }

    #[test]
    fn pauses_grow_while_resources_are_exhausted() {
        let backoff = AcceptBackoff::default();
        let pauses = |n| {
            let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            let errors = shortages.into_iter().cycle().take(n);
            let pauses = errors.map(|errno| pause_after(&backoff, errno).unwrap());
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(9), [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(pauses(100)[99], 1000);
        backoff.reset();
        assert_eq!(pauses(2), [10, 20]);
    }

    #[test]
    fn exhausted_resources_are_reported_once_a_second() {
        let backoff = AcceptBackoff::default();
        let begin = Instant::now();
        let reported = [0, 10, 999, 1000, 1500, 2500].map(|ms| {
            backoff.reset();
            backoff.should_report(begin + Duration::from_millis(ms))
        });
        assert_eq!(reported, [true, false, false, true, false, true]);
    }

    #[test]
    fn an_error_of_the_listener_is_returned() {
        let backoff = AcceptBackoff::default();
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP] {
            let returned = backoff.on_error(errno.into()).unwrap_err();
            assert_eq!(Errno::from_io_error(&returned), Some(errno));
        }
    }
}
