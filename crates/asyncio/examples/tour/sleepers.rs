//! A great number of sleeping tasks, each with a deadline of its own.

use std::io;
use std::time::{Duration, Instant};

use asyncio::{sleep_until, spawn, time, yield_now};

use crate::machine::{processor_time, resident_memory};
use crate::scene::{Progress, Report, Scene, Stage, promise};
use crate::words::{bytes, grouped, percentiles, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "Very many tasks asleep, each woken in its time",
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> io::Result<Report> {
    let count = stage.size(100_000_u64, 10_000);
    let over = stage.size(Duration::from_secs(1), Duration::from_millis(300));
    let progress = Progress::new(count, "woken");

    let before = (resident_memory(), processor_time());
    let start = Instant::now();
    // Until then, all of them fall asleep.
    let first = time() + over / 2;
    let sleepers: Vec<_> = (0..count)
        .map(|n| {
            let progress = progress.clone();
            // Deadlines in scattered order, but evenly spread.
            let part = (n * 7_919 % count) as f64 / count as f64;
            let deadline = first + over.mul_f64(part);
            spawn(async move {
                sleep_until(deadline).await;
                progress.step();
                time().checked_duration_since(deadline)
            })
        })
        .collect();
    yield_now().await; // each sleeper takes its first step, and sleeps
    let asleep = start.elapsed();
    let memory = resident_memory();
    let shown = stage.show(&progress);

    let mut late = Vec::with_capacity(sleepers.len());
    for sleeper in sleepers {
        let late_by = sleeper.await.map_err(io::Error::other)?;
        promise(late_by.is_some(), || "one woke too early".to_owned())?;
        late.extend(late_by);
    }
    let took = start.elapsed();
    let used = processor_time();
    drop(shown);

    let (median, p99) = percentiles(&mut late);
    let mut report = Report::new(took)
        .happened(format!(
            "{} tasks asleep at once, woken one after the other within {}, none too early",
            grouped(count),
            seconds(over)
        ))
        .happened(format!(
            "late by {} at the median, by {} for one in a hundred",
            seconds(median),
            seconds(p99)
        ))
        .took(format!(
            "{} to spawn them and lay them to sleep, {} in all",
            seconds(asleep),
            seconds(took)
        ));
    if let (Some(before), Some(after)) = (before.1, used) {
        let each = (after - before) / u32::try_from(count).unwrap_or(u32::MAX);
        report = report.took(format!(
            "{} of the processor's time, {} a task",
            seconds(after - before),
            seconds(each)
        ));
    }
    if let Some((before, memory)) = before.0.zip(memory) {
        report = report.line(
            "memory",
            format!(
                "{} resident a sleeping task",
                bytes(memory.saturating_sub(before) / count)
            ),
        );
    }
    Ok(report.in_threads(stage.threads.cost_of(count)))
}
