//! The project's checks, as `cargo xtask COMMAND`.
//!
//! `ci` is all that CI does; every other command is a part of it or a heavier check of its own.
//! A command is a file that ends in a `COMMAND`, and a line in [`COMMANDS`].

mod bench;
mod ci;
mod command;
mod elsewhere;
mod layers;
mod loom;
mod process;
mod sanitize;
mod steps;
mod tally;
mod test;
mod tidy;
mod traces;
mod workspace;

use std::process::ExitCode;

use command::Command;

/// Every command, in the order of the help text.
const COMMANDS: &[Command] = &[
    test::COMMAND,
    ci::COMMAND,
    tidy::COMMAND,
    loom::COMMAND,
    sanitize::COMMAND,
    bench::COMMAND,
    traces::COMMAND,
];

fn main() -> ExitCode {
    command::dispatch(COMMANDS, std::env::args().skip(1))
}
