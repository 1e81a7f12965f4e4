//! A command to be started.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use asyncio_loop::try_reactor;
use asyncio_task::StepBack;

use super::child::{Child, Guard, stop_if_cancelled};
use super::communicate::communicate;
use super::ending::Process;
use super::error::SpawnError;
use super::reaper;
use crate::pipe::{PipeReader, PipeWriter};

/// The default time that a process may take to end after `SIGTERM`.
const GRACE: Duration = Duration::from_secs(5);

/// A command to be started as a child process, in the shape of [`std::process::Command`].
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::process::Command;
///
/// # asyncio_loop::run(async {
/// let status = Command::new("test").args(["-d", "/"]).status().await?;
/// assert!(status.success());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a command does nothing until it is started"]
pub struct Command {
    inner: std::process::Command,
    kill_on_drop: bool,
    grace: Duration,
    /// Whether the standard error goes to the pipe of the standard output.
    merges_stderr: bool,
    streams: Streams,
}

/// The standard streams that were set. For the others each call has its own default.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

impl From<std::process::Command> for Command {
    /// A command of the standard library. Its standard streams count as not set.
    fn from(inner: std::process::Command) -> Self {
        Command {
            inner,
            kill_on_drop: false,
            grace: GRACE,
            merges_stderr: false,
            streams: Streams::default(),
        }
    }
}

impl Command {
    /// A command that starts `program`: a path, or a name that is looked for in `PATH`.
    #[doc(alias = "create_subprocess_exec")]
    #[doc(alias = "subprocess_exec")]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// A command that the shell, `sh`, runs.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_os::*; }
    /// use asyncio::process::Command;
    ///
    /// # asyncio_loop::run(async {
    /// let output = Command::shell("echo one; exit 3").output().await?;
    /// assert_eq!((output.status.code(), &*output.stdout), (Some(3), &b"one\n"[..]));
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// The shell interprets the text, so it must not contain untrusted input. Pass such input as an argument:
    /// `Command::shell("grep -c \"$0\" log").arg(input)`.
    #[doc(alias = "create_subprocess_shell")]
    #[doc(alias = "subprocess_shell")]
    pub fn shell(script: impl AsRef<OsStr>) -> Self {
        let mut shell = Self::new("/bin/sh");
        shell.arg("-c").arg(script);
        shell
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    /// Sets environment variables.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> &mut Self {
        self.inner.envs(variables);
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(name);
        self
    }

    /// Removes all environment variables.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the working directory.
    #[doc(alias = "cwd")]
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(directory);
        self
    }

    /// Sets the standard input: piped, null, inherited, or a file. Unless set, it is inherited by
    /// [`spawn`](Self::spawn) and [`status`](Self::status), and null for [`output`](Self::output).
    #[doc(alias = "DEVNULL")]
    #[doc(alias = "PIPE")]
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.inner.stdin(stdin);
        self.streams.stdin = true;
        self
    }

    /// Sets the standard output. Unless set, it is inherited by [`spawn`](Self::spawn) and
    /// [`status`](Self::status), and piped for [`output`](Self::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.inner.stdout(stdout);
        self.streams.stdout = true;
        self
    }

    /// Sets the standard error. Unless set, it is inherited by [`spawn`](Self::spawn) and
    /// [`status`](Self::status), and piped for [`output`](Self::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.inner.stderr(stderr);
        self.streams.stderr = true;
        self
    }

    /// Pipes the standard output and the standard error through one pipe, [`Child::stdout`]. Their
    /// parts come in the order in which the process writes them.
    #[doc(alias = "STDOUT")]
    pub fn stderr_to_stdout(&mut self) -> &mut Self {
        self.merges_stderr = true;
        self
    }

    /// Sets whether the process is killed when its [`Child`] is dropped, and the group that it leads with it. The
    /// default is `false`.
    pub fn kill_on_drop(&mut self, on: bool) -> &mut Self {
        self.kill_on_drop = on;
        self
    }

    /// Sets how long the process may take to end after `SIGTERM`, when a cancellation ends
    /// [`status`](Self::status) or [`output`](Self::output). The default is 5 s.
    pub fn grace(&mut self, grace: Duration) -> &mut Self {
        self.grace = grace;
        self
    }

    /// Sets the name by which the program is started, its argument 0.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg0(name);
        self
    }

    /// Sets the process group. With 0 the process leads a new group: Ctrl-C in the terminal does not
    /// reach it, and [`Child::stop`] ends its children with it.
    ///
    /// A process that makes itself the leader of a group is treated in the same way. So is one with a new session, as
    /// by the program `setsid`: `Command::new("setsid").arg("server")` starts `server` under the same process id.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.inner.process_group(group);
        self
    }

    /// Sets the user of the process. Then the whole program is forked, which takes longer the more memory it has.
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.inner.uid(id);
        self
    }

    /// Sets the group of the process. Then the whole program is forked, which takes longer the more memory it has.
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.inner.gid(id);
        self
    }

    /// The command of the standard library, for options that are not here. Set the standard streams here, not there.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// Starts the command.
    ///
    /// It does not wait, but it holds up the loop until the system has loaded the program: some
    /// hundred microseconds.
    ///
    /// # Errors
    ///
    /// The system's error with the name of the program, [`SpawnError`]: `NotFound`, `PermissionDenied`, or a lack of
    /// processes, memory or descriptors. Nothing is left behind then. An error as well if no loop
    /// runs on this thread.
    pub fn spawn(&mut self) -> io::Result<Child> {
        try_reactor().map_err(io::Error::other)?;
        reaper::reap_left();
        let merged = match self.merges_stderr {
            true => Some(self.merge().map_err(|error| self.name(error))?),
            false => None,
        };
        let started = self.inner.spawn();
        if merged.is_some() {
            // This command has the writing end, which would never close.
            self.inner.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        }
        let mut started = started.map_err(|error| self.name(error))?;
        let stdin = started.stdin.take();
        let stdout = match merged {
            Some(merged) => Some(merged.into()),
            None => started.stdout.take().map(Into::into),
        };
        let stderr = started.stderr.take();
        let connect = || {
            let guard = Guard {
                process: Process::new(started)?,
                // Until all is well.
                kill_on_drop: true,
            };
            Ok(Child {
                stdin: stdin.map(|fd| PipeWriter::new(fd.into())).transpose()?,
                stdout: stdout.map(PipeReader::new).transpose()?,
                stderr: stderr.map(|fd| PipeReader::new(fd.into())).transpose()?,
                guard,
            })
        };
        let mut child = connect().map_err(|error| self.name(error))?;
        child.guard.kill_on_drop = self.kill_on_drop;
        Ok(child)
    }

    /// One pipe for both outputs. Returns its reading end.
    fn merge(&mut self) -> io::Result<io::PipeReader> {
        let (reader, writer) = io::pipe()?;
        self.inner.stdout(writer.try_clone()?).stderr(writer);
        Ok(reader)
    }

    /// Starts the command and waits for its end. Streams that are set to be piped are closed at once: the process reads
    /// the end, and a write fails.
    ///
    /// # Cancellation
    ///
    /// [Stops](Child::stop) the process, and goes on when it has ended. See [`grace`](Self::grace). A
    /// second request, or a plain drop, kills it.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait`].
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        StepBack::new().await; // a command that cannot be started is ready at once
        let Child {
            stdin,
            stdout,
            stderr,
            guard,
        } = self.spawn()?;
        // The process would wait for more input, or for a reader of its output.
        drop((stdin, stdout, stderr));
        stop_if_cancelled(&guard.process, self.grace, guard.process.wait()).await
    }

    /// Starts the command, waits for its end, and returns its output. The standard input is null,
    /// and the outputs are piped, unless they were set.
    ///
    /// # Cancellation
    ///
    /// As of [`status`](Self::status). The output is lost.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn) and of [`Child::communicate`].
    #[doc(alias = "check_output")]
    pub async fn output(&mut self) -> io::Result<Output> {
        StepBack::new().await;
        let were_set = self.streams;
        if !were_set.stdin {
            self.inner.stdin(Stdio::null());
        }
        if !were_set.stdout {
            self.inner.stdout(Stdio::piped());
        }
        if !were_set.stderr {
            self.inner.stderr(Stdio::piped());
        }
        let started = self.spawn();
        if !were_set.stdin {
            self.inner.stdin(Stdio::inherit());
        }
        if !were_set.stdout {
            self.inner.stdout(Stdio::inherit());
        }
        if !were_set.stderr {
            self.inner.stderr(Stdio::inherit());
        }
        let Child {
            stdin,
            stdout,
            stderr,
            guard,
        } = started?;
        let pipes = communicate(&[], stdin, stdout, stderr, guard.process.wait());
        let (stdout, stderr, status) = stop_if_cancelled(&guard.process, self.grace, pipes).await?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    pub(super) fn name(&self, error: io::Error) -> io::Error {
        SpawnError::name(&self.inner, error)
    }

    /// Connects the command to the next one of a pipeline.
    pub(super) fn connect(&mut self, next: &mut Command) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        match self.merges_stderr {
            true => {
                self.inner.stdout(writer.try_clone()?).stderr(writer);
                self.merges_stderr = false;
            }
            false => {
                self.inner.stdout(writer);
            }
        }
        next.inner.stdin(reader);
        Ok(())
    }
}
