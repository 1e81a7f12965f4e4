//! Runs: a workload on a runtime in a process of its own.
//!
//! Each run is a new process, so it inherits no heap, caches or threads of another. A second process makes the load for
//! the echo workloads.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::figures::Figures;
use crate::load::{Load, Until};
use crate::options::load_words;
use crate::workload::Traffic;

/// The word that a worker prints if its runtime cannot do the workload.
pub(crate) const UNAVAILABLE: &str = "n/a";

/// A worker to be started.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) runtime: &'static str,
    pub(crate) workload: &'static str,
    /// The words before the worker's command line: a counting tool with its options.
    pub(crate) under: Vec<String>,
    /// Its effort: nothing, `--quick` or `--exactly N`.
    pub(crate) effort: Vec<String>,
    /// The load, if it is a server.
    pub(crate) traffic: Option<(Traffic, Until)>,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` if the runtime cannot do the workload.
    pub(crate) figures: Option<Figures>,
    /// The error output of the worker, or of the tool that it ran under.
    pub(crate) errors: String,
}

impl Run {
    /// Starts the processes and waits for their figures.
    ///
    /// # Errors
    ///
    /// A process cannot be started, fails, or has a malformed answer.
    pub(crate) fn execute(&self) -> io::Result<Outcome> {
        let mut worker = Started::new(&self.under, &self.worker_words()?)?;
        let traffic = match self.traffic {
            Some((traffic, until)) => self.drive(&mut worker, traffic, until)?,
            None => None,
        };
        let (answer, errors) = worker.finish()?;
        let answer = answer.trim();
        // A server says it in place of its address.
        if answer == UNAVAILABLE || (self.traffic.is_some() && traffic.is_none()) {
            return Ok(Outcome {
                figures: None,
                errors,
            });
        }
        let figures = Figures::from_line(answer)
            .ok_or_else(|| io::Error::other(format!("{self} answered {answer:?}")))?;
        Ok(Outcome {
            figures: Some(figures.and(traffic.unwrap_or_default())),
            errors,
        })
    }

    /// Puts the load on a worker that is a server. `None` if its runtime cannot be one.
    fn drive(
        &self,
        server: &mut Started,
        traffic: Traffic,
        until: Until,
    ) -> io::Result<Option<Figures>> {
        let address = server.line()?;
        let address = address.trim();
        if address == UNAVAILABLE {
            return Ok(None);
        }
        let address: SocketAddr = address
            .parse()
            .map_err(|_| io::Error::other(format!("{self} announced {address:?}")))?;
        let load = Load {
            server: address,
            process: server.child.id(),
            connections: traffic.connections,
            idle: traffic.idle,
            message: traffic.message,
            until,
        };
        let mut words = vec![own_path()?];
        words.extend(load_words(load));
        let (answer, _) = Started::new(&[], &words)?.finish()?;
        Figures::from_line(&answer)
            .map(Some)
            .ok_or_else(|| io::Error::other(format!("the load on {self} answered {answer:?}")))
    }

    fn worker_words(&self) -> io::Result<Vec<String>> {
        let mut words = vec![own_path()?, "worker".to_owned()];
        words.extend([self.runtime.to_owned(), self.workload.to_owned()]);
        words.extend(self.effort.iter().cloned());
        Ok(words)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.workload, self.runtime)
    }
}

fn own_path() -> io::Result<String> {
    Ok(std::env::current_exe()?.to_string_lossy().into_owned())
}

/// A started process, which is killed when this is dropped.
#[derive(Debug)]
struct Started {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The sender for `kill_after`. Its drop ends that thread without a kill.
    _alive: Sender<()>,
}

/// A limit that no run reaches, even under a tool that makes it fifty times slower.
const PATIENCE: Duration = Duration::from_secs(300);

/// Kills `process` when the sender is still there after `patience`.
fn kill_after(patience: Duration, process: u32) -> io::Result<Sender<()>> {
    let (alive, over) = mpsc::channel();
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| io::Error::other("a child has a process number"))?;
    thread::spawn(move || {
        if over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(process, Signal::KILL);
        }
    });
    Ok(alive)
}

impl Started {
    fn new(under: &[String], words: &[String]) -> io::Result<Self> {
        let mut words = under.iter().chain(words);
        let program = words.next().expect("there is a program to start");
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("its output is piped");
        Ok(Self {
            _alive: kill_after(PATIENCE, child.id())?,
            child,
            output: BufReader::new(output),
        })
    }

    /// The next line it prints.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    /// Waits for its end. Returns the rest of its output, and its error output.
    fn finish(mut self) -> io::Result<(String, String)> {
        let mut output = String::new();
        self.output.read_to_string(&mut output)?;
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors)?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("ended with {status}: {errors}")));
        }
        Ok((output, errors))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Usually the process has ended already, and both calls return an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
