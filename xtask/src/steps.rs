//! Steps of a command: named, timed, and summed up at the end in a table and a count of tests.
//!
//! Whether a step that fails is the last one is up to the command.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::process::Failure;
use crate::tally::Tally;

/// The steps done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
    /// The tests of all steps.
    tally: Tally,
}

struct Step {
    name: &'static str,
    took: Duration,
    failed: bool,
}

impl Steps {
    /// Runs a step, which counts its tests, and says why it failed if it did.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&mut Tally) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n== {name}");
        let start = Instant::now();
        let mut tally = Tally::default();
        let result = step(&mut tally);
        if result.is_err() && tally.failed == 0 {
            // So that the last line never says "0 failed" of a run that did.
            tally.failed = 1;
        }
        self.tally.add(tally);
        if let Err(failure) = &result {
            println!("\nFAILED: {name}: {failure}");
        }
        self.done.push(Step {
            name,
            took: start.elapsed(),
            failed: result.is_err(),
        });
        result.map_err(|_| Failure::Told)
    }

    /// Prints what took how long, what failed, and as the last line of all the count of tests.
    pub(crate) fn conclude(self) -> Result<(), Failure> {
        println!("\n{}\n{}", self.table(), self.tally);
        match self.done.iter().any(|step| step.failed) {
            true => Err(Failure::Told),
            false => Ok(()),
        }
    }

    fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, took: Duration, mark: &str| {
            writeln!(table, "{name:<16}{:>8.1} s{mark}", took.as_secs_f64())
                .expect("a string takes any line");
        };
        for step in &self.done {
            row(
                step.name,
                step.took,
                if step.failed { "  FAILED" } else { "" },
            );
        }
        row("total", self.done.iter().map(|step| step.took).sum(), "");
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_named_and_counted() {
        let mut steps = Steps::default();
        let result = steps.run("fmt", |_| Err(Failure::because("not formatted")));
        assert!(result.is_err());
        assert_eq!(steps.tally.to_string(), "0 passed, 1 failed");
        assert!(steps.table().contains("fmt"));
        assert!(steps.table().contains("FAILED"));
        assert!(steps.conclude().is_err());
    }

    #[test]
    fn a_failed_test_is_not_counted_twice() {
        let mut steps = Steps::default();
        let result = steps.run("test", |tally| {
            tally.add(Tally {
                passed: 4,
                failed: 2,
            });
            Err(Failure::because("tests failed"))
        });
        assert!(result.is_err());
        assert_eq!(steps.tally.to_string(), "4 passed, 2 failed");
    }

    #[test]
    fn steps_add_their_tests_up() {
        let mut steps = Steps::default();
        for name in ["test", "loom"] {
            let counted = steps.run(name, |tally| {
                tally.add(Tally {
                    passed: 3,
                    failed: 0,
                });
                Ok(())
            });
            assert!(counted.is_ok());
        }
        assert_eq!(steps.tally.to_string(), "6 passed, 0 failed");
        assert!(!steps.table().contains("FAILED"));
        assert!(steps.conclude().is_ok());
    }
}
