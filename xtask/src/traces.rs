//! `cargo xtask traces`: records anew what CPython's asyncio does in the programs of `tests/differential`.
//!
//! The recordings are part of the repository, so that the tests need no Python: this is for whoever adds a
//! program, or wants to know whether a newer CPython still does the same. Which one it was is beside them, in
//! `VERSION`.

use crate::command::{Command, no_more};
use crate::process::{Failure, Process, output_of};

pub(crate) const COMMAND: Command = Command {
    name: "traces",
    arguments: "",
    about: "Records anew what CPython does in the differential tests; needs python3 of 3.11 or later.",
    run,
};

/// The first CPython with groups and `timeout`. What it does otherwise than 3.13, whose behaviour we follow, is
/// marked in the programs: the recorder leaves those as they are, and says which.
const OLDEST: (u32, u32) = (3, 11);

fn run(arguments: &[String]) -> Result<(), Failure> {
    no_more(arguments)?;
    let needed = format!(
        "the traces need python3 of {}.{} or later",
        OLDEST.0, OLDEST.1
    );
    let Some(words) = output_of("python3", "--version") else {
        return Err(Failure::because(format!("{needed}, and there is none")));
    };
    match version(&words) {
        Some(version) if version >= OLDEST => {}
        _ => return Err(Failure::because(format!("{needed}, and this is {words}"))),
    }
    let recorder = Process::program("python3").words("tests/differential/recorder.py");
    recorder.words("tests/differential/traces").run()
}

/// Major and minor version, of what `python3 --version` prints.
fn version(words: &str) -> Option<(u32, u32)> {
    let mut numbers = words.strip_prefix("Python ")?.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_python_says() {
        assert_eq!(version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(version("Python 3.14.0rc1"), Some((3, 14)));
        assert!(version("Python 3.9.2") < Some(OLDEST));
        assert_eq!(version("pyenv: no such command"), None);
    }
}
