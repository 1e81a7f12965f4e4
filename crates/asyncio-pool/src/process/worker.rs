//! The worker's side: a process that makes its parent's calls, one after the other, and ends with the parent.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{read, retry_on_intr};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use serde::{Deserialize, Serialize};

use super::frame::{Frame, Incoming, Kind, decode, frame, set_number};
use super::remote::Functions;
use super::summons::{Summons, answer_to};

/// The time that an idle worker may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// The stack of the thread that watches the parent.
const WATCH_STACK: usize = 64 * 1024;

/// The limits that a worker is told before it says hello.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// The limit of its address space, in bytes.
    pub(crate) memory: Option<u64>,
    /// The limit of its messages, in both directions.
    pub(crate) message: u64,
}

/// Makes this process a worker, if a [`ProcessPool`](crate::ProcessPool) has started it as one. Then it does not
/// return. In any other process it does nothing.
///
/// It is the first line of a `main` without the attribute `#[asyncio::main]`, which calls it. A worker must not do the
/// work of the program: read arguments, listen on a port, start threads.
///
/// ```
/// asyncio_pool::run_if_worker();
/// // The program, in the process that was started by its user.
/// ```
///
/// The standard input of a worker is empty. It shares standard output and standard error with its parent. A worker is
/// in a process group of its own, so Ctrl-C in a terminal reaches the parent only.
#[doc(alias = "multiprocessing.freeze_support")]
pub fn run_if_worker() {
    let Some(summons) = Summons::pending() else {
        return;
    };
    let code = match work(&summons) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "asyncio: a worker process ends: {error}");
            1
        }
    };
    let _ = io::stdout().flush();
    std::process::exit(code);
}

fn work(summons: &Summons) -> io::Result<()> {
    let mut socket = summons.socket()?;
    // A stopped worker runs on when its parent ends, and then ends as well. The signal does nothing else, which matters
    // because it follows the thread of the parent that started this, and not the parent.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    // From now on the summons is followed, and what a call reads from standard input is no frame.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let functions = Functions::of_this_program().map_err(|name| {
        io::Error::other(format!(
            "two remote functions are called `{name}` in one place"
        ))
    })?;
    let mut incoming = Incoming::new(usize::MAX);
    let Some(limits) = next(&socket, &mut incoming)? else {
        return Ok(()); // the pool was shut down meanwhile
    };
    let limits: Limits = decode(limits.body()).map_err(io::Error::other)?;
    let is_busy = Arc::new(AtomicBool::new(false));
    watch(socket.try_clone()?, is_busy.clone())?;
    if let Some(bytes) = limits.memory {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        setrlimit(Resource::As, limit)?;
    }
    let limit = usize::try_from(limits.message).unwrap_or(usize::MAX);
    let hello = answer_to(&summons.words, std::process::id());
    socket.write_all(&frame(Kind::Hello, &[hello.as_bytes()]))?;
    while let Some(call) = next(&socket, &mut incoming)? {
        is_busy.store(true, Ordering::SeqCst);
        let mut answer = functions.answer(&call, limit);
        set_number(&mut answer, call.number);
        is_busy.store(false, Ordering::SeqCst);
        drop(call);
        match socket.write_all(&answer) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break, // the parent has gone
            written => written?,
        }
    }
    Ok(())
}

/// The next frame of the parent. `None` if the parent is gone.
fn next(socket: &UnixStream, incoming: &mut Incoming) -> io::Result<Option<Frame>> {
    loop {
        let count = match retry_on_intr(|| read(socket, &mut *incoming.space())) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            // A parent that has gone without reading all of an answer has reset the connection.
            Err(_reset) => return Ok(None),
        };
        if let Some(frame) = incoming.filled(count).map_err(io::Error::other)? {
            return Ok(Some(frame));
        }
    }
}

/// Ends this process when its parent is gone, even in the middle of a call. The thread sleeps until then.
fn watch(socket: UnixStream, is_busy: Arc<AtomicBool>) -> io::Result<()> {
    let watching = move || {
        // Only the end of the parent is reported to a wait that asks for nothing.
        while poll(&mut [PollFd::new(&socket, PollFlags::empty())], None).is_err() {}
        if !is_busy.load(Ordering::SeqCst) {
            // The other thread reads the end, and ends in order.
            thread::sleep(PATIENCE);
        }
        // Not `exit`: nothing of what the call is in the middle of runs any more.
        let _ = kill_process(getpid(), Signal::KILL);
    };
    let thread = thread::Builder::new().name("asyncio-watch".to_owned());
    thread.stack_size(WATCH_STACK).spawn(watching)?;
    Ok(())
}
