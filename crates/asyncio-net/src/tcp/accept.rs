//! What to do when a connection cannot be accepted.
//!
//! Most such errors say nothing about the listener, and a server that took them for its end would
//! end with the first client that changes its mind. Three cases:
//!
//! - the *connection* is gone or unwanted: skip it;
//! - *resources* are short: the connection stays in the queue, so trying again at once would spin.
//!   Pause, for longer and longer while it does not get better;
//! - the *listener* is broken: tell the caller.

use std::cell::Cell;
use std::io;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So many bad connections in a row are skipped without a pause. An error that we take for a
/// connection's and that never ends must not spin.
const SKIPS: u32 = 16;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again at once.
    Again,
    /// Try again after this time.
    After(Duration),
}

/// How a listener fares.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    /// Since the last connection that was accepted.
    pauses: Cell<u32>,
    /// Since the last pause.
    skips: Cell<u32>,
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
            Trouble::Connection | Trouble::Resources => Ok(Next::After(self.pause())),
            Trouble::Listener => Err(error),
        }
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

    #[test]
    fn an_aborted_connection_is_skipped() {
        let troubles = Troubles::default();
        for errno in [Errno::CONNABORTED, Errno::PROTO, Errno::PERM] {
            assert_eq!(troubles.meet(errno.into()).unwrap(), Next::Again);
        }
    }

    #[test]
    fn many_aborted_connections_in_a_row_do_not_spin() {
        let troubles = Troubles::default();
        for _ in 0..SKIPS {
            let next = troubles.meet(Errno::CONNABORTED.into()).unwrap();
            assert_eq!(next, Next::Again);
        }
        let next = troubles.meet(Errno::CONNABORTED.into()).unwrap();
        assert_eq!(next, Next::After(FIRST_PAUSE));
        let next = troubles.meet(Errno::CONNABORTED.into()).unwrap();
        assert_eq!(next, Next::Again);
    }

    #[test]
    fn a_shortage_is_waited_out_longer_and_longer() {
        let troubles = Troubles::default();
        let pauses = |n| {
            let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
            let pauses = shortages.iter().cycle().take(n).map(|errno| {
                match troubles.meet((*errno).into()).unwrap() {
                    Next::After(pause) => pause.as_millis(),
                    Next::Again => 0,
                }
            });
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(9), [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(pauses(100)[99], 1000);
        troubles.are_over();
        assert_eq!(pauses(2), [10, 20]);
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
