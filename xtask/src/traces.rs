//! `cargo xtask traces`: records what CPython's asyncio does in the programs of `tests/differential`.
//!
//! The recordings are part of the repository, so the tests need no Python. Whoever adds a program runs this, or
//! whoever wants to know whether a newer CPython still does the same. `VERSION` beside them says which it was.

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

/// The first CPython with groups and `timeout`. Where it differs from 3.13, whose behaviour we follow, the program is
/// marked: the recorder leaves it as it is, and names it.
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
    fn a_version_is_read_from_what_python_prints() {
        assert_eq!(version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(version("Python 3.14.0rc1"), Some((3, 14)));
        assert!(version("Python 3.9.2") < Some(OLDEST));
        assert_eq!(version("pyenv: no such command"), None);
    }
}
