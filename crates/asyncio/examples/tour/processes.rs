//! Processes that come and go on one thread, files that they write, and one that does not want to end.

use std::io;
use std::time::{Duration, Instant};

use asyncio::fs::{self, TempDir};
use asyncio::gather_iter;
use asyncio::process::Command;
use asyncio::sync::Semaphore;

use crate::scene::{Progress, Report, Scene, Stage, promise};
use crate::words::{grouped, seconds};

/// So many processes run at once.
const AT_ONCE: usize = 8;

pub(crate) const SCENE: Scene = Scene {
    title: "Processes, and the files that they write",
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> io::Result<Report> {
    let count: u64 = stage.size(200, 20);
    let grace = stage.size(Duration::from_millis(200), Duration::from_millis(20));
    let directory = TempDir::new().await?;
    let progress = Progress::new(count, "processes");
    let _shown = stage.show(&progress);
    let places = Semaphore::new(AT_ONCE);

    let start = Instant::now();
    let work = (0..count).map(async |n| {
        let _place = places.acquire().await;
        let path = directory.path().join(n.to_string());
        let mut shell = Command::shell("echo $1 > \"$0\"");
        let status = shell.arg(&path).arg(n.to_string()).status().await?;
        promise(status.success(), || {
            format!("a process ended with {status}")
        })?;
        let written = fs::read_to_string(&path).await?;
        progress.step();
        written.trim().parse::<u64>().map_err(io::Error::other)
    });
    let mut sum = 0;
    for number in gather_iter(work).await {
        sum += number?;
    }
    let took = start.elapsed();
    promise(sum == count * (count - 1) / 2, || {
        format!("the sum is {sum}")
    })?;

    let mut stubborn = Command::shell("trap '' TERM; while :; do sleep 0.01; done");
    let stubborn = stubborn.process_group(0).kill_on_drop(true).spawn()?;
    let start = Instant::now();
    let status = stubborn.stop(grace).await?;
    let stopping = start.elapsed();
    directory.close().await?;

    Ok(Report::new(took)
        .happened(format!(
            "{} processes, {AT_ONCE} at a time, each waited for and its file read",
            grouped(count)
        ))
        .took(format!(
            "{}, {} for each",
            seconds(took),
            seconds(took / u32::try_from(count).unwrap_or(1))
        ))
        .happened(format!(
            "a process that ignores SIGTERM has ended after {} ({status})",
            seconds(stopping)
        ))
        .in_threads("one thread for each process, which waits for it and cannot be told to stop"))
}
