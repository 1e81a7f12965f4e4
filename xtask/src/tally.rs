//! Counts of tests, read from the summaries that test runners print.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use anyhow::{Context, bail};
use xshell::Cmd;

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Runs a command that runs tests, shows what it prints, and counts its tests.
    ///
    /// A command that fails without a failed test (it did not build, it aborted) counts as one failure.
    pub(crate) fn count(&mut self, command: Cmd<'_>) -> anyhow::Result<()> {
        println!("$ {command}");
        let shown = command.to_string();
        let mut command = std::process::Command::from(command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("`{shown}` did not start"))?;
        let stderr = child.stderr.take().expect("stderr is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let errors = std::thread::spawn(|| read(stderr, std::io::stderr()));
        let mut counted = read(stdout, std::io::stdout());
        counted += errors.join().expect("reading lines does not panic");
        let status = child.wait()?;
        if !status.success() && counted.failed == 0 {
            counted.failed = 1;
        }
        *self += counted;
        if !status.success() {
            bail!("`{shown}` ended with {status}");
        }
        if counted == Self::default() {
            bail!("`{shown}` ran no test");
        }
        Ok(())
    }

    /// Counts a line, if it is a summary of `cargo test` or of nextest.
    fn read(&mut self, line: &str) {
        let line = line.trim_start();
        let summary = line
            .strip_prefix("test result: ")
            .or_else(|| line.strip_prefix("Summary [")?.split_once("run:")?.1.into());
        let words: Vec<&str> = summary.unwrap_or("").split_whitespace().collect();
        for pair in words.windows(2) {
            match (pair[0].parse::<u64>(), pair[1].trim_end_matches([',', ';'])) {
                (Ok(count), "passed") => self.passed += count,
                (Ok(count), "failed" | "timed") => self.failed += count,
                _ => {}
            }
        }
    }
}

/// Copies lines from one end to the other, and counts them.
fn read(from: impl Read, mut to: impl Write) -> Tally {
    let mut tally = Tally::default();
    // Lossy, because a test may print any bytes.
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // A closed terminal stops the copy, not the count.
        let _ = writeln!(to, "{line}");
        tally.read(&line);
    }
    tally
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_added_up_and_other_lines_are_not() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "9 passed; 9 failed;",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "     Summary [   0.008s] 10 tests run: 7 passed (1 slow), 2 failed, 1 timed out, 2 skipped",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "14 passed, 5 failed");
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_counts_as_one() {
        let shell = crate::workspace::shell().unwrap();
        let mut tally = Tally::default();
        assert!(tally.count(xshell::cmd!(shell, "false")).is_err());
        assert_eq!(tally.to_string(), "0 passed, 1 failed");
    }

    #[test]
    fn a_run_of_no_tests_is_an_error() {
        let shell = crate::workspace::shell().unwrap();
        let mut tally = Tally::default();
        assert!(tally.count(xshell::cmd!(shell, "true")).is_err());
        let summary = "test result: ok. 3 passed; 0 failed";
        assert!(tally.count(xshell::cmd!(shell, "echo {summary}")).is_ok());
        assert_eq!(tally.to_string(), "3 passed, 0 failed");
    }
}
