//! Work under a time limit: at the limit it is cancelled and cleans up, and then "timed out" comes.

use std::cell::Cell;
use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use asyncio::{gather_iter, on_cancel, sleep, timeout};

use crate::scene::{Report, Scene, Stage, promise};
use crate::timeline::{Pen, Timeline};
use crate::words::{grouped, percentiles, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "Time limits that wait for the cleanup",
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> io::Result<Report> {
    let unit = stage.size(Duration::from_millis(20), Duration::from_millis(5));
    let start = Instant::now();
    let timeline = Timeline::new();
    let query = async {
        timeline.draws("query", Pen::Works);
        let call_off = async {
            timeline.draws("query", Pen::CleansUp);
            sleep(unit * 4).await;
            timeline.ends("query", "called off");
        };
        on_cancel(pending::<()>(), call_off).await;
    };
    timeline.draws("caller", Pen::Waits);
    let outcome = timeout(unit * 8, query).await;
    match outcome {
        Ok(()) => timeline.ends("caller", "has an answer"),
        Err(error) => timeline.ends("caller", error.to_string()),
    }
    promise(outcome.is_err(), || "the query returned".to_owned())?;
    promise(timeline.is_before("query", "caller"), || {
        "the caller went on before the query was called off".to_owned()
    })?;

    // A great number of limits, each with its own deadline. All of them run out.
    let many = stage.size(20_000_u32, 5_000);
    // Until then, all of them begin.
    let soonest = stage.size(Duration::from_millis(300), Duration::from_millis(100));
    let cleaned_up = Cell::new(0);
    let begun = Instant::now();
    let mut late = gather_iter((0..many).map(async |n| {
        let limit = soonest + Duration::from_micros((n % 1_000 * 50).into());
        let due = Instant::now() + limit;
        let work = on_cancel(pending::<()>(), async {
            cleaned_up.set(cleaned_up.get() + 1);
        });
        let outcome = timeout(limit, work).await;
        outcome
            .err()
            .and_then(|_| Instant::now().checked_duration_since(due))
    }))
    .await
    .into_iter()
    .collect::<Option<Vec<_>>>()
    .ok_or_else(|| io::Error::other("a limit was over too early, or not at all"))?;
    let took = begun.elapsed();
    promise(cleaned_up.get() == many, || {
        format!("only {} have cleaned up", cleaned_up.get())
    })?;
    let (median, p99) = percentiles(&mut late);

    let report = Report::new(start.elapsed()).happened(
        "a query under a limit: the caller goes on when it is called off, and no earlier;",
    );
    let report = report.happened(format!(
        "then {} limits at once, all of which run out, and each one's work cleans up",
        grouped(many.into())
    ));
    Ok(timeline
        .draw(report)
        .took(format!(
            "{} for the many; late by {} at the median, by {} for one in a hundred",
            seconds(took),
            seconds(median),
            seconds(p99)
        ))
        .in_threads("a thread that does the work, and another one that stops waiting for it;")
        .in_threads("the first one goes on, for nobody"))
}
