//! A task that waits for an answer that never comes, and is cancelled.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::net::{TcpListener, TcpStream};
use asyncio::{sleep, spawn};

use crate::scene::{Report, Scene, Stage, promise};
use crate::words::{grouped, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "A task that waits in vain, cancelled",
    play: |stage| Box::pin(play(stage)),
};

/// Records the drop of the task's frame.
struct Frame(Rc<Cell<bool>>);

impl Drop for Frame {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

async fn play(stage: Stage) -> io::Result<Report> {
    let start = Instant::now();
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let address = silent.local_addr()?;
    let cleaned_up = Rc::new(Cell::new(false));
    let frame = Frame(cleaned_up.clone());
    let waits = spawn(async move {
        let _frame = frame;
        let stream = TcpStream::connect(address).await?;
        let mut answer = [0; 1];
        stream.read_exact(&mut answer).await // no bytes ever come
    });
    let (peer, _) = silent.accept().await?;
    sleep(Duration::from_millis(20)).await;

    let told = Instant::now();
    waits.cancel();
    let outcome = waits.await;
    let ended = told.elapsed();
    let at_the_peer = peer.read(&mut [0; 1]).await?;
    promise(outcome.is_err_and(|error| error.is_cancelled()), || {
        "it did not end as a cancelled task".to_owned()
    })?;
    promise(cleaned_up.get(), || "its frame was not dropped".to_owned())?;
    promise(at_the_peer == 0, || {
        "its connection is still open".to_owned()
    })?;

    let many = stage.size(10_000_u64, 1_000);
    let sleepers: Vec<_> = (0..many)
        .map(|_| spawn(sleep(Duration::from_secs(3600))))
        .collect();
    sleep(Duration::from_millis(1)).await;
    let told = Instant::now();
    for sleeper in &sleepers {
        sleeper.cancel();
    }
    for sleeper in sleepers {
        let cancelled = sleeper.await.is_err_and(|error| error.is_cancelled());
        promise(cancelled, || {
            "a sleeper did not end as a cancelled task".to_owned()
        })?;
    }
    let all_ended = told.elapsed();

    Ok(Report::new(start.elapsed())
        .happened("it waited for bytes that never came; its frame was dropped where it waited,")
        .happened("its socket closed, which the other side saw, and whoever awaited it was told")
        .happened(format!(
            "then {} tasks, asleep for an hour, were cancelled too",
            grouped(many)
        ))
        .took(format!(
            "{} from the request to the end; {} for the {}",
            seconds(ended),
            seconds(all_ended),
            grouped(many)
        ))
        .in_threads(
            "nobody can end a thread that blocks in `read`: it waits on, with all that it owns.",
        )
        .in_threads(
            "With a time limit of 10 ms on every wait, it wakes 100 times a second for nothing,",
        )
        .in_threads(format!(
            "and so do {} others: {} wake-ups a second",
            grouped(many),
            grouped((many + 1) * 100)
        )))
}
