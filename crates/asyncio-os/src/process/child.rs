//! A child process: its pipes, its end, signals to it.

use std::io;
use std::process::{ExitStatus, Output};
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{TaskGroup, catch_cancel, timeout};
use asyncio_task::StepBack;

use super::communicate::communicate;
use super::ending::Process;
use crate::pipe::{PipeReader, PipeWriter};
use crate::signal::Signal;

/// A child process, from [`Command::spawn`](super::Command::spawn): asyncio's `Process`.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; pub use asyncio_os::*; }
/// use asyncio::net::StreamReader;
/// use asyncio::process::{Command, Stdio};
///
/// # asyncio_loop::run(async {
/// let mut child = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let input = child.stdin.take().expect("it is piped");
/// input.write_all(b"pear\napple\n").await?;
/// drop(input); // `sort` reads to the end
///
/// let mut lines = StreamReader::new(child.stdout.take().expect("it is piped"));
/// assert_eq!(lines.next_line().await?, Some("apple"));
/// assert_eq!(lines.next_line().await?, Some("pear"));
/// assert!(child.wait().await?.success());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// Most methods take `&self`, so tasks that share it in an `Rc` may wait for it and signal it.
///
/// # Dropping
///
/// A dropped child goes on, unless it was started with
/// [`kill_on_drop`](super::Command::kill_on_drop). Its end is awaited in the background, so it
/// leaves no zombie, also if the loop ends first. Its pipes are closed.
#[derive(Debug)]
pub struct Child {
    /// The standard input, if it is piped.
    pub stdin: Option<PipeWriter>,
    /// The standard output, if it is piped.
    pub stdout: Option<PipeReader>,
    /// The standard error, if it is piped.
    pub stderr: Option<PipeReader>,
    /// After the pipes, so that they are closed first.
    pub(super) guard: Guard,
}

/// The process, and what its drop does.
pub(super) struct Guard {
    pub(super) process: Rc<Process>,
    pub(super) kill_on_drop: bool,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.process.id())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.kill_on_drop {
            let _ = self.process.send_signal_to_all(Signal::KILL);
        }
        self.process.reap_later();
    }
}

impl Child {
    /// The id of the process. After its end the system may give it to another one.
    #[must_use]
    #[doc(alias = "pid")]
    pub fn id(&self) -> u32 {
        self.guard.process.id()
    }

    /// Waits for the end of the process. It does not wait for its pipes, which a grandchild may hold
    /// open.
    ///
    /// Any number of tasks may wait, also after the end. A process that waits for its input does not
    /// end: drop [`stdin`](Self::stdin) first. Nor does a process whose output is not read, once
    /// the pipe is full: read it meanwhile, or use [`communicate`](Self::communicate).
    ///
    /// # Cancellation
    ///
    /// Loses nothing. The process goes on.
    ///
    /// # Errors
    ///
    /// [`StatusTaken`](super::StatusTaken), inside of the [`io::Error`]. An error as well if the loop
    /// on which the process was started is closed or is not the running one.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        self.guard.process.wait().await
    }

    /// The status, if the process has ended.
    ///
    /// # Errors
    ///
    /// [`StatusTaken`](super::StatusTaken), inside of the [`io::Error`].
    #[doc(alias = "returncode")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.guard.process.try_wait()
    }

    /// Waits for the end of the process. A cancellation [stops](Self::stop) the process first.
    ///
    /// [`wait_in`](Self::wait_in) makes the process a child of a task group. If a future with a child is dropped before
    /// its first poll, the process goes on. [`kill_on_drop`](super::Command::kill_on_drop) prevents that.
    ///
    /// # Cancellation
    ///
    /// Goes on when the process has ended. A second request interrupts the wait for the grace
    /// period, and kills the process. So does a plain drop.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    pub async fn wait_or_stop(&self, grace: Duration) -> io::Result<ExitStatus> {
        stop_if_cancelled(&self.guard.process, grace, self.wait()).await
    }

    /// Makes the process a child of a task group, which returns when the process has ended. If the
    /// group is cancelled, or another child fails, the process is [stopped](Self::stop).
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_os::*; }
    /// use asyncio::{BoxError, TaskGroup, process::Command, task_group};
    /// use std::time::Duration;
    ///
    /// # asyncio_loop::run(async {
    /// let grace = Duration::from_secs(3);
    /// let outcome = task_group(async |tg: TaskGroup| {
    ///     let server = Command::new("sleep").arg("1000").spawn()?;
    ///     server.wait_in(&tg, grace);
    ///     Err::<(), BoxError>("the disk is full".into())
    /// });
    /// assert!(outcome.await.is_err());
    /// // `sleep` has ended.
    /// # });
    /// ```
    ///
    /// The group does not fail if the process does: look at the status, which the returned child
    /// gives. Take the pipes out of the child before.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait) are errors of the group.
    pub fn wait_in<'env, E>(
        mut self,
        group: &TaskGroup<'env, E>,
        grace: Duration,
    ) -> asyncio_executors::Child<'env, ExitStatus>
    where
        E: From<io::Error> + 'env,
    {
        // The group may end before the first poll.
        self.guard.kill_on_drop = true;
        group.spawn(async move { Ok(self.wait_or_stop(grace).await?) })
    }

    /// Ends the process: sends `SIGTERM`, waits for `grace`, sends `SIGKILL` if it has not ended, and
    /// waits.
    ///
    /// If the process leads a process group of its own, both signals go to the whole group, and this waits for all its
    /// processes. `SIGKILL` comes after `grace` if one of them has not ended.
    ///
    /// # Cancellation
    ///
    /// The process has `SIGTERM`, and goes on unless it obeys. If it has ended, the rest of its group is killed.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait), and `PermissionDenied` if the process runs as another user.
    ///
    /// # Panics
    ///
    /// When polled outside of any task.
    pub async fn stop(&self, grace: Duration) -> io::Result<ExitStatus> {
        stop(&self.guard.process, grace).await
    }

    /// Writes `input` to the process and closes its standard input. Reads its output and its errors to their
    /// ends meanwhile, and waits for its end.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_os::*; }
    /// use asyncio::process::{Command, Stdio};
    ///
    /// # asyncio_loop::run(async {
    /// let mut tr = Command::new("tr");
    /// let tr = tr.args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    /// let mut child = tr.spawn()?;
    /// let output = child.communicate(b"hello").await?;
    /// assert_eq!(output.stdout, b"HELLO");
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// A stream that is not piped, or was taken out, gives no bytes. A process that ends without
    /// reading all its input is no error. An output ends when all processes that have it closed it,
    /// grandchildren included.
    ///
    /// # Cancellation
    ///
    /// Loses the output that was read, and closes the pipes. The process goes on.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is input and the standard input is not piped. Otherwise the system's
    /// error, and those of [`wait`](Self::wait).
    pub async fn communicate(&mut self, input: &[u8]) -> io::Result<Output> {
        StepBack::new().await;
        let (stdin, stdout, stderr) = (self.stdin.take(), self.stdout.take(), self.stderr.take());
        let pipes = communicate(input, stdin, stdout, stderr, self.guard.process.wait());
        let (stdout, stderr, status) = pipes.await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    /// Sends a signal. A signal to a process that has ended does nothing.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a real-time signal, and the system's error.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.guard.process.send_signal(signal)
    }

    /// Sends a signal to all processes of the group that the process leads. See
    /// [`Command::process_group`](super::Command::process_group). If it leads none, only the process
    /// receives it.
    ///
    /// # Errors
    ///
    /// Those of [`send_signal`](Self::send_signal).
    pub fn send_signal_to_group(&self, signal: Signal) -> io::Result<()> {
        self.guard.process.send_signal_to_all(signal)
    }

    /// Asks the process to end, by `SIGTERM`. It does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`send_signal`](Self::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM)
    }

    /// Ends the process, by `SIGKILL`. It does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`send_signal`](Self::send_signal).
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }
}

/// Terminates a process, and kills it after `grace`.
pub(super) async fn stop(process: &Process, grace: Duration) -> io::Result<ExitStatus> {
    // The number of a process that has ended before may be another group's by now.
    let group = process.group();
    process.send_signal_to_all(Signal::TERM)?;
    let ended = async {
        let status = process.wait().await?;
        if let Some(group) = group {
            group.wait_or_kill().await;
        }
        Ok(status)
    };
    match timeout(grace, ended).await {
        Ok(ended) => ended,
        Err(_timed_out) => {
            process.send_signal_to_all(Signal::KILL)?;
            process.wait().await
        }
    }
}

/// Runs `work`, which waits for a process. Stops the process if that is cancelled, and kills it if
/// that is dropped.
pub(super) async fn stop_if_cancelled<T>(
    process: &Rc<Process>,
    grace: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut kill = KillOnDrop(Some(process));
    match catch_cancel(work).await {
        Ok(value) => {
            kill.0 = None;
            value
        }
        Err(cancelled) => {
            // An error is not the caller's any more; the guard does what is left.
            if stop(process, grace).await.is_ok() {
                kill.0 = None;
            }
            drop(kill);
            cancelled.resume().await
        }
    }
}

/// Kills a process, unless it has been disarmed.
struct KillOnDrop<'a>(Option<&'a Rc<Process>>);

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.0 {
            let _ = process.send_signal_to_all(Signal::KILL);
        }
    }
}
