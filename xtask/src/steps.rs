//! Steps that run one after the other, are timed, and stop at the first that fails.

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
    /// Runs a step.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce(&mut Tally) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n== {name}");
        let start = Instant::now();
        let failed_before = self.tally.failed;
        let result = step(&mut self.tally);
        if result.is_err() && self.tally.failed == failed_before {
            // So that the last line never says "0 failed" of a run that did.
            self.tally.failed += 1;
        }
        self.done.push(Step {
            name,
            took: start.elapsed(),
            failed: result.is_err(),
        });
        result.map_err(|failure| Failure::because(format!("step `{name}`: {failure}")))
    }

    /// Prints what took how long, what failed, and as the last line of all the count of tests.
    pub(crate) fn conclude(self, result: Result<(), Failure>) -> Result<(), Failure> {
        print!("\n{}", self.table());
        if let Err(failure) = &result {
            println!("\nFAILED: {failure}");
        }
        println!("\n{}", self.tally);
        result.map_err(|_| Failure::Told)
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
        assert_eq!(result.unwrap_err().to_string(), "step `fmt`: not formatted");
        assert_eq!(steps.tally.to_string(), "0 passed, 1 failed");
        assert!(steps.table().contains("fmt"));
        assert!(steps.table().contains("FAILED"));
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
    }
}
