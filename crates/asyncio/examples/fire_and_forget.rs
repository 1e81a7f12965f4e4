//! Fire and forget, done right: a detached task is still looked after.
//!
//! - `task.detach()` lets it run on; if it fails, the exception handler hears of it, with its name and
//!   the line that spawned it.
//! - Dropping the handle cancels the task, so nothing runs on by accident; and a handle that is never
//!   used is a warning of the compiler: "a task that is dropped is cancelled: await it, or detach it".
//! - `detach()` on a task that returns a number does not compile, since nobody would ever see it; say
//!   `discard()` if that is meant.
//!
//! `cargo run --example fire_and_forget`

use std::time::Duration;

use asyncio::{SpawnOptions, set_exception_handler, sleep, spawn, spawn_with};

async fn send_mail(to: &str) -> Result<(), String> {
    sleep(Duration::from_millis(10)).await;
    if !to.contains('@') {
        return Err(format!("{to:?} is no address"));
    }
    println!("mail to {to} is out");
    Ok(())
}

#[asyncio::main]
async fn main() {
    // Without this, reports go to standard error.
    set_exception_handler(|unhandled| println!("supervisor: {unhandled}"));

    // Right: they run on, and what goes wrong is heard of.
    let mail = |to| {
        spawn_with(
            SpawnOptions::new().name(format!("mail to {to}")),
            send_mail(to),
        )
    };
    mail("ada@example.org").detach();
    mail("nobody").detach();
    spawn(async { panic!("a bug") }).discard();

    // Wrong: it is cancelled as soon as it is dropped.
    let forgotten = spawn(async {
        sleep(Duration::from_millis(10)).await;
        println!("this is never printed");
    });
    drop(forgotten);

    println!("main goes on meanwhile");
    sleep(Duration::from_millis(100)).await;
}
