//! Ctrl-C: the first one cancels the main task, the second one does what it does without us.
//!
//! The handlers are set once for the process and stay; a flag says whether they are to do the default
//! action, which they do whenever no runner wants to know. A runner that does is on the main thread, as
//! in Python, and there is one at a time.

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
