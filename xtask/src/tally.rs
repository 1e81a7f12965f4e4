//! How many tests passed and failed, read from what test programs print.

use std::fmt;

use crate::process::Failure;

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Counts a line of output, if it is the summary that ends a test program:
    /// `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = summary.split_whitespace().collect();
        for pair in words.windows(2) {
            match (pair[0].parse::<u64>(), pair[1]) {
                (Ok(count), "passed;") => self.passed += count,
                (Ok(count), "failed;") => self.failed += count,
                _ => {}
            }
        }
    }

    /// Refuses a run of no tests, where that would look like a proof.
    pub(crate) fn not_empty(self) -> Result<(), Failure> {
        match self.passed + self.failed {
            0 => Err(Failure::because("no test ran: the command line found none")),
            _ => Ok(()),
        }
    }

    pub(crate) fn add(&mut self, other: Tally) {
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
    fn summaries_are_summed_and_other_lines_are_not() {
        let mut tally = Tally::default();
        assert!(tally.not_empty().is_err());
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "9 passed; 9 failed;",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 7,
                failed: 2
            }
        );
        assert!(tally.not_empty().is_ok());
        tally.add(Tally {
            passed: 1,
            failed: 1,
        });
        assert_eq!(tally.to_string(), "8 passed, 3 failed");
    }
}
