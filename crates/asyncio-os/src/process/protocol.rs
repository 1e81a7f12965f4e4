//! The protocol of a child process: asyncio's `SubprocessProtocol`, with callbacks in place of reads.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::SpawnOptions;
use asyncio_net::StreamWriter;
use asyncio_sync::Event;
use asyncio_task::try_spawn_with;

use super::child::{Child, Guard};
use super::command::Command;
use crate::pipe::{PipeReader, PipeWriter};
use crate::signal::Signal;

/// The number of bytes that are read from a pipe at once.
const CHUNK: usize = 64 * 1024;

/// The callbacks of a child process. All have a default, which does nothing.
///
/// For each pipe, its data come in order, and then its end. There is no order between the pipes and
/// the end of the process. [`connection_lost`](Self::connection_lost) is the last call.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::process::{Command, SubprocessProtocol, SubprocessTransport};
/// use std::cell::RefCell;
/// use std::rc::Rc;
///
/// struct Collect(Rc<RefCell<Vec<u8>>>);
///
/// impl SubprocessProtocol for Collect {
///     fn pipe_data_received(&mut self, _: &SubprocessTransport, _fd: i32, data: &[u8]) {
///         self.0.borrow_mut().extend_from_slice(data);
///     }
/// }
///
/// # asyncio_loop::run(async {
/// let collected = Rc::new(RefCell::new(Vec::new()));
/// let mut echo = Command::new("echo");
/// let transport = echo.arg("hello").spawn_with_protocol(Collect(collected.clone()))?;
/// transport.write_eof();
/// assert!(transport.wait_closed().await?.success());
/// assert_eq!(*collected.borrow(), b"hello\n");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub trait SubprocessProtocol: 'static {
    /// The process has started.
    fn connection_made(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The process has written to its standard output (`fd` is 1) or its standard error (2).
    fn pipe_data_received(&mut self, transport: &SubprocessTransport, fd: i32, data: &[u8]) {
        let _ = (transport, fd, data);
    }

    /// A pipe has ended, or failed.
    fn pipe_connection_lost(
        &mut self,
        transport: &SubprocessTransport,
        fd: i32,
        error: Option<&io::Error>,
    ) {
        let _ = (transport, fd, error);
    }

    /// The process has ended. Its pipes may have more data.
    fn process_exited(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }

    /// The process and its pipes have ended.
    fn connection_lost(&mut self, transport: &SubprocessTransport) {
        let _ = transport;
    }
}

/// A child process with a [`SubprocessProtocol`]. Clones are the same process.
///
/// The callbacks go on when the last clone is dropped.
#[derive(Clone)]
pub struct SubprocessTransport {
    shared: Rc<Shared>,
}

struct Shared {
    guard: Guard,
    stdin: RefCell<Option<Rc<StreamWriter<PipeWriter>>>>,
    /// Set by [`close`](SubprocessTransport::close).
    closing: Event,
    /// Set after the last callback.
    closed: Event,
}

impl Command {
    /// Starts the command, and calls `protocol` for its events. Standard input, output and error are piped.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Self::spawn).
    pub fn spawn_with_protocol(
        &mut self,
        protocol: impl SubprocessProtocol,
    ) -> io::Result<SubprocessTransport> {
        self.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let Child {
            stdin,
            stdout,
            stderr,
            guard,
        } = self.spawn()?;
        let shared = Shared {
            guard,
            stdin: RefCell::new(stdin.map(|pipe| Rc::new(StreamWriter::new(pipe)))),
            closing: Event::new(),
            closed: Event::new(),
        };
        let transport = SubprocessTransport {
            shared: Rc::new(shared),
        };
        let driver = Driver {
            transport: transport.clone(),
            protocol,
            pipes: [(1, stdout), (2, stderr)],
        };
        match try_spawn_with(SpawnOptions::callback(), driver.drive()) {
            Ok(task) => task.detach(),
            Err(refused) => return Err(io::Error::other(refused.to_string())),
        }
        Ok(transport)
    }
}

impl SubprocessTransport {
    /// The id of the process.
    #[must_use]
    #[doc(alias = "get_pid")]
    pub fn id(&self) -> u32 {
        self.shared.guard.process.id()
    }

    /// The status, if the process has ended.
    ///
    /// # Errors
    ///
    /// [`StatusTaken`](super::StatusTaken), inside of the [`io::Error`].
    #[doc(alias = "get_returncode")]
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.shared.guard.process.try_wait()
    }

    /// Sends bytes to the standard input of the process, in the background.
    pub fn write(&self, data: impl AsRef<[u8]>) {
        let stdin = self.shared.stdin.borrow().clone();
        if let Some(stdin) = stdin {
            stdin.write(data);
        }
    }

    /// Closes the standard input of the process, after what was written.
    pub fn write_eof(&self) {
        let stdin = self.shared.stdin.take();
        drop(stdin);
    }

    /// Sends a signal. A signal to a process that has ended does nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Child::send_signal`].
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        self.shared.guard.process.send_signal(signal)
    }

    /// Asks the process to end, by `SIGTERM`. It does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`Child::send_signal`].
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(Signal::TERM)
    }

    /// Ends the process, by `SIGKILL`. It does not wait.
    ///
    /// # Errors
    ///
    /// Those of [`Child::send_signal`].
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(Signal::KILL)
    }

    /// Closes the pipes, and kills the process if it has not ended. The protocol's callbacks for the ends follow soon.
    pub fn close(&self) {
        self.write_eof();
        // The process may be another user's. Its pipes are closed all the same.
        let _ = self.kill();
        self.shared.closing.set();
    }

    /// Waits for the last callback, and returns the status of the process.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`].
    pub async fn wait_closed(&self) -> io::Result<ExitStatus> {
        self.shared.closed.wait().await;
        self.shared.guard.process.wait().await
    }
}

/// The state of the task that calls the protocol.
struct Driver<P> {
    transport: SubprocessTransport,
    protocol: P,
    /// The pipes that have not ended, with their numbers.
    pipes: [(i32, Option<PipeReader>); 2],
}

impl<P: SubprocessProtocol> Driver<P> {
    async fn drive(mut self) {
        // Also after a panic of the protocol.
        let _closed = SetOnDrop(self.transport.clone());
        self.protocol.connection_made(&self.transport);
        let process = self.transport.shared.guard.process.clone();
        let mut end = pin!(process.wait());
        let transport = self.transport.clone();
        let mut closing = pin!(transport.shared.closing.wait());
        let mut is_closing = false;
        let mut has_ended = false;
        let mut buf = vec![0; CHUNK];
        poll_fn(|cx| {
            if !is_closing && closing.as_mut().poll(cx).is_ready() {
                is_closing = true;
                self.close_pipes();
            }
            let mut is_open = false;
            for number in 0..self.pipes.len() {
                is_open |= self.poll_pipe(cx, number, &mut buf).is_pending();
            }
            if !has_ended && end.as_mut().poll(cx).is_ready() {
                has_ended = true;
                self.protocol.process_exited(&self.transport);
            }
            match is_open || !has_ended {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
        self.protocol.connection_lost(&self.transport);
    }

    fn close_pipes(&mut self) {
        for (fd, pipe) in &mut self.pipes {
            if pipe.take().is_some() {
                self.protocol
                    .pipe_connection_lost(&self.transport, *fd, None);
            }
        }
    }

    /// Reads from a pipe until it has no more now. Ready when it has ended.
    fn poll_pipe(&mut self, cx: &mut Context<'_>, number: usize, buf: &mut [u8]) -> Poll<()> {
        let (fd, pipe) = &mut self.pipes[number];
        let fd = *fd;
        while let Some(open) = pipe {
            let error = match ready!(open.poll_read(cx, buf)) {
                Ok(0) => None,
                Ok(n) => {
                    self.protocol
                        .pipe_data_received(&self.transport, fd, &buf[..n]);
                    continue;
                }
                Err(error) => Some(error),
            };
            *pipe = None;
            self.protocol
                .pipe_connection_lost(&self.transport, fd, error.as_ref());
        }
        Poll::Ready(())
    }
}

struct SetOnDrop(SubprocessTransport);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.shared.closed.set();
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubprocessTransport({:?})", self.shared.guard)
    }
}
