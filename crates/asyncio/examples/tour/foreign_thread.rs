//! Another thread that wakes the loop: with questions whose answers it awaits, and with a burst of callbacks.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use asyncio::{LoopHandle, running_loop, sleep};

use crate::scene::{Report, Scene, Stage, promise};
use crate::words::{grouped, percentiles, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "Another thread that wakes the loop",
    play: |stage| Box::pin(play(stage)),
};

thread_local! {
    /// The number of callbacks that arrived, counted on the loop's thread.
    static ARRIVED: Cell<u64> = const { Cell::new(0) };
}

async fn play(stage: Stage) -> io::Result<Report> {
    let questions = stage.size(2_000_u64, 300);
    let burst = stage.size(200_000_u64, 20_000);
    let start = Instant::now();
    let event_loop = running_loop();
    let asking = thread::spawn(move || {
        let answered = ask(&event_loop, questions);
        let sent = send(&event_loop, burst);
        (answered, sent)
    });
    // Meanwhile the loop sleeps until the other thread wakes it.
    while !asking.is_finished() || ARRIVED.get() < burst {
        sleep(Duration::from_millis(1)).await;
    }
    let took = start.elapsed();
    let asked = asking.join().map_err(|_| io::Error::other("it panicked"))?;
    let (mut answered, sent) = (asked.0?, asked.1?);
    promise(ARRIVED.get() == burst, || "callbacks were lost".to_owned())?;

    let (median, p99) = percentiles(&mut answered);
    Ok(Report::new(took)
        .happened(format!(
            "{} coroutines sent to the loop from another thread, which blocked for each answer;",
            grouped(questions)
        ))
        .happened(format!(
            "then {} callbacks in one burst, all of them called",
            grouped(burst)
        ))
        .took(format!(
            "{} there and back at the median, {} for one in a hundred",
            seconds(median),
            seconds(p99)
        ))
        .took(format!(
            "{} for each of the burst, as the sender sees it",
            seconds(sent / u32::try_from(burst).unwrap_or(u32::MAX))
        ))
        .in_threads(format!(
            "{} between two threads with a channel: waking a loop costs what waking a thread does",
            seconds(stage.threads.round_trip())
        )))
}

/// The round trip time of each question.
fn ask(event_loop: &LoopHandle, questions: u64) -> io::Result<Vec<Duration>> {
    (0..questions)
        .map(|n| {
            let asked = Instant::now();
            let answer = event_loop
                .run_coroutine_threadsafe(move || async move { n + 1 })
                .map_err(|_| io::Error::other("the loop is closed"))?;
            let answer = answer.wait().map_err(io::Error::other)?;
            promise(answer == n + 1, || "a wrong answer".to_owned())?;
            Ok(asked.elapsed())
        })
        .collect()
}

/// The time that sending the burst took.
fn send(event_loop: &LoopHandle, burst: u64) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..burst {
        event_loop
            .call_soon_threadsafe(|| ARRIVED.set(ARRIVED.get() + 1))
            .map_err(|_| io::Error::other("the loop is closed"))?;
    }
    Ok(start.elapsed())
}
