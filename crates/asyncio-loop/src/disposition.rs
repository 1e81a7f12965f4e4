//! The effect of the process's signals: their default action, or that of a listener.
//!
//! The handlers of a signal are installed once per process, at the first use, and stay. A flag
//! decides whether they take the default action. Two kinds of listeners clear it:
//!
//! - A *runner* cancels its main task at the first signal. The first signal sets the flag again,
//!   for the second one. So a program whose cleanup hangs can be ended.
//! - A *claim* takes all signals of its kind, until it is dropped. While there are claims, a runner
//!   does not see the signal.
//!
//! A signal that this program was told to ignore is not set to its default action after the last
//! claim. A handler that other code has installed is called as well.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use signal_hook::{SigId, flag, low_level};

/// The signals that have been used, with what each does now.
static TABLE: Mutex<Vec<(i32, Disposition)>> = Mutex::new(Vec::new());

/// The effect of one signal.
struct Disposition {
    /// Whether the handlers take the default action.
    default: Arc<AtomicBool>,
    /// Whether the signal had its default action before the handlers were installed.
    was_default: bool,
    /// Sets `default` when the signal arrives: the action for the second one.
    escalation: Option<SigId>,
    /// The part for a runner, once there was one.
    runner: Option<RunnerFlags>,
    /// Whether a runner listens.
    has_runner: bool,
    claims: usize,
    /// The value of `default` that the claims have put aside.
    put_aside: bool,
}

/// How a runner hears of a signal.
#[derive(Clone)]
struct RunnerFlags {
    /// Whether the signal has arrived.
    seen: Arc<AtomicBool>,
}

/// The right to all signals of one kind, until it is dropped: no default action, and no reaction of
/// a [`Runner`](crate::Runner).
///
/// It only keeps the signal from its default action. The holder listens to the signal itself, by
/// `signal-hook`. Any number of claims may exist at once.
#[derive(Debug)]
#[must_use = "the claim ends when it is dropped"]
pub struct SignalClaim {
    signal: i32,
}

impl SignalClaim {
    /// Claims a signal, by its number.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a signal that no program can handle, such as `SIGKILL`. Otherwise the
    /// system's error, as for a number that is no signal.
    pub fn new(signal: i32) -> io::Result<Self> {
        if signal_hook::low_level::signal_name(signal).is_some()
            && signal_hook::consts::FORBIDDEN.contains(&signal)
        {
            let message = format!("signal {signal} cannot be handled");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        with(signal, |disposition| {
            if disposition.claims == 0 {
                disposition.put_aside = disposition.default.swap(false, Ordering::SeqCst);
                disposition.end_escalation();
            }
            disposition.claims += 1;
            Ok(SignalClaim { signal })
        })
    }
}

impl Drop for SignalClaim {
    fn drop(&mut self) {
        let signal = self.signal;
        let _ = with(signal, |disposition| {
            disposition.claims -= 1;
            if disposition.claims > 0 {
                return Ok(());
            }
            if disposition.has_runner {
                disposition.forget_seen();
                disposition.escalate(signal)?;
            }
            let default = match disposition.has_runner {
                true => disposition.put_aside,
                false => disposition.was_default,
            };
            disposition.default.store(default, Ordering::SeqCst);
            Ok(())
        });
    }
}

/// A runner that listens to one signal, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    signal: i32,
    seen: Arc<AtomicBool>,
}

impl Listening {
    /// Begins to listen. The signal writes a byte to `wakeup`, from the first call on.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the program ignores the signal or handles it itself.
    pub(crate) fn begin(signal: i32, wakeup: &UnixStream) -> io::Result<Self> {
        with(signal, |disposition| {
            if !disposition.was_default || disposition.has_runner {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let seen = disposition.flags(signal, wakeup)?.seen;
            seen.store(false, Ordering::SeqCst);
            disposition.has_runner = true;
            disposition.put_aside = false;
            if disposition.claims == 0 {
                disposition.escalate(signal)?;
                disposition.default.store(false, Ordering::SeqCst);
            }
            Ok(Listening { signal, seen })
        })
    }

    pub(crate) fn signal(&self) -> i32 {
        self.signal
    }

    /// Whether the signal has arrived since the last call, and is not claimed.
    #[inline]
    pub(crate) fn was_raised(&self) -> bool {
        self.seen.load(Ordering::Relaxed) && self.take()
    }

    #[cold]
    fn take(&self) -> bool {
        let is_claimed = with(self.signal, |disposition| Ok(disposition.claims > 0));
        self.seen.swap(false, Ordering::SeqCst) && !is_claimed.unwrap_or(false)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let is_claimed = with(self.signal, |disposition| {
            disposition.has_runner = false;
            if disposition.claims == 0 {
                disposition.end_escalation();
                disposition.default.store(true, Ordering::SeqCst);
            }
            Ok(disposition.claims > 0)
        });
        // A signal that has not been handled yet is treated as if it came after the drop.
        if self.seen.swap(false, Ordering::SeqCst) && !is_claimed.unwrap_or(true) {
            let _ = low_level::emulate_default_handler(self.signal);
        }
    }
}

/// Calls `f` with the disposition of a signal. The handlers are installed if they are not yet.
fn with<R>(signal: i32, f: impl FnOnce(&mut Disposition) -> io::Result<R>) -> io::Result<R> {
    let mut table = lock();
    let place = match table.iter().position(|(other, _)| *other == signal) {
        Some(place) => place,
        None => {
            let disposition = Disposition::install(signal)?;
            table.push((signal, disposition));
            table.len() - 1
        }
    };
    f(&mut table[place].1)
}

fn lock() -> MutexGuard<'static, Vec<(i32, Disposition)>> {
    TABLE.lock().unwrap_or_else(|error| error.into_inner())
}

impl Disposition {
    /// Installs the handler that takes the default action.
    fn install(signal: i32) -> io::Result<Self> {
        let was_default = is_default(signal);
        let default = Arc::new(AtomicBool::new(was_default));
        // The default action of a real-time signal is not known. Then there is none after the claims.
        if low_level::signal_name(signal).is_some() {
            flag::register_conditional_default(signal, default.clone())?;
        }
        Ok(Disposition {
            default,
            was_default,
            escalation: None,
            runner: None,
            has_runner: false,
            claims: 0,
            put_aside: false,
        })
    }

    /// Has the next signal set the flag for the default action.
    fn escalate(&mut self, signal: i32) -> io::Result<()> {
        if self.escalation.is_none() {
            // After the handler that takes the default action: otherwise the first signal would.
            self.escalation = Some(flag::register(signal, self.default.clone())?);
        }
        Ok(())
    }

    fn end_escalation(&mut self) {
        if let Some(escalation) = self.escalation.take() {
            low_level::unregister(escalation);
        }
    }

    fn forget_seen(&self) {
        if let Some(flags) = &self.runner {
            flags.seen.store(false, Ordering::SeqCst);
        }
    }

    /// The flags of runners, which are installed once.
    fn flags(&mut self, signal: i32, wakeup: &UnixStream) -> io::Result<RunnerFlags> {
        if let Some(flags) = &self.runner {
            return Ok(flags.clone());
        }
        let seen = Arc::new(AtomicBool::new(false));
        flag::register(signal, seen.clone())?;
        low_level::pipe::register(signal, wakeup.try_clone()?)?;
        Ok(self.runner.insert(RunnerFlags { seen }).clone())
    }
}

/// Whether the signal still has its default action.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_default_in(&status, signal)
}

/// Whether `status`, as in proc(5), lists the signal neither as ignored nor as caught.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default_in(status: &str, signal: i32) -> bool {
    let bit = 1_u64.checked_shl(signal.wrapping_sub(1).unsigned_abs());
    let is_in = |set: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(set));
        let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & bit.unwrap_or(0) != 0)
    };
    !is_in("SigIgn:") && !is_in("SigCgt:")
}

/// Other systems have no safe way to ask.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_default(_: i32) -> bool {
    true
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ignores_or_handles_sigint_is_left_alone() {
        let status = |ignored, caught| {
            let status = format!("Name:\tx\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n");
            is_default_in(&status, signal_hook::consts::SIGINT)
        };
        assert!(status("0000000000001000", "0000000000000440"));
        assert!(!status("0000000000001002", "0000000000000440"));
        assert!(!status("0000000000001000", "0000000000000442"));
        assert!(is_default_in("", 2), "nothing is known");
    }

    #[test]
    fn signals_that_nobody_can_handle_are_refused() {
        for signal in signal_hook::consts::FORBIDDEN {
            let refused = SignalClaim::new(*signal).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_signal_has_its_default_action_unless_the_program_ignores_it() {
        assert!(is_default(signal_hook::consts::SIGXCPU));
        // The runtime of Rust ignores this one.
        assert!(!is_default(signal_hook::consts::SIGPIPE));
    }

    #[test]
    fn a_runner_sees_a_signal_once_and_none_that_is_claimed() {
        let signal = signal_hook::consts::SIGUSR1;
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let listening = Listening::begin(signal, &theirs).unwrap();
        assert!(Listening::begin(signal, &theirs).is_err(), "one at a time");
        low_level::raise(signal).unwrap();
        assert_eq!([(); 2].map(|()| listening.was_raised()), [true, false]);
        let claim = SignalClaim::new(signal).unwrap();
        low_level::raise(signal).unwrap();
        assert!(!listening.was_raised());
        drop(listening);
        drop(claim);
        Listening::begin(signal, &theirs).unwrap();
    }

    #[test]
    fn a_second_signal_while_a_claim_lives_does_not_end_the_process() {
        let signal = signal_hook::consts::SIGVTALRM;
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let listening = Listening::begin(signal, &theirs).unwrap();
        let claim = SignalClaim::new(signal).unwrap();
        low_level::raise(signal).unwrap();
        low_level::raise(signal).unwrap();
        drop(claim);
        assert!(!listening.was_raised());
        // Nor does one that came before the listener was dropped.
        let claim = SignalClaim::new(signal).unwrap();
        low_level::raise(signal).unwrap();
        drop(listening);
        drop(claim);
    }

    #[test]
    fn the_default_action_returns_with_the_last_claim() {
        let signal = signal_hook::consts::SIGUSR2;
        let is_default = || with(signal, |it| Ok(it.default.load(Ordering::SeqCst))).unwrap();
        let first = SignalClaim::new(signal).unwrap();
        let second = SignalClaim::new(signal).unwrap();
        low_level::raise(signal).unwrap();
        drop(first);
        assert!(!is_default());
        drop(second);
        assert!(is_default());
    }
}
