//! `cargo xtask traces`: records the traces of the programs of `tests/differential` under CPython.
//!
//! The recordings are part of the repository, so the tests need no Python. A new program needs a new recording. A
//! recording with a newer CPython shows what has changed there. `VERSION` beside them is the version of the recorder.

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

/// The first CPython with groups and `timeout`. The reference is 3.13. A program that runs otherwise on an older
/// version is marked: the recorder skips it, and names it.
const OLDEST: (u32, u32) = (3, 11);

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    let said = cmd!(shell, "python3 --version").read();
    let said = said.context("the traces need python3 of 3.11 or later")?;
    if version(&said).is_none_or(|version| version < OLDEST) {
        bail!("the traces need python3 of 3.11 or later, and this is {said}");
    }
    Ok(cmd!(
        shell,
        "python3 tests/differential/recorder.py tests/differential/traces"
    )
    .run()?)
}

/// The major and minor version in the output of `python3 --version`.
fn version(words: &str) -> Option<(u32, u32)> {
    let mut numbers = words.strip_prefix("Python ")?.split('.');
    let (major, minor) = (numbers.next()?, numbers.next()?);
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_python_prints() {
        assert_eq!(version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(version("Python 3.14.0rc1"), Some((3, 14)));
        assert!(version("Python 3.9.2") < Some(OLDEST));
        assert_eq!(version("pyenv: no such command"), None);
    }
}
