//! Signals as a stream.
//!
//! The handler writes a byte to a pipe for each signal. A pipe has room for some 65,000 bytes, so a
//! listener that is late loses none that the system has not merged.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::SignalClaim;
use asyncio_net::{AsyncFd, Direction, Interest};
use futures_core::{FusedStream, Stream};
use signal_hook::{SigId, low_level};

use super::kind::Signal;

/// Listens to a signal from now on.
///
/// While the stream lives, the signal has no default action, and does not cancel the main task of a
/// [`Runner`](asyncio_loop::Runner). When the last listener is dropped, both return.
///
/// Every stream receives each signal, on any loop of any thread. A child process is not affected:
/// it has the default action.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::signal::{Signal, signal};
///
/// # asyncio_loop::run(async {
/// let mut terminate = signal(Signal::TERM)?;
/// # Signal::TERM.raise()?;
/// terminate.recv().await?;
/// println!("told to end");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// `InvalidInput` for a signal that cannot be handled: `SIGKILL`, `SIGSTOP`, `SIGSEGV`, `SIGFPE`,
/// `SIGILL`. Otherwise the system's error. An error as well if no loop runs on this thread.
pub fn signal(kind: Signal) -> io::Result<Signals> {
    signals([kind])
}

/// Listens to several signals from now on, as [`signal`] does to one.
///
/// # Errors
///
/// Those of [`signal`].
pub fn signals(kinds: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
    let sources = kinds.into_iter().map(Source::new);
    Ok(Signals {
        sources: sources.collect::<io::Result<_>>()?,
    })
}

/// Waits for Ctrl-C (`SIGINT`), once. The first poll begins to listen: from then on Ctrl-C does not
/// cancel the main task.
///
/// ```no_run
/// # mod asyncio { pub use asyncio_loop::*; pub use asyncio_os::*; }
/// # async fn serve() {}
/// # asyncio_loop::run(async {
/// let serving = asyncio::spawn(serve());
/// asyncio::signal::ctrl_c().await?;
/// println!("one moment");
/// serving.cancel();
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// Ends the listening. A Ctrl-C that has arrived is lost.
///
/// # Errors
///
/// Those of [`signal`].
pub async fn ctrl_c() -> io::Result<()> {
    signal(Signal::INT)?.recv().await.map(drop)
}

/// The signals that arrive, from [`signal`] or [`signals`].
///
/// The system merges a signal with an equal one that is pending. The stream loses none beyond that until 65,536 are
/// unread (on Linux; other systems have smaller pipes). Signals of several kinds come in no particular order. Signals
/// that are unread when the stream is dropped are lost.
#[derive(Debug)]
#[must_use = "the signals have no default action until this is dropped"]
pub struct Signals {
    sources: Vec<Source>,
}

/// One kind of signals.
#[derive(Debug)]
struct Source {
    kind: Signal,
    action: SigId,
    arrived: AsyncFd<OwnedFd>,
    /// Released after the action.
    _claim: SignalClaim,
}

impl Source {
    fn new(kind: Signal) -> io::Result<Self> {
        let claim = SignalClaim::new(kind.as_raw())?;
        let (ours, theirs) = io::pipe()?;
        let ours = OwnedFd::from(ours);
        rustix::io::ioctl_fionbio(&ours, true)?;
        let arrived = AsyncFd::with_interest(ours, Interest::READABLE)?;
        let action = low_level::pipe::register(kind.as_raw(), OwnedFd::from(theirs))?;
        Ok(Source {
            kind,
            action,
            arrived,
            _claim: claim,
        })
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        low_level::unregister(self.action);
    }
}

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub async fn recv(&mut self) -> io::Result<Signal> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv), for code that polls.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Signal>> {
        for source in &self.sources {
            let mut byte = [0];
            let read = source.arrived.poll_io(cx, Direction::Read, |pipe| {
                Ok(rustix::io::read(pipe, &mut byte)?)
            });
            if let Poll::Ready(read) = read {
                return Poll::Ready(read.map(|_| source.kind));
            }
        }
        Poll::Pending
    }
}

impl Stream for Signals {
    type Item = io::Result<Signal>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx).map(Some)
    }
}

impl FusedStream for Signals {
    /// False, because the stream never ends.
    fn is_terminated(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use asyncio_loop::run;
    use asyncio_testkit::eventually;

    /// The handler has the writing end. A process that starts meanwhile has it for a moment, too.
    #[test]
    fn the_pipe_of_a_dropped_listener_is_closed() {
        run(async {
            let source = Source::new(Signal::WINCH).unwrap();
            let pipe = source.arrived.get_ref().try_clone().unwrap();
            let read = || rustix::io::read(&pipe, &mut [0]);
            assert_eq!(read(), Err(rustix::io::Errno::AGAIN));
            drop(source);
            eventually("the pipe is open", || read() == Ok(0));
        });
    }
}
