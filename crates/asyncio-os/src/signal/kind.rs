//! The kind of a signal.

use std::fmt;
use std::io;

use signal_hook::{consts, low_level};

/// The kind of a signal, such as [`Signal::TERM`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "SignalKind")]
pub struct Signal(i32);

impl Signal {
    /// `SIGHUP`: the terminal is gone; for a service, by convention, read the configuration again.
    pub const HUP: Self = Signal(consts::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INT: Self = Signal(consts::SIGINT);
    /// `SIGQUIT`: Ctrl-\.
    pub const QUIT: Self = Signal(consts::SIGQUIT);
    /// `SIGKILL`: ends a process, which cannot handle it.
    pub const KILL: Self = Signal(consts::SIGKILL);
    /// `SIGUSR1`.
    pub const USR1: Self = Signal(consts::SIGUSR1);
    /// `SIGUSR2`.
    pub const USR2: Self = Signal(consts::SIGUSR2);
    /// `SIGPIPE`: a write to a pipe without a reader.
    pub const PIPE: Self = Signal(consts::SIGPIPE);
    /// `SIGALRM`.
    pub const ALRM: Self = Signal(consts::SIGALRM);
    /// `SIGTERM`: a request to end.
    pub const TERM: Self = Signal(consts::SIGTERM);
    /// `SIGCHLD`: a child process has ended or stopped.
    pub const CHLD: Self = Signal(consts::SIGCHLD);
    /// `SIGCONT`: a stopped process goes on.
    pub const CONT: Self = Signal(consts::SIGCONT);
    /// `SIGSTOP`: stops a process, which cannot handle it.
    pub const STOP: Self = Signal(consts::SIGSTOP);
    /// `SIGTSTP`: Ctrl-Z.
    pub const TSTP: Self = Signal(consts::SIGTSTP);
    /// `SIGWINCH`: the size of the terminal has changed.
    pub const WINCH: Self = Signal(consts::SIGWINCH);

    /// The signal with a number of this system, which may be a real-time signal.
    #[must_use]
    pub const fn from_raw(number: i32) -> Self {
        Signal(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// The name, such as `SIGTERM`, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        low_level::signal_name(self.0)
    }

    /// Sends the signal to this process.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no named signal, and the system's error.
    pub fn raise(self) -> io::Result<()> {
        let this_process = rustix::process::getpid();
        rustix::process::kill_process(this_process, self.named()?)?;
        Ok(())
    }

    /// The form in which it is sent.
    pub(crate) fn named(self) -> io::Result<rustix::process::Signal> {
        rustix::process::Signal::from_named_raw(self.0).ok_or_else(|| {
            let message = format!("{self} cannot be sent: it is no named signal");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
