//! One worker process, on the parent's side: its start, its calls, its end.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::pin::{Pin, pin};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::{Sleep, sleep, try_reactor};
use asyncio_reactor::{Direction, Fd, Interest, Registered};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::process::{Signal, pidfd_send_signal};

use super::frame::{Frame, FrameError, Incoming};
use super::summons::{VARIABLE, answer_to, new_words};

/// The time that a worker may take to end when its socket is closed. Then it is killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The status that `wait` would give for exit code 255.
const UNKNOWN_STATUS: i32 = 255 << 8;

/// The pause between two looks for the end of a process, where the system has no event for it.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A write to a worker that is gone sends no signal. This program may not ignore `SIGPIPE`.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// On these systems the standard library sets an option of the socket.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// The program that is started as a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// The path. The default is this program.
    pub(crate) path: Option<std::path::PathBuf>,
    pub(crate) arguments: Vec<std::ffi::OsString>,
    pub(crate) environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Program {
    fn command(&self) -> io::Result<Command> {
        let mut command = match &self.path {
            Some(path) => Command::new(path),
            None => this_program()?,
        };
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// This program, under the name by which it was started.
fn this_program() -> io::Result<Command> {
    let path = if cfg!(any(target_os = "linux", target_os = "android")) {
        // Also when its file was replaced or removed meanwhile.
        "/proc/self/exe".into()
    } else {
        std::env::current_exe()?
    };
    let mut command = Command::new(path);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    Ok(command)
}

/// A worker process. When it is dropped, the process ends and is reaped. In the middle of a call it is killed;
/// otherwise it has a moment to end in order.
pub(crate) struct Worker {
    child: Child,
    socket: Rc<UnixStream>,
    /// Is readable after the end of the process, where the system has such descriptors.
    end: Option<Rc<OwnedFd>>,
    /// The expected first answer.
    hello: String,
    is_busy: bool,
    reaped: bool,
    /// The number of calls that were sent to it.
    pub(crate) calls: u64,
}

/// Why a worker gave no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It ended before it had the whole call.
    Unsent,
    /// It ended during the call.
    Ended,
    /// The time limit has passed.
    TimeLimit(Duration),
    /// The call was ended, with its worker.
    Killed,
    Garbage(FrameError),
    Io(io::Error),
}

impl Worker {
    /// Starts a worker, which has not said hello.
    pub(crate) fn start(program: &Program) -> io::Result<Self> {
        // Both ends are closed in programs that are started, but for the one that becomes the standard input of this.
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let words = new_words();
        let mut command = program.command()?;
        command
            .env(VARIABLE, &words)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .process_group(0);
        let child = command.spawn()?;
        // The command has the other end of the socket, which would never close.
        drop(command);
        let mut worker = Self {
            hello: answer_to(&words, child.id()),
            child,
            socket: Rc::new(ours),
            end: None,
            is_busy: true,
            reaped: false,
            calls: 0,
        };
        worker.end = end_of(&worker.child)?.map(Rc::new);
        Ok(worker)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The expected first answer.
    pub(crate) fn hello(&self) -> &str {
        &self.hello
    }

    /// Whether the worker seems to wait for a call: its socket is open, and has no bytes to read.
    pub(crate) fn is_waiting(&self) -> bool {
        let looked = recv(&*self.socket, &mut [0; 1], RecvFlags::PEEK);
        matches!(looked, Err(Errno::AGAIN))
    }

    /// Registers the worker with the running loop, until the result is dropped.
    pub(crate) fn listen(&self) -> io::Result<Line> {
        let reactor = try_reactor().map_err(io::Error::other)?;
        let both = Interest::READABLE.add(Interest::WRITABLE);
        let socket = reactor.register(Fd::new(self.socket.clone()), both);
        let socket = socket.map_err(|error| error.into_parts().1)?;
        let end = match self.end.clone() {
            None => None,
            Some(end) => {
                let end = reactor.register(Fd::new(end), Interest::READABLE);
                Some(end.map_err(|error| error.into_parts().1)?)
            }
        };
        Ok(Line {
            socket,
            end,
            look: None,
        })
    }

    /// Sends `frame` and waits for the answer, for `limit` at most. `is_unwanted` is asked whether the worker is to be
    /// killed.
    pub(crate) async fn exchange(
        &mut self,
        line: &mut Line,
        incoming: &mut Incoming,
        frame: &[u8],
        limit: Option<Duration>,
        mut is_unwanted: impl FnMut(&mut Context<'_>) -> bool,
    ) -> Result<Frame, Lost> {
        self.is_busy = true;
        let mut unsent = frame;
        let mut end = pin!(limit.map(sleep));
        poll_fn(|cx| {
            if is_unwanted(cx) {
                return Poll::Ready(Err(Lost::Killed));
            }
            if let Some(end) = end.as_mut().as_pin_mut()
                && end.poll(cx).is_ready()
            {
                return Poll::Ready(Err(Lost::TimeLimit(limit.unwrap_or_default())));
            }
            while !unsent.is_empty() {
                match line.poll_send(cx, unsent) {
                    Poll::Ready(Ok(count)) => unsent = &unsent[count..],
                    Poll::Ready(Err(_broken)) => return Poll::Ready(Err(Lost::Unsent)),
                    Poll::Pending => break,
                }
            }
            if unsent.is_empty()
                && let Poll::Ready(answer) = line.poll_receive(cx, incoming)
            {
                return Poll::Ready(answer);
            }
            std::task::ready!(line.poll_told(cx, &mut self.child))?;
            self.reaped = true;
            // Its last words may have come since.
            match line.poll_receive(cx, incoming) {
                _ if !unsent.is_empty() => Poll::Ready(Err(Lost::Unsent)),
                Poll::Pending => Poll::Ready(Err(Lost::Ended)),
                answer => answer,
            }
        })
        .await
    }

    /// Notes that the worker has answered, and waits for the next call.
    pub(crate) fn rest(&mut self) {
        self.is_busy = false;
    }

    /// Waits for the end of a process that has closed its socket. `None`: it went on without the socket, for so long
    /// that it was killed.
    pub(crate) async fn ended(mut self, mut line: Line) -> io::Result<Option<ExitStatus>> {
        let status = self.wait_for_end(&mut line, PATIENCE).await?;
        if status.is_none() {
            self.kill();
            self.wait_for_end(&mut line, Duration::MAX).await?;
        }
        Ok(status)
    }

    /// Kills the worker and waits for its end.
    pub(crate) async fn killed(mut self, line: Line) {
        self.kill();
        // A selector that has failed is an error of the loop, and ends the wait.
        let _ = self.ended(line).await;
    }

    /// Closes the socket, so that the worker ends in order, and waits for the end.
    pub(crate) async fn retired(self, line: Line) {
        self.hang_up();
        let _ = self.ended(line).await;
    }

    fn hang_up(&self) {
        // Not by a drop: it may be registered. It fails if the worker has gone.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    async fn wait_for_end(
        &mut self,
        line: &mut Line,
        limit: Duration,
    ) -> io::Result<Option<ExitStatus>> {
        let mut limit = pin!(sleep(limit));
        let ended = poll_fn(|cx| {
            if let Poll::Ready(status) = line.poll_ended(cx, &mut self.child)? {
                return Poll::Ready(Ok(Some(status)));
            }
            limit.as_mut().poll(cx).map(|()| io::Result::Ok(None))
        });
        let status = ended.await?;
        self.reaped |= status.is_some();
        Ok(status)
    }

    fn kill(&mut self) {
        // It fails if the process was reaped.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(end) = &self.end {
            // Not by its number, which another process may have if this one was reaped elsewhere.
            let _ = pidfd_send_signal(&**end, Signal::KILL);
            return;
        }
        let _ = self.child.kill();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        if self.is_busy {
            self.kill();
        } else {
            self.hang_up();
        }
        let end = Instant::now() + PATIENCE;
        while let Ok(None) = status_of(&mut self.child) {
            if Instant::now() >= end {
                self.kill();
                // It was killed: the system ends it as soon as it can.
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("id", &self.id())
            .field("busy", &self.is_busy)
            .finish_non_exhaustive()
    }
}

/// The status of a process that has ended. It is 255 if another part of the program has reaped the process, or ignores
/// SIGCHLD.
fn status_of(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    match child.try_wait() {
        Err(error) if error.raw_os_error() == Some(Errno::CHILD.raw_os_error()) => {
            Ok(Some(ExitStatus::from_raw(UNKNOWN_STATUS)))
        }
        looked => looked,
    }
}

/// A descriptor that is readable once the process has ended. The process is not reaped before this is asked.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn end_of(child: &Child) -> io::Result<Option<OwnedFd>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
        Ok(end) => Ok(Some(end)),
        // An old system, or one that forbids it.
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn end_of(_child: &Child) -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

/// A worker on a loop.
#[derive(Debug)]
pub(crate) struct Line {
    socket: Registered<Fd<Rc<UnixStream>>>,
    end: Option<Registered<Fd<Rc<OwnedFd>>>>,
    /// The time of the next look at the process, where the system has no event for its end.
    look: Option<Pin<Box<Sleep>>>,
}

impl Line {
    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = |fd: &Fd<_>| Ok(send(fd, bytes, NO_SIGNAL)?);
        self.socket.poll_io(cx, Direction::Write, write)
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
    ) -> Poll<Result<Frame, Lost>> {
        loop {
            let read = |fd: &Fd<_>| Ok(recv(fd, &mut *incoming.space(), RecvFlags::empty())?.0);
            let count = match std::task::ready!(self.socket.poll_io(cx, Direction::Read, read)) {
                Ok(0) => return Poll::Ready(Err(Lost::Ended)),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    // Linux says so if it had not read all of the call, which so has not begun.
                    let unread = cfg!(any(target_os = "linux", target_os = "android"));
                    let lost = if unread { Lost::Unsent } else { Lost::Ended };
                    return Poll::Ready(Err(lost));
                }
                Err(error) => return Poll::Ready(Err(Lost::Io(error))),
            };
            match incoming.filled(count) {
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Ok(frame)),
                Err(error) => return Poll::Ready(Err(Lost::Garbage(error))),
            }
        }
    }

    /// Waits for the end of the process, where the system has an event for it.
    fn poll_told(&self, cx: &mut Context<'_>, child: &mut Child) -> Poll<io::Result<ExitStatus>> {
        let Some(end) = &self.end else {
            return Poll::Pending;
        };
        end.poll_io(cx, Direction::Read, |_| {
            status_of(child)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        })
    }

    /// Waits for the end of the process.
    fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
        child: &mut Child,
    ) -> Poll<io::Result<ExitStatus>> {
        if self.end.is_some() {
            return self.poll_told(cx, child);
        }
        loop {
            if let Some(status) = status_of(child)? {
                return Poll::Ready(Ok(status));
            }
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK_EVERY)));
            std::task::ready!(look.as_mut().poll(cx));
            self.look = None;
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
