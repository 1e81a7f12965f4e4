//! Ctrl-C, and SIGTERM by option: the first one cancels the main task, the second one has its
//! default effect.
//!
//! The signal handlers are those of [`disposition`](crate::disposition). A runner listens only on
//! the main thread, as in Python, and only one at a time. As in Python, a program that ignores
//! Ctrl-C (in the background of a shell without job control) or handles it itself is left alone.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{LazyLock, Mutex, MutexGuard};

use asyncio_reactor::{Reactor, Registered};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level;

use crate::disposition::Listening;

/// The pair of sockets by which a signal wakes a parked loop.
struct Wakeup {
    /// The end that a loop waits for. `None` while a runner has it.
    ours: Mutex<Option<UnixStream>>,
    /// The end that the handlers write to.
    theirs: UnixStream,
}

static WAKEUP: LazyLock<io::Result<Wakeup>> = LazyLock::new(|| {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok(Wakeup {
        ours: Mutex::new(Some(ours)),
        theirs,
    })
});

/// The signals that a runner listens to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopSignals {
    pub(crate) interrupt: bool,
    pub(crate) terminate: bool,
}

/// Listens for Ctrl-C and SIGTERM while it lives.
#[derive(Debug)]
pub(crate) struct CtrlC {
    listening: Vec<Listening>,
    wakeup: Option<Registered<mio::net::UnixStream>>,
}

impl CtrlC {
    /// Returns `None` if this is not the main thread, another runner already listens, or no handler
    /// can be installed. The signals then end the process as usual.
    pub(crate) fn listen(reactor: &Reactor, signals: StopSignals) -> Option<Self> {
        let wanted = [(SIGINT, signals.interrupt), (SIGTERM, signals.terminate)];
        let mut wanted = wanted.iter().filter(|(_, is_wanted)| *is_wanted).peekable();
        if wanted.peek().is_none() || !is_main_thread() {
            return None;
        }
        let ends = WAKEUP.as_ref().ok()?;
        let wakeup = lock(&ends.ours).take()?;
        let mut this = CtrlC {
            listening: Vec::new(),
            wakeup: None,
        };
        let wakeup = mio::net::UnixStream::from_std(wakeup);
        match reactor.register(wakeup, mio::Interest::READABLE) {
            Ok(wakeup) => this.wakeup = Some(wakeup),
            Err(error) => {
                let (wakeup, _) = error.into_parts();
                *lock(&ends.ours) = Some(wakeup.into());
                return None;
            }
        }
        let listening =
            wanted.filter_map(|(signal, _)| Listening::begin(*signal, &ends.theirs).ok());
        this.listening.extend(listening);
        // Without a signal, the drop puts the socket back.
        (!this.listening.is_empty()).then_some(this)
    }

    /// The signal that has arrived since the last call, if one has.
    #[inline]
    pub(crate) fn arrived(&self) -> Option<i32> {
        let raised = self.listening.iter().find(|one| one.was_raised());
        raised.map(Listening::signal)
    }
}

impl Drop for CtrlC {
    fn drop(&mut self) {
        self.listening.clear();
        if let (Some(wakeup), Ok(ends)) = (self.wakeup.take(), WAKEUP.as_ref()) {
            *lock(&ends.ours) = Some(drain(wakeup.into_inner()).into());
        }
    }
}

/// Reads the pending bytes, so that the next listener does not see them.
fn drain(mut wakeup: mio::net::UnixStream) -> mio::net::UnixStream {
    let mut rung = [0; 64];
    while matches!(io::Read::read(&mut wakeup, &mut rung), Ok(n) if n == rung.len()) {}
    wakeup
}

/// Ends the process by a signal, as an unhandled one does, so that the parent process sees it.
pub(crate) fn end_process(signal: i32) -> ! {
    // The system does not let a signal end the first process of a container.
    if std::process::id() != 1 {
        let _ = low_level::emulate_default_handler(signal);
    }
    std::process::exit(exit_code(signal))
}

/// The exit code of a program that a signal has ended, as a shell tells it.
fn exit_code(signal: i32) -> i32 {
    128 + signal
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_shell_adds_128_to_the_signal() {
        assert_eq!(super::exit_code(signal_hook::consts::SIGINT), 130);
    }
}
