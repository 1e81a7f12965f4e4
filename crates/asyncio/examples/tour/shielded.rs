//! A transfer of two steps that must not be cut between them, and a caller that is cancelled just then.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use asyncio::{shield, sleep, timeout};

use crate::scene::{Report, Scene, Stage, promise};
use crate::timeline::{Pen, Timeline};
use crate::words::seconds;

pub(crate) const SCENE: Scene = Scene {
    title: "A write that is not cut, and one that is",
    play: |stage| Box::pin(play(stage)),
};

/// Two accounts: the amount taken from the first must arrive at the second.
#[derive(Default)]
struct Ledger {
    taken: Cell<u32>,
    given: Cell<u32>,
}

impl Ledger {
    async fn transfer(&self, amount: u32, between: Duration) {
        self.taken.set(self.taken.get() + amount);
        sleep(between).await;
        self.given.set(self.given.get() + amount);
    }

    fn missing(&self) -> u32 {
        self.taken.get() - self.given.get()
    }

    fn says(&self) -> String {
        match self.missing() {
            0 => "balanced".to_owned(),
            missing => format!("{missing} are missing"),
        }
    }
}

async fn play(stage: Stage) -> io::Result<Report> {
    let unit = stage.size(Duration::from_millis(20), Duration::from_millis(5));
    let start = Instant::now();
    let timeline = Timeline::new();
    let (bare, shielded) = (Ledger::default(), Ledger::default());

    timeline.draws("bare", Pen::Works);
    let caller = bare.transfer(100, unit * 10);
    let cut = timeout(unit * 6, caller).await;
    timeline.ends("bare", bare.says());

    timeline.draws("shielded", Pen::Works);
    let caller = async {
        shield(shielded.transfer(100, unit * 10)).await;
        sleep(unit * 1_000).await; // the next await of the caller, which the cancellation cuts
    };
    let finished = timeout(unit * 6, caller).await;
    timeline.ends("shielded", shielded.says());
    let took = start.elapsed();

    promise(cut.is_err() && finished.is_err(), || {
        "a caller was not cancelled".to_owned()
    })?;
    promise(bare.missing() == 100 && shielded.missing() == 0, || {
        format!("bare: {}, shielded: {}", bare.says(), shielded.says())
    })?;
    let report = Report::new(took)
        .happened("two transfers under the same limit, which is over in the middle of both:")
        .happened(
            "one is dropped where it waits; the other is finished first, then its caller ends",
        );
    Ok(timeline
        .draw(report)
        .took(seconds(took))
        .in_threads("nothing to protect, as nothing can be cancelled"))
}
