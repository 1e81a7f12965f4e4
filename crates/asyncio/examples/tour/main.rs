//! A tour of asyncio for Rust: real sockets, real time, no arguments, a few seconds.
//!
//! `cargo run --release --example tour`, with `--features http` for the scene of fetches. With `-- --short` the same
//! scenes are smaller and take a second or so.
//!
//! Each scene is a file. It reports what happened, how long that took, and what it would have cost with threads: one
//! for each thing that waits. The cost of a thread on this machine is measured at the start.

mod borrowing;
mod buffer;
mod cancelled;
mod echo;
#[cfg(feature = "http")]
mod fetches;
mod foreign_thread;
mod machine;
#[cfg(unix)]
mod processes;
mod scene;
mod shielded;
mod siblings;
mod sleepers;
mod stall;
mod threads;
mod time_limits;
mod timeline;
mod words;

use std::process::ExitCode;
use std::time::Instant;

use scene::{Scene, Stage};
use threads::ThreadCosts;
use words::seconds;

/// The scenes, in the order of the tour. A new scene is a file and a line here.
const SCENES: &[Scene] = &[
    echo::SCENE,
    #[cfg(feature = "http")]
    fetches::SCENE,
    sleepers::SCENE,
    cancelled::SCENE,
    borrowing::SCENE,
    siblings::SCENE,
    time_limits::SCENE,
    shielded::SCENE,
    buffer::SCENE,
    foreign_thread::SCENE,
    #[cfg(unix)]
    processes::SCENE,
    stall::SCENE,
];

#[asyncio::main]
async fn main() -> ExitCode {
    let short = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--short") => true,
        Some(other) => {
            eprintln!("usage: tour [--short], not {other:?}");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    println!("A tour of asyncio for Rust: one thread, one event loop.\n");
    let threads = ThreadCosts::measure(if short { 100 } else { 300 });
    println!("{threads}\n");

    let stage = Stage::new(short, threads);
    let mut failures = 0;
    let mut summary = Vec::new();
    for (n, scene) in SCENES.iter().enumerate() {
        println!("{}. {}", n + 1, scene.title);
        match (scene.play)(stage.clone()).await {
            Ok(report) => {
                print!("{report}");
                summary.push((scene.title, report));
            }
            Err(error) => {
                failures += 1;
                println!("   it went wrong: {error}");
            }
        }
        println!();
    }

    for (title, report) in &summary {
        println!("   {:<52} {:>9}", title, seconds(report.took));
    }
    println!(
        "   {:<52} {:>9}",
        "all of it, on one thread",
        seconds(start.elapsed())
    );
    match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
