//! The project's checks, as `cargo xtask COMMAND`.
//!
//! `ci` is all that CI does. Every other command is a part of it, or a heavier check of its own. Well-kept tools
//! ([`tools`]) do the common checks. The checks written here are those that only this project has.

mod alone;
mod bench;
mod book;
mod ci;
mod circles;
mod elsewhere;
mod fuzz;
mod layers;
mod loom;
// Switches, processes and their limits need a Unix.
#[cfg(unix)]
mod mutants;
mod sanitize;
mod tally;
mod test;
mod tidy;
mod tools;
mod traces;
mod workspace;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
Usage: cargo xtask COMMAND [ARGUMENTS]

  test [ARGUMENTS]                  Runs every test; ends with a line of counts.
  ci                                Runs all that CI runs; stops at the first failure.
  tidy                              Checks layers, circles, heads, unsafe files, proofs, prose, names and map.
  book                              Builds the pages of docs as a book in target/book/html, and checks its links.
  setup                             Installs the tools that ci uses, pinned, under target/tools.
  loom [--full]                     Tries the interleavings of threads.
  sanitize [--address | --valgrind] Runs the tests of unsafe code under address sanitizer and valgrind.
  fuzz [--seconds N] [TARGET …]     Gives parsers and frame readers the bytes of a fuzzer; about a minute.
  mutants [--sample N] [PACKAGE | FILE | NAME …]
                                    Changes the code, one place at a time, and names the changes that no test notices.
  bench [--quick] [--filter X] …    Compares asyncio with other runtimes.
  traces                            Records what CPython does in the differential tests again.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    let shell = workspace::shell()?;
    match words {
        ["test", arguments @ ..] => test::run(&shell, arguments),
        ["ci"] => ci::run(&shell),
        ["tidy"] => tidy::run(&shell),
        ["setup"] => tools::install_all(&shell),
        ["book"] => book::build(&shell),
        ["loom"] => loom::run(&shell, loom::Form::Short),
        ["loom", "--full"] => loom::run(&shell, loom::Form::Full),
        ["sanitize"] => sanitize::run(&shell, &[sanitize::Tool::Address, sanitize::Tool::Valgrind]),
        ["sanitize", "--address"] => sanitize::run(&shell, &[sanitize::Tool::Address]),
        ["sanitize", "--valgrind"] => sanitize::run(&shell, &[sanitize::Tool::Valgrind]),
        ["fuzz", words @ ..] => fuzz::run(&shell, words),
        #[cfg(unix)]
        ["mutants", words @ ..] => mutants::run(&shell, words),
        ["bench", arguments @ ..] => bench::run(&shell, arguments),
        ["traces"] => traces::run(&shell),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            bail!("there is no command `{}`", words.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_fails() {
        assert!(run(&["dance"]).is_err());
        assert!(run(&["ci", "--fast"]).is_err());
        assert!(run(&[]).is_err());
        assert!(run(&["help"]).is_ok());
    }

    #[test]
    fn the_pages_name_the_commands_that_ci_runs() {
        let readme = include_str!("../../README.md");
        for command in ["cargo xtask test", ci::TOUR] {
            assert!(readme.contains(command), "README.md: no `{command}`");
        }
        assert!(include_str!("../../.ci/run").contains("cargo xtask ci"));
    }
}
