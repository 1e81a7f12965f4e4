//! Pipelines: several processes, the output of each the input of the next.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use super::child::Child;
use super::command::Command;
use crate::signal::Signal;

/// Commands of which each reads the output of the one before, as `a | b | c` in a shell.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::process::{Command, Stdio};
///
/// # asyncio_loop::run(async {
/// let mut numbers = Command::new("seq");
/// numbers.arg("20");
/// let mut search = Command::new("grep");
/// search.arg("1");
/// let mut count = Command::new("wc");
/// count.arg("-l").stdout(Stdio::piped());
///
/// let mut running = numbers.pipe(search).pipe(count).spawn()?;
/// let mut lines = Vec::new();
/// running.last().stdout.take().expect("it is piped").read_to_end(&mut lines).await?;
/// assert_eq!(lines.trim_ascii(), b"11");
/// let statuses = running.wait().await?;
/// assert!(statuses.iter().all(|status| status.success()));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// The bytes go from process to process, not through this program. The standard input of the first
/// command and the standard output of the last one are as they were set.
#[derive(Debug)]
#[must_use = "a pipeline does nothing until it is started"]
pub struct Pipeline {
    commands: Vec<Command>,
}

/// The processes of a started [`Pipeline`].
#[derive(Debug)]
pub struct RunningPipeline {
    children: Vec<Child>,
}

impl Command {
    /// Begins a [`Pipeline`]: the output of this command is the input of `next`.
    pub fn pipe(self, next: Command) -> Pipeline {
        Pipeline::new(self).pipe(next)
    }
}

impl Pipeline {
    /// A pipeline of one command.
    pub fn new(first: Command) -> Self {
        Pipeline {
            commands: vec![first],
        }
    }

    /// Adds a command at the end.
    pub fn pipe(mut self, next: Command) -> Self {
        self.commands.push(next);
        self
    }

    /// Starts all commands.
    ///
    /// # Errors
    ///
    /// Those of [`Command::spawn`]. The commands that were started are killed then.
    pub fn spawn(self) -> io::Result<RunningPipeline> {
        let mut children = Vec::new();
        let mut commands = self.commands.into_iter().peekable();
        while let Some(mut command) = commands.next() {
            let connected = match commands.peek_mut() {
                Some(next) => command.connect(next).map_err(|error| command.name(error)),
                None => Ok(()),
            };
            // The drop of the command closes this program's ends of its pipes.
            let mut child = match connected.and_then(|()| command.spawn()) {
                Ok(child) => child,
                Err(error) => {
                    kill_all(&children);
                    return Err(error);
                }
            };
            if !children.is_empty() {
                child.stdin = None;
            }
            children.push(child);
        }
        Ok(RunningPipeline { children })
    }
}

fn kill_all(children: &[Child]) {
    for child in children {
        let _ = child.send_signal_to_group(Signal::KILL);
    }
}

impl RunningPipeline {
    /// The first process, whose standard input is the pipeline's.
    ///
    /// # Panics
    ///
    /// Never: a pipeline has a process.
    pub fn first(&mut self) -> &mut Child {
        self.children.first_mut().expect("a pipeline has a process")
    }

    /// The last process, whose standard output is the pipeline's.
    ///
    /// # Panics
    ///
    /// Never: a pipeline has a process.
    pub fn last(&mut self) -> &mut Child {
        self.children.last_mut().expect("a pipeline has a process")
    }

    /// All processes, in their order.
    pub fn children(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Waits for the end of all processes, and returns their statuses.
    ///
    /// # Cancellation
    ///
    /// Loses nothing. The processes go on.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`].
    pub async fn wait(&self) -> io::Result<Vec<ExitStatus>> {
        let mut statuses = Vec::new();
        for child in &self.children {
            statuses.push(child.wait().await?);
        }
        Ok(statuses)
    }

    /// [Stops](Child::stop) all processes at once, and returns their statuses.
    ///
    /// # Cancellation
    ///
    /// The processes have `SIGTERM`, and go on unless they obey.
    ///
    /// # Errors
    ///
    /// Those of [`Child::stop`].
    ///
    /// # Panics
    ///
    /// When polled outside of any task.
    pub async fn stop(&self, grace: Duration) -> io::Result<Vec<ExitStatus>> {
        let stops = self.children.iter().map(|child| child.stop(grace));
        let stopped = asyncio_executors::gather_iter(stops).await;
        stopped.into_iter().collect()
    }
}
