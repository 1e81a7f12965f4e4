//! `cargo xtask tidy`: the rules of the project that no compiler and no tool checks.
//!
//! A rule is a file and a line in [`CHECKS`]. It takes the [`Repository`] and returns complaints with their places.

mod cancel_path;
mod front_page;
mod heads;
mod name_map;
mod page_names;
mod proofs;
mod prose;
mod repository;
mod unsafe_files;

use anyhow::bail;
use xshell::Shell;

use crate::{circles, layers, workspace};
pub(crate) use repository::Repository;

type Check = fn(&Repository) -> Vec<String>;

/// Every rule except that of the layers, which asks cargo.
const CHECKS: &[Check] = &[
    heads::check,
    unsafe_files::check,
    front_page::check,
    name_map::check,
    page_names::check,
    cancel_path::check,
    proofs::check,
    prose::check,
    circles::check,
];

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    check(shell)?;
    println!("tidy");
    Ok(())
}

/// Runs every check and prints its complaints.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    let repository = Repository::load(shell)?;
    let mut complaints = layers::complaints(&layers::arrows(&workspace::metadata()?));
    complaints.extend(CHECKS.iter().flat_map(|check| check(&repository)));
    for complaint in &complaints {
        println!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => bail!("{count} untidy"),
    }
}

/// The files that may use `unsafe`, as paths from the root.
pub(crate) fn unsafe_files(shell: &Shell) -> anyhow::Result<Vec<String>> {
    Ok(unsafe_files::allowing(&Repository::load(shell)?))
}
