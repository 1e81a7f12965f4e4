//! A write that no cancellation of its caller cuts in the middle.
//!
//! - `shield(future)` finishes the future before the cancellation goes on. The canceller waits for it.
//! - `shield_task(task)` is asyncio's `shield`: the caller ends at once, and the task runs on without it.
//!
//! `cargo run --example shield_a_write`

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::{shield, shield_task, sleep, spawn, time, timeout};

/// The two halves must agree.
#[derive(Default)]
struct Ledger {
    debit: Cell<u32>,
    credit: Cell<u32>,
}

impl Ledger {
    async fn transfer(&self, amount: u32) {
        self.debit.set(self.debit.get() + amount);
        sleep(Duration::from_secs(2)).await;
        self.credit.set(self.credit.get() + amount);
    }

    fn says(&self) -> &'static str {
        if self.debit == self.credit {
            "balanced"
        } else {
            "torn"
        }
    }
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    let a_second = Duration::from_secs(1);
    let cut = |start: Instant| format!("cut after {} s", (time() - start).as_secs());

    let (ledger, start) = (Ledger::default(), time());
    let caller = ledger.transfer(5);
    assert!(timeout(a_second, caller).await.is_err());
    println!("bare:   {}, {}", cut(start), ledger.says());

    let (ledger, start) = (Ledger::default(), time());
    let caller = async {
        shield(ledger.transfer(5)).await;
        sleep(a_second).await; // the deferred cancellation cuts this await
    };
    assert!(timeout(a_second, caller).await.is_err());
    println!("shield: {}, {}", cut(start), ledger.says());

    let (ledger, start) = (Rc::new(Ledger::default()), time());
    let transfer = spawn({
        let ledger = ledger.clone();
        async move { ledger.transfer(5).await }
    });
    assert!(timeout(a_second, shield_task(transfer)).await.is_err());
    println!("task:   {}, {}", cut(start), ledger.says());
    sleep(a_second).await;
    println!("task:   a second later, {}", ledger.says());
}
