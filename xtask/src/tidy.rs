//! `cargo xtask tidy`: the rules of the project that no compiler checks.
//!
//! A rule is a file and a line in [`CHECKS`]; it looks at [`Repository`] and says what is wrong
//! and where. A rule worth having is a check here, not a habit.

mod commands;
mod front_page;
mod heads;
mod leftovers;
mod links;
mod name_map;
mod repository;
mod rust_file;
mod top_level;
mod unsafe_files;

use crate::command::{Command, no_more};
use crate::layers;
use crate::process::Failure;
use crate::workspace::{self, Workspace};
use repository::Repository;

pub(crate) const COMMAND: Command = Command {
    name: "tidy",
    arguments: "",
    about: "Checks layers, file heads, unsafe files, the name map, the pages' links and commands.",
    run,
};

type Check = fn(&Repository) -> Vec<String>;

/// Every rule but that of the layers, which asks cargo.
const CHECKS: &[Check] = &[
    top_level::check,
    heads::check,
    leftovers::check,
    unsafe_files::check,
    front_page::check,
    name_map::check,
    links::check,
    commands::check,
];

fn run(arguments: &[String]) -> Result<(), Failure> {
    no_more(arguments)?;
    check()?;
    println!("tidy");
    Ok(())
}

/// Runs every check and prints all that is wrong.
pub(crate) fn check() -> Result<(), Failure> {
    let repository = load()?;
    let mut complaints = layers::complaints(&Workspace::load()?);
    complaints.extend(CHECKS.iter().flat_map(|check| check(&repository)));
    for complaint in &complaints {
        println!("{complaint}");
    }
    match complaints.len() {
        0 => Ok(()),
        count => Err(Failure::because(format!("{count} untidy"))),
    }
}

/// The files that may use `unsafe`, as paths from the root.
pub(crate) fn unsafe_files() -> Result<Vec<String>, Failure> {
    Ok(unsafe_files::allowing(&load()?))
}

fn load() -> Result<Repository, Failure> {
    Repository::load(workspace::root())
        .map_err(|error| Failure::because(format!("reading the repository: {error}")))
}
