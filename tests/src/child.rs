//! A program of our own, run for a test that looks at a whole process from outside.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A child process that runs one of the scenes in `src/bin/child.rs`. Killed when it is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Its output, while it is read.
    output: Option<BufReader<std::process::ChildStdout>>,
}

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// The rest of its output.
    pub output: String,
    /// Its status.
    pub status: ExitStatus,
}

/// No scene takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

impl Child {
    /// Starts `program`, which is the child's or leads to it.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(program: &mut Command) -> Self {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Self {
            process,
            output: Some(output),
        }
    }

    /// Waits for the next line that it prints.
    ///
    /// # Panics
    ///
    /// If the output is no text, or is no longer read.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let output = self.output.as_mut().expect("it is read");
        output.read_line(&mut line).expect("its output is text");
        line.trim_end().to_owned()
    }

    /// Waits for the next line that it prints, which must be `expected`.
    ///
    /// # Panics
    ///
    /// If it is another.
    pub fn expect(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Goes away from what it prints: to print more is an error for it.
    pub fn stop_reading(&mut self) {
        self.output = None;
    }

    /// Presses Ctrl-C, as far as the child can tell.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // It fails if the child has ended, and then what it printed will tell.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }

    /// Sends SIGHUP to it.
    #[cfg(unix)]
    pub fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::HUP);
    }

    /// Sends SIGTERM to it.
    #[cfg(unix)]
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }

    /// Sends SIGTERM to its only child.
    #[cfg(target_os = "linux")]
    pub fn terminate_child(&self) {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let child = children.ok().and_then(|ids| ids.trim().parse().ok());
        let pid = child.and_then(rustix::process::Pid::from_raw);
        let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM));
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub fn wait(mut self) -> Ended {
        drop(self.process.stdin.take());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the child hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut output = String::new();
        if let Some(rest) = &mut self.output {
            rest.read_to_string(&mut output)
                .expect("its output is text");
        }
        Ended { output, status }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ended {
    /// The signal that ended it.
    #[cfg(unix)]
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.status)
    }
}
