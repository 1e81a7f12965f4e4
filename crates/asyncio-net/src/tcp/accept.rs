//! What to do when a connection cannot be accepted.
//!
//! Most such errors say nothing about the listener, and a server that took them for its end would
//! end with the first client that changes its mind. Three cases:
//!
//! - the *connection* is gone or unwanted: skip it;
//! - *resources* are short: the connection stays in the queue, so trying again at once would spin.
//!   Pause, for longer and longer while it does not get better, and say so to whoever looks after the
//!   program;
//! - the *listener* is broken: tell the caller.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many bad connections in a row are skipped without a pause. An error that we take for a
/// connection's and that never ends must not spin.
const SKIPS: u32 = 16;
/// A shortage is told to the loop's exception handler, no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Next {
    /// Try again at once.
    Again,
    /// Try again after this time; the reason.
    After(Duration, io::Error),
}

/// How a listener fares.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Since the last connection that was accepted.
    pauses: Cell<u32>,
    /// Since the last pause.
    skips: Cell<u32>,
    /// When somebody was last told.
    told: Cell<Option<Instant>>,
}

impl Troubles {
    /// A connection was accepted.
    pub(super) fn are_over(&self) {
        self.pauses.set(0);
        self.skips.set(0);
    }

    /// What to do about an error of `accept`.
    ///
    /// # Errors
    ///
    /// The same error, if it is the listener's own.
    pub(super) fn meet(&self, error: io::Error) -> io::Result<Next> {
        match Trouble::of(&error) {
            Trouble::Connection if self.skips.get() < SKIPS => {
                self.skips.set(self.skips.get() + 1);
                Ok(Next::Again)
            }
            Trouble::Connection | Trouble::Resources => Ok(Next::After(self.pause(), error)),
            Trouble::Listener => Err(error),
        }
    }

    /// Whether a pause that begins now is to be told. If so, it counts as told.
    pub(super) fn are_news(&self, now: Instant) -> bool {
        let told = self.told.get();
        let are_news = told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY);
        if are_news {
            self.told.set(Some(now));
        }
        are_news
    }

    fn pause(&self) -> Duration {
        self.skips.set(0);
        let pauses = self.pauses.get();
        self.pauses.set(pauses.saturating_add(1));
        FIRST_PAUSE
            .saturating_mul(1 << pauses.min(16))
            .min(LONGEST_PAUSE)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Connection,
    Resources,
    Listener,
}

impl Trouble {
    #[cfg(unix)]
    fn of(error: &io::Error) -> Self {
        use rustix::io::Errno;
        match Errno::from_io_error(error) {
            // Gone again before it was accepted, or forbidden by a firewall. Linux also passes on
            // what the network had to say about that connection: "treat them like EAGAIN by
            // retrying", says accept(2).
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
            ) => Trouble::Connection,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Errno::NONET) => Trouble::Connection,
            // No descriptor, no memory, or (ENOSPC) no more that may be watched.
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC) => {
                Trouble::Resources
            }
            _ => Trouble::Listener,
        }
    }

    #[cfg(not(unix))]
    fn of(error: &io::Error) -> Self {
        const WSAEMFILE: i32 = 10024;
        const WSAENOBUFS: i32 = 10055;
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset, _) => {
                Trouble::Connection
            }
            (_, Some(WSAEMFILE | WSAENOBUFS)) => Trouble::Resources,
            _ => Trouble::Listener,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// Milliseconds of the pause that `errno` leads to, if any.
    fn pause_after(troubles: &Troubles, errno: Errno) -> Option<u128> {
        match troubles.meet(errno.into()).unwrap() {
            Next::Again => None,
            Next::After(pause, reason) => {
                assert_eq!(Errno::from_io_error(&reason), Some(errno));
                Some(pause.as_millis())
            }
        }
    }

    #[test]
    fn an_aborted_connection_is_skipped() {
        let troubles = Troubles::default();
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM] {
            assert_eq!(pause_after(&troubles, errno), None);
        }
    }

    #[test]
    fn many_aborted_connections_in_a_row_do_not_spin() {
        let troubles = Troubles::default();
        for _ in 0..SKIPS {
            assert_eq!(pause_after(&troubles, Errno::CONNABORTED), None);
        }
        assert_eq!(pause_after(&troubles, Errno::CONNABORTED), Some(10));
        assert_eq!(pause_after(&troubles, Errno::CONNABORTED), None);
    }

    #[test]
    fn a_shortage_is_waited_out_longer_and_longer() {
        let troubles = Troubles::default();
        let pauses = |n| {
            let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            let errors = shortages.into_iter().cycle().take(n);
            let pauses = errors.map(|errno| pause_after(&troubles, errno).unwrap());
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(9), [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(pauses(100)[99], 1000);
        troubles.are_over();
        assert_eq!(pauses(2), [10, 20]);
    }

    #[test]
    fn a_shortage_is_told_once_a_second() {
        let troubles = Troubles::default();
        let begin = Instant::now();
        let told = [0, 10, 999, 1000, 1500, 2500].map(|ms| {
            troubles.are_over();
            troubles.are_news(begin + Duration::from_millis(ms))
        });
        assert_eq!(told, [true, false, false, true, false, true]);
    }

    #[test]
    fn what_is_wrong_with_the_listener_is_told() {
        let troubles = Troubles::default();
        for errno in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP] {
            let told = troubles.meet(errno.into()).unwrap_err();
            assert_eq!(Errno::from_io_error(&told), Some(errno));
        }
    }
}
