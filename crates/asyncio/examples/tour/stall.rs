//! A computation that keeps a loop, the warning about it, and the same computation in a thread and in another process.

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use asyncio::{EventLoop, LoopThread, ThreadPool, sleep, spawn, yield_now};

use crate::scene::{Report, Scene, Stage, promise};
use crate::words::seconds;

pub(crate) const SCENE: Scene = Scene {
    title: "A computation that keeps the loop",
    play: |stage| Box::pin(play(stage)),
};

/// How long the loop may be kept before the warning.
const LIMIT: Duration = Duration::from_millis(40);

/// The computation: so many rounds.
#[cfg_attr(unix, asyncio::remote)]
fn crunch(rounds: u64) -> u64 {
    (0..rounds).fold(1, |state: u64, n| black_box(state.rotate_left(7) ^ n))
}

/// The number of rounds that take so long on this machine.
fn rounds_for(time: Duration) -> u64 {
    const SAMPLE: u64 = 500_000;
    let start = Instant::now();
    crunch(SAMPLE);
    let each = start.elapsed().as_nanos().max(1) as u64;
    SAMPLE * time.as_nanos() as u64 / each
}

/// The result of `work`, and the longest time by which a timer was late meanwhile.
async fn worst_beat<R>(work: impl Future<Output = R>) -> (R, Duration) {
    const BEAT: Duration = Duration::from_millis(1);
    let worst = Rc::new(Cell::new(Duration::ZERO));
    let noted = worst.clone();
    let beats = spawn(async move {
        loop {
            let asked = Instant::now();
            sleep(BEAT).await;
            let late = asked.elapsed().saturating_sub(BEAT);
            noted.set(noted.get().max(late));
        }
    });
    sleep(BEAT * 2).await;
    let result = work.await;
    sleep(BEAT * 2).await;
    beats.cancel();
    (result, worst.get())
}

/// The computation in each of the places, with the worst beat.
async fn in_each_place(
    rounds: u64,
    warnings: Arc<Mutex<Vec<String>>>,
) -> Result<Vec<(&'static str, u64, Duration)>, String> {
    let mut all = Vec::new();
    let (value, late) = worst_beat(async {
        yield_now().await;
        let value = crunch(rounds);
        // On a machine that is very busy the detector may come late.
        let is_warned = || {
            !warnings
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .is_empty()
        };
        (0..50).take_while(|_| !is_warned()).for_each(|_| {
            black_box(crunch(rounds));
        });
        value
    })
    .await;
    all.push(("in a step of the loop", value, late));

    let threads = ThreadPool::builder().max_threads(1).build();
    threads
        .run(|| ())
        .await
        .map_err(|error| error.to_string())?;
    let (value, late) = worst_beat(threads.run(move || crunch(rounds))).await;
    let value = value.map_err(|error| error.to_string())?;
    all.push(("in a ThreadPool", value, late));

    #[cfg(unix)]
    {
        let processes = asyncio::ProcessPool::builder().workers(1).build();
        let started = processes.start_workers().await;
        started.map_err(|error| error.to_string())?;
        let (value, late) = worst_beat(processes.run(crunch, rounds)).await;
        let value = value.map_err(|error| error.to_string())?;
        all.push(("in a ProcessPool", value, late));
    }
    Ok(all)
}

async fn play(stage: Stage) -> io::Result<Report> {
    let rounds = rounds_for(Duration::from_millis(stage.size(400, 150)));
    let start = Instant::now();
    let stalls = Arc::new(Mutex::new(Vec::new()));
    let seen = stalls.clone();
    let settings = EventLoop::builder()
        .stall_limit(LIMIT)
        .on_stall(move |stall| {
            let mut seen = seen.lock().unwrap_or_else(|e| e.into_inner());
            seen.push(stall.to_string());
        });
    // A loop of its own, so that this one goes on.
    let other = LoopThread::builder()
        .name("other")
        .event_loop(settings)
        .start()?;
    let places = other
        .handle()
        .run_coroutine_threadsafe({
            let warnings = stalls.clone();
            move || in_each_place(rounds, warnings)
        })
        .map_err(|_| io::Error::other("the loop is closed"))?;
    let places = places.await.map_err(io::Error::other)?;
    let places = places.map_err(io::Error::other)?;
    other
        .stop(Duration::from_secs(5))
        .map_err(io::Error::other)?;
    let took = start.elapsed();

    let (_, value, _) = places[0];
    promise(places.iter().all(|place| place.1 == value), || {
        "the values differ".to_owned()
    })?;
    let warning = stalls
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .first()
        .cloned();
    let warning = warning.ok_or_else(|| io::Error::other("nobody was warned"))?;
    let mut report = Report::new(took)
        .happened("the same computation in three places, with the same value;")
        .happened(format!(
            "the first one was reported while it ran: {warning}"
        ));
    for (place, _, late) in places {
        report = report.took(format!("a timer was up to {} late: {place}", seconds(late)));
    }
    Ok(report.in_threads("the same: a core that computes does nothing else"))
}
