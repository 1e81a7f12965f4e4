//! Ctrl-C: the first one cancels the main task, the second one has its default effect.
//!
//! The signal handlers are installed once per process and stay. A flag decides whether they take
//! the default action, which they do unless a runner listens. A runner listens only on the main
//! thread, as in Python, and only one at a time. As in Python, a program that ignores Ctrl-C (in
//! the background of a shell without job control) or handles it itself is left alone.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use asyncio_reactor::{Reactor, Registered};
use signal_hook::consts::SIGINT;
use signal_hook::{flag, low_level};

/// The signal handlers, installed at the first use.
struct Handlers {
    /// Whether Ctrl-C takes its default action. The first Ctrl-C sets it, for the second one.
    default: Arc<AtomicBool>,
    /// Whether a Ctrl-C has arrived.
    seen: Arc<AtomicBool>,
    /// Wakes a parked loop on Ctrl-C (a self-pipe). `None` while a runner has it.
    wakeup: Mutex<Option<UnixStream>>,
}

static HANDLERS: LazyLock<io::Result<Handlers>> = LazyLock::new(|| {
    if !is_default() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let default = Arc::new(AtomicBool::new(true));
    let seen = Arc::new(AtomicBool::new(false));
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // This order is required: the second Ctrl-C must see the flag that the first one set.
    flag::register_conditional_default(SIGINT, default.clone())?;
    flag::register(SIGINT, default.clone())?;
    flag::register(SIGINT, seen.clone())?;
    low_level::pipe::register(SIGINT, theirs)?;
    Ok(Handlers {
        default,
        seen,
        wakeup: Mutex::new(Some(ours)),
    })
});

/// Listens for Ctrl-C while it lives.
#[derive(Debug)]
pub(crate) struct CtrlC {
    wakeup: Option<Registered<mio::net::UnixStream>>,
}

impl CtrlC {
    /// Returns `None` if this is not the main thread, another runner already listens, or the
    /// handlers cannot be installed. Ctrl-C then ends the process as usual.
    pub(crate) fn listen(reactor: &Reactor) -> Option<Self> {
        if !is_main_thread() {
            return None;
        }
        let handlers = HANDLERS.as_ref().ok()?;
        let wakeup = lock(&handlers.wakeup).take()?;
        let wakeup = mio::net::UnixStream::from_std(wakeup);
        let wakeup = match reactor.register(wakeup, mio::Interest::READABLE) {
            Ok(wakeup) => wakeup,
            Err(error) => {
                let (wakeup, _) = error.into_parts();
                *lock(&handlers.wakeup) = Some(wakeup.into());
                return None;
            }
        };
        handlers.seen.store(false, Ordering::Relaxed);
        handlers.default.store(false, Ordering::Relaxed);
        Some(Self {
            wakeup: Some(wakeup),
        })
    }

    /// Whether a Ctrl-C has arrived since the last call.
    #[inline]
    pub(crate) fn was_pressed(&self) -> bool {
        let Ok(handlers) = &*HANDLERS else {
            return false;
        };
        handlers.seen.load(Ordering::Relaxed) && handlers.seen.swap(false, Ordering::Relaxed)
    }
}

impl Drop for CtrlC {
    fn drop(&mut self) {
        let Ok(handlers) = &*HANDLERS else { return };
        handlers.default.store(true, Ordering::Relaxed);
        // A Ctrl-C that has not been handled yet is treated as if it came after the drop.
        if self.was_pressed() {
            let _ = low_level::emulate_default_handler(SIGINT);
        }
        if let Some(wakeup) = self.wakeup.take() {
            *lock(&handlers.wakeup) = Some(drain(wakeup.into_inner()).into());
        }
    }
}

/// Reads the pending bytes, so that the next listener does not see them.
fn drain(mut wakeup: mio::net::UnixStream) -> mio::net::UnixStream {
    let mut rung = [0; 64];
    while matches!(io::Read::read(&mut wakeup, &mut rung), Ok(n) if n == rung.len()) {}
    wakeup
}

/// Ends the process by SIGINT, as an unhandled Ctrl-C does, so that the parent process sees the
/// signal.
pub(crate) fn end_process() -> ! {
    let _ = low_level::emulate_default_handler(SIGINT);
    std::process::exit(130)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// Other systems have no portable way to ask. The first runner that listens counts as on the main
/// thread.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_main_thread() -> bool {
    true
}

/// Whether SIGINT still has its default action.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_default_in(&status)
}

/// Whether `status`, as in proc(5), lists SIGINT neither as ignored nor as caught.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default_in(status: &str) -> bool {
    let bit = 1_u64 << (SIGINT - 1);
    let is_in = |set: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(set));
        let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & bit != 0)
    };
    !is_in("SigIgn:") && !is_in("SigCgt:")
}

/// Other systems have no safe way to ask.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_default() -> bool {
    true
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ignores_or_handles_sigint_is_left_alone() {
        let status = |ignored, caught| {
            is_default_in(&format!(
                "Name:\tx\nSigIgn:\t{ignored}\nSigCgt:\t{caught}\n"
            ))
        };
        assert!(status("0000000000001000", "0000000000000440"));
        assert!(!status("0000000000001002", "0000000000000440"));
        assert!(!status("0000000000001000", "0000000000000442"));
        assert!(is_default_in(""), "nothing is known");
    }
}
