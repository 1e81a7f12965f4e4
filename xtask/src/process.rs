//! Other programs that a command runs, most of them cargo.
//!
//! Each is shown as it could be typed before it runs, and runs at the root of the repository.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use crate::tally::Tally;
use crate::workspace;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// In words for its user.
    Because(String),
    /// Its user was told already.
    Told,
}

impl Failure {
    pub(crate) fn because(words: impl Into<String>) -> Self {
        Failure::Because(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Because(words) => f.write_str(words),
            Failure::Told => f.write_str("as told above"),
        }
    }
}

/// A program about to run.
pub(crate) struct Process {
    command: Command,
    /// The environment and words, as one would type them.
    shown: String,
}

impl Process {
    /// `cargo` of the toolchain that runs this program.
    pub(crate) fn cargo() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Process::new(Command::new(cargo), "cargo")
    }

    /// `cargo` of another toolchain.
    pub(crate) fn cargo_of(toolchain: &str) -> Self {
        let mut command = Command::new("rustup");
        command.args(["run", toolchain, "cargo"]);
        Process::new(command, &format!("cargo +{toolchain}"))
    }

    /// A program that is found by its name.
    pub(crate) fn program(name: &str) -> Self {
        Process::new(Command::new(name), name)
    }

    fn new(mut command: Command, shown: &str) -> Self {
        command.current_dir(workspace::root());
        Process {
            command,
            shown: shown.to_owned(),
        }
    }

    /// Adds arguments, separated by spaces.
    pub(crate) fn words(self, words: &str) -> Self {
        self.args(words.split_whitespace())
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.command.arg(arg.as_ref());
            self.shown = format!("{} {}", self.shown, quoted(arg.as_ref()));
        }
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self.shown = format!("{key}={} {}", quoted(value), self.shown);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .status()
            .map_err(|error| self.unstarted(&error))?;
        self.judge(status)
    }

    /// Runs a `cargo test` to its end, showing what it prints, and counts its tests in `tally`.
    pub(crate) fn run_tests(mut self, tally: &mut Tally) -> Result<(), Failure> {
        println!("$ {}", self.shown);
        self.command.stdout(Stdio::piped());
        let mut child = self
            .command
            .spawn()
            .map_err(|error| self.unstarted(&error))?;
        let output = child.stdout.take().expect("the output is piped");
        for line in BufReader::new(output).split(b'\n') {
            let line =
                line.map_err(|error| Failure::because(format!("reading test output: {error}")))?;
            // Lossy: a test may print what it likes.
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.read(&line);
        }
        let status = child.wait().map_err(|error| self.unstarted(&error))?;
        self.judge(status)
    }

    fn judge(&self, status: ExitStatus) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        let shown = &self.shown;
        Err(Failure::because(format!("`{shown}` ended with {status}")))
    }

    fn unstarted(&self, error: &std::io::Error) -> Failure {
        Failure::because(format!("`{}` did not start: {error}", self.shown))
    }
}

/// What a program prints, if it is there and succeeds.
pub(crate) fn output_of(program: &str, words: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(words.split_whitespace()).output().ok()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| printed.trim().to_owned())
}

/// `word` as a shell would need it.
fn quoted(word: &str) -> String {
    if word.contains([' ', '|', '&', ';', '*']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_shown_as_it_is_typed() {
        let process = Process::cargo()
            .words("test -p asyncio-task")
            .args(["two words"])
            .env("RUSTFLAGS", "--cfg loom");
        assert_eq!(
            process.shown,
            "RUSTFLAGS='--cfg loom' cargo test -p asyncio-task 'two words'"
        );
        assert_eq!(
            Process::cargo_of("nightly").words("test").shown,
            "cargo +nightly test"
        );
    }

    #[test]
    fn a_program_that_fails_is_a_failure_with_its_words() {
        let failing = Process::new(Command::new("false"), "false");
        let failure = failing.words("--anyway").run().unwrap_err().to_string();
        assert!(
            failure.starts_with("`false --anyway` ended with"),
            "{failure}"
        );
    }

    #[test]
    fn tests_are_counted_in_what_a_process_prints() {
        let mut tally = Tally::default();
        let tests = Process::new(Command::new("echo"), "echo");
        let summary = "test result: FAILED. 3 passed; 1 failed; 0 ignored";
        assert!(tests.args([summary]).run_tests(&mut tally).is_ok());
        assert_eq!(tally.to_string(), "3 passed, 1 failed");
        let tests = Process::new(Command::new("false"), "false");
        assert!(tests.run_tests(&mut tally).is_err());
    }

    #[test]
    fn a_missing_program_has_no_output() {
        assert_eq!(output_of("no-such-program-anywhere", "--version"), None);
    }
}
