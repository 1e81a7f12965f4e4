//! A group whose children write to parts of one array that belongs to the frame around them.

use std::io;
use std::time::{Duration, Instant};

use asyncio::{BoxError, TaskGroup, sleep, task_group, yield_now};

use crate::scene::{Report, Scene, Stage, promise};
use crate::words::{grouped, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "A group of children that borrow",
    play: |stage| Box::pin(play(stage)),
};

/// The number of array elements that each child fills.
const PART: usize = 8;

async fn play(stage: Stage) -> io::Result<Report> {
    let children = stage.size(100_000_usize, 10_000);
    let start = Instant::now();
    let factor = 3; // every child reads it where it is
    let mut numbers = vec![0_usize; children * PART];
    let mut spawned = Duration::ZERO;
    task_group(async |tg: TaskGroup<'_>| {
        let factor = &factor;
        for (n, part) in numbers.chunks_mut(PART).enumerate() {
            tg.spawn(async move {
                sleep(Duration::from_millis((n % 50) as u64)).await;
                for (place, number) in part.iter_mut().enumerate() {
                    *number = factor * (n * PART + place);
                    yield_now().await; // the others take their turns in between
                }
                Ok::<_, BoxError>(())
            });
        }
        spawned = start.elapsed();
        Ok(())
    })
    .await
    .map_err(|errors| io::Error::other(errors.to_string()))?;
    let took = start.elapsed();

    let as_expected = numbers
        .iter()
        .enumerate()
        .all(|(n, &got)| got == factor * n);
    promise(as_expected, || "a number is not as it should be".to_owned())?;
    Ok(Report::new(took)
        .happened(format!(
            "{} children, each with a `&mut` to its own part of one array of their caller's,",
            grouped(children as u64)
        ))
        .happened("asleep, awake, and in turns; no copy of it, no lock, no `Rc`")
        .took(format!(
            "{} to spawn them, {} in all",
            seconds(spawned),
            seconds(took)
        ))
        .in_threads(stage.threads.cost_of(children as u64)))
}
