//! Fire and forget: a detached task whose failure is reported.
//!
//! - `task.detach()` lets the task run on. If it fails, the exception handler gets a report with its name and the line
//!   that spawned it.
//! - Dropping the handle cancels the task, so no task runs on by accident. The compiler warns of a handle that is never
//!   used: "a task that is dropped is cancelled: await it, or detach it".
//! - `detach()` on a task that returns a number does not compile, since the number would be lost. `discard()` compiles.
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
    // Without a handler, reports go to standard error.
    set_exception_handler(|unhandled| println!("supervisor: {unhandled}"));

    // Right: these tasks run on, and their failures are reported.
    let mail = |to| {
        spawn_with(
            SpawnOptions::new().name(format!("mail to {to}")),
            send_mail(to),
        )
    };
    mail("ada@example.org").detach();
    mail("nobody").detach();
    spawn(async { panic!("a bug") }).discard();

    // Wrong: this task is cancelled as soon as its handle is dropped.
    let forgotten = spawn(async {
        sleep(Duration::from_millis(10)).await;
        println!("this is never printed");
    });
    drop(forgotten);

    println!("main goes on meanwhile");
    sleep(Duration::from_millis(100)).await;
}
