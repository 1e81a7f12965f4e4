//! Ctrl-C: the first one cancels the main task, the second one does what it does without us.
//!
//! The handlers are set once for the process and stay; a flag says whether they are to do the default
//! action, which they do whenever no runner wants to know. A runner that does is on the main thread, as
//! in Python, and there is one at a time. As in Python again, a program that was told to ignore Ctrl-C
//! (in the background of a shell without job control) or that handles it itself is left alone.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use asyncio_reactor::{Reactor, Registered};
use signal_hook::consts::SIGINT;
use signal_hook::{flag, low_level};

/// Set up at the first use.
struct Handlers {
    /// Whether Ctrl-C is to do its default action. Set by the first Ctrl-C itself, for the second one.
    default: Arc<AtomicBool>,
    /// Whether there was a Ctrl-C.
    seen: Arc<AtomicBool>,
    /// Where it is heard by a loop that sleeps. `None` while a runner has it.
    bell: Mutex<Option<UnixStream>>,
}

static HANDLERS: LazyLock<io::Result<Handlers>> = LazyLock::new(|| {
    if !is_default() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let default = Arc::new(AtomicBool::new(true));
    let seen = Arc::new(AtomicBool::new(false));
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    // In this order: the second Ctrl-C finds what the first one set.
    flag::register_conditional_default(SIGINT, default.clone())?;
    flag::register(SIGINT, default.clone())?;
    flag::register(SIGINT, seen.clone())?;
    low_level::pipe::register(SIGINT, theirs)?;
    Ok(Handlers {
        default,
        seen,
        bell: Mutex::new(Some(ours)),
    })
});

/// Listens for Ctrl-C for as long as it lives.
#[derive(Debug)]
pub(crate) struct CtrlC {
    bell: Option<Registered<mio::net::UnixStream>>,
}

impl CtrlC {
    /// `None` if this is not the main thread, somebody listens already, or the handlers cannot be set,
    /// and Ctrl-C ends the process as ever.
    pub(crate) fn listen(reactor: &Reactor) -> Option<Self> {
        if !is_main_thread() {
            return None;
        }
        let handlers = HANDLERS.as_ref().ok()?;
        let bell = lock(&handlers.bell).take()?;
        let bell = mio::net::UnixStream::from_std(bell);
        let bell = match reactor.register(bell, mio::Interest::READABLE) {
            Ok(bell) => bell,
            Err(error) => {
                let (bell, _) = error.into_parts();
                *lock(&handlers.bell) = Some(bell.into());
                return None;
            }
        };
        handlers.seen.store(false, Ordering::Relaxed);
        handlers.default.store(false, Ordering::Relaxed);
        Some(Self { bell: Some(bell) })
    }

    /// Whether there was a Ctrl-C since the last call.
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
        // One that nobody has heard came, as it were, right after this.
        if self.was_pressed() {
            let _ = low_level::emulate_default_handler(SIGINT);
        }
        if let Some(bell) = self.bell.take() {
            *lock(&handlers.bell) = Some(silence(bell.into_inner()).into());
        }
    }
}

/// Takes out what rang, so that it does not ring for the next one.
fn silence(mut bell: mio::net::UnixStream) -> mio::net::UnixStream {
    let mut rung = [0; 64];
    while matches!(io::Read::read(&mut bell, &mut rung), Ok(n) if n == rung.len()) {}
    bell
}

/// Ends the process as an unhandled Ctrl-C does, so that whoever started it sees that.
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

/// Elsewhere there is no portable way to ask; the first runner that listens is taken for the main one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_main_thread() -> bool {
    true
}

/// Whether nobody has said yet what Ctrl-C is to do.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_default() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_default_in(&status)
}

/// Whether `status`, as in proc(5), has SIGINT neither among the signals that are ignored nor among
/// those that are caught.
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

/// Elsewhere there is no safe way to ask.
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
