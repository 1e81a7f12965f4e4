//! The end of a child process: waited for, signalled, reaped once.
//!
//! On Linux a descriptor of the process (pidfd) becomes readable when it ends. Elsewhere, and where
//! the kernel has none, each `SIGCHLD` is a reason to look. Only this process is ever waited for by
//! its number, so the status of no other child is taken.

use std::cell::{Cell, RefCell};
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::rc::Rc;

use asyncio_loop::SpawnOptions;
#[cfg(any(target_os = "linux", target_os = "android"))]
use asyncio_net::{AsyncFd, Direction, Interest};
use asyncio_task::{StepBack, try_spawn_with};
use rustix::io::Errno;
use rustix::process::{Pid, getpgid, kill_process};

use super::group::Group;
use super::reaper;
use crate::signal::{Signal, signal};

/// Other code of the program has taken the exit status of a child, by waiting for any child. Or the
/// program ignores `SIGCHLD`, and the system throws statuses away.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the exit status of process {pid} is lost: other code has waited for it, or SIGCHLD is ignored"
)]
pub struct StatusTaken {
    /// The id that the process had.
    pub pid: u32,
}

/// How a process ended.
#[derive(Clone, Copy)]
enum Outcome {
    Status(ExitStatus),
    Taken,
}

/// A child process on a loop, until it is reaped.
pub(super) struct Process {
    pid: u32,
    /// `None` only while it is dropped.
    child: RefCell<Option<std::process::Child>>,
    outcome: Cell<Option<Outcome>>,
    /// Reports the end. `None` when it is known.
    watch: RefCell<Option<Rc<Watch>>>,
}

/// The source that reports the end of a process.
enum Watch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Pidfd(AsyncFd<OwnedFd>),
    /// Each wait has a stream of its own.
    Sigchld,
}

impl Process {
    /// Takes over a child that was just started. It is killed and reaped if that fails.
    pub(super) fn new(mut child: std::process::Child) -> io::Result<Rc<Self>> {
        match Watch::new(child.id()) {
            Ok(watch) => Ok(Self::watched(child, watch)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn watched(child: std::process::Child, watch: Watch) -> Rc<Self> {
        Rc::new(Process {
            pid: child.id(),
            child: RefCell::new(Some(child)),
            outcome: Cell::new(None),
            watch: RefCell::new(Some(Rc::new(watch))),
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.pid
    }

    /// The status, if the process has ended.
    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        if self.outcome.get().is_none() {
            let waited = match &mut *self.child.borrow_mut() {
                Some(child) => child.try_wait(),
                None => return Ok(None),
            };
            match waited {
                Ok(None) => return Ok(None),
                Ok(Some(status)) => self.ended(Outcome::Status(status)),
                // `ECHILD`. The other errors are about the arguments, which are right.
                Err(_no_child) => self.ended(Outcome::Taken),
            }
        }
        match self.outcome.get() {
            Some(Outcome::Status(status)) => Ok(Some(status)),
            _ => Err(io::Error::other(StatusTaken { pid: self.pid })),
        }
    }

    fn ended(&self, outcome: Outcome) {
        self.outcome.set(Some(outcome));
        // Waits that are under way keep it.
        let watch = self.watch.take();
        drop(watch);
    }

    /// Waits for the end.
    pub(super) async fn wait(&self) -> io::Result<ExitStatus> {
        StepBack::new().await; // a process that has ended is ready at once
        let or_would_block = || match self.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        };
        let watch = self.watch.borrow().clone();
        match watch.as_deref() {
            None => or_would_block(),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Watch::Pidfd(pidfd)) => pidfd.io(Direction::Read, |_| or_would_block()).await,
            Some(Watch::Sigchld) => {
                // Listens before it looks: otherwise the last SIGCHLD is lost.
                let mut arrivals = signal(Signal::CHLD)?;
                loop {
                    if let Some(status) = self.try_wait()? {
                        return Ok(status);
                    }
                    arrivals.recv().await?;
                }
            }
        }
    }

    /// Waits for the end in the background, on the running loop.
    pub(super) fn reap_later(self: &Rc<Self>) {
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        let process = self.clone();
        let waiting = async move {
            // Without a status there is nothing to reap.
            let _ = process.wait().await;
        };
        // Not one of the user's tasks. Without a loop, or if the loop ends first, the drop of the
        // process leaves it to the reaper.
        if let Ok(task) = try_spawn_with(SpawnOptions::callback(), waiting) {
            task.detach();
        }
    }

    /// The group that the process leads, unless the process is known to have ended: then its number may belong to
    /// another group.
    ///
    /// The system knows it, also if the process has made itself a leader.
    pub(super) fn group(&self) -> Option<Group> {
        if self.outcome.get().is_some() {
            return None;
        }
        let process = self.as_pid();
        let leads = getpgid(Some(process)) == Ok(process);
        leads.then(|| Group::new(process))
    }

    /// Sends a signal. A signal to a process that has ended does nothing.
    pub(super) fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let named = signal.named()?;
        if self.outcome.get().is_some() {
            return Ok(());
        }
        let watch = self.watch.borrow().clone();
        let sent = match watch.as_deref() {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(Watch::Pidfd(pidfd)) => rustix::process::pidfd_send_signal(pidfd, named),
            // The process is not reaped, so the number is still its own.
            _ => kill_process(self.as_pid(), named),
        };
        gone_is_fine(sent)
    }

    /// Sends a signal to the process, and to its group if it leads one.
    pub(super) fn send_signal_to_all(&self, signal: Signal) -> io::Result<()> {
        match self.group() {
            Some(group) => gone_is_fine(group.kill(signal.named()?)),
            None => self.send_signal(signal),
        }
    }

    fn as_pid(&self) -> Pid {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.expect("the system gave this number to a process")
    }
}

fn gone_is_fine(sent: rustix::io::Result<()>) -> io::Result<()> {
    match sent {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Process {
    /// Leaves a process that has not ended to the [`reaper`].
    fn drop(&mut self) {
        if let (None, Some(child)) = (self.outcome.get(), self.child.take()) {
            reaper::adopt(child);
        }
    }
}

impl Watch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn new(pid: u32) -> io::Result<Self> {
        use rustix::process::{PidfdFlags, pidfd_open};

        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let process = process.expect("the system gave this number to a process");
        match pidfd_open(process, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Ok(Watch::Pidfd(AsyncFd::with_interest(
                pidfd,
                Interest::READABLE,
            )?)),
            // An old kernel, a filter of system calls, or a status that is taken already: `try_wait`
            // tells.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::SRCH) => Ok(Watch::Sigchld),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[expect(clippy::unnecessary_wraps, reason = "it has errors on Linux")]
    fn new(_: u32) -> io::Result<Self> {
        Ok(Watch::Sigchld)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::thread;

    use asyncio_executors::gather_iter;
    use asyncio_loop::run;

    use super::*;

    fn without_pidfd(command: &mut Command) -> Rc<Process> {
        let child = command.spawn().expect("it starts");
        Process::watched(child, Watch::Sigchld)
    }

    #[test]
    fn without_a_pidfd_all_waiters_hear_of_the_end() {
        run(async {
            let sleeper = without_pidfd(Command::new("sleep").arg("100"));
            let waits = (0..10).map(|_| sleeper.wait());
            let kill = async {
                asyncio_loop::yield_now().await;
                sleeper.send_signal(Signal::TERM)
            };
            let (killed, ended) = asyncio_executors::gather((kill, gather_iter(waits))).await;
            killed.unwrap();
            for status in ended {
                assert_eq!(status.unwrap().signal(), Some(15));
            }
        });
    }

    #[test]
    fn without_a_pidfd_an_end_before_the_wait_is_seen() {
        run(async {
            for _ in 0..20 {
                let quick = without_pidfd(&mut Command::new("true"));
                thread::yield_now();
                assert!(quick.wait().await.unwrap().success());
                quick.send_signal(Signal::KILL).unwrap();
            }
        });
    }

    #[test]
    fn without_a_pidfd_the_loop_of_any_thread_works() {
        let elsewhere = || run(async { without_pidfd(&mut Command::new("true")).wait().await });
        let threads = [(); 4].map(|()| thread::spawn(elsewhere));
        for thread in threads {
            assert!(thread.join().unwrap().unwrap().success());
        }
    }
}
