//! Benchmarks: the same work on this runtime and on others, side by side in one run.
//!
//! The program starts itself again for each run. A *worker* gives one workload to one runtime and prints its figures.
//! The *load* drives a worker that is a server. The workloads are written once (`workloads`), against a common trait
//! (`runtime`), and a runtime is one file (`runtimes`).
//!
//! Linux only, like the tools it measures with.

mod child;
mod comparison;
mod cores;
mod counts;
mod effort;
mod figures;
mod group;
mod load;
mod machine;
mod meter;
mod options;
mod page;
mod primitives;
mod row;
mod runtime;
mod runtimes;
mod series;
mod signal;
mod svg;
mod system;
mod terminal;
mod threads;
mod web;
mod workload;
mod workloads;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use crate::cores::{Role, pin};
use crate::options::{Command, HELP, Selection};

fn main() -> ExitCode {
    asyncio::run_if_worker();
    let command = match Command::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Help => print!("{HELP}"),
        Command::List => list(),
        Command::Compare(selection) => compare(&selection)?,
        Command::Worker {
            runtime,
            workload,
            effort,
        } => {
            pin(Role::Measured)?;
            match runtimes::run(&runtime, &workload, effort.into()) {
                Some(figures) => println!("{}", figures.to_line()),
                None => println!("{}", child::UNAVAILABLE),
            }
        }
        Command::Load(load) => {
            pin(Role::Driver)?;
            workloads::echo::allow_many_files();
            println!("{}", load::run(load)?.to_line());
        }
    }
    Ok(())
}

fn list() {
    println!("workloads:");
    for workload in workloads::ALL {
        println!("  {:<20}{}", workload.name, workload.what);
    }
    println!("runtimes:");
    for runtime in runtimes::ALL {
        println!("  {:<20}{}, {}", runtime.name, runtime.family, runtime.what);
    }
}

fn compare(selection: &Selection) -> Result<(), Box<dyn Error>> {
    let results = comparison::run(selection)?;
    if selection.write {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        std::fs::write(
            docs.join("performance.md"),
            page::page(&results, selection.rounds()),
        )?;
        std::fs::write(docs.join("performance.svg"), svg::chart(&results))?;
    }
    Ok(())
}
