//! A game at 60 Hz with a loop of ours inside. The game owns the thread, waits in `poll`, and gives its guest a part of
//! each frame.
//!
//! The same shape serves every program that can watch a descriptor: glib's `unix_fd_add_local`, Qt's
//! `QSocketNotifier`, calloop's `Generic`.
//!
//! `cargo run --example game_loop`

#[cfg(unix)]
use std::{
    cell::Cell,
    error::Error,
    ops::ControlFlow,
    rc::Rc,
    time::{Duration, Instant},
};

#[cfg(unix)]
use asyncio::host::{Guest, Next};
#[cfg(unix)]
use asyncio::{catch_cancel, sleep, spawn};
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A frame of 60 Hz.
#[cfg(unix)]
const FRAME: Duration = Duration::from_micros(16_667);

/// The game's share of a frame: the guest has the rest.
#[cfg(unix)]
const DRAWING: Duration = Duration::from_millis(4);

/// The guest: tasks of ours, which share the score with the game.
#[cfg(unix)]
async fn background(score: Rc<Cell<u32>>) -> &'static str {
    let points = spawn(async move {
        loop {
            sleep(Duration::from_millis(10)).await;
            score.set(score.get() + 1);
        }
    });
    let Err(cancelled) = catch_cancel(points).await else {
        return "the points have ended";
    };
    println!("the game is over: saving the score");
    sleep(Duration::from_millis(30)).await; // the game draws meanwhile
    cancelled.swallow();
    "the score is saved"
}

#[cfg(unix)]
fn main() -> Result<(), Box<dyn Error>> {
    let score = Rc::new(Cell::new(0));
    let mut guest = Guest::new(background(score.clone()))?;
    let mut frames = 0;
    let mut next_frame = Instant::now();
    let mut look = false;
    let outcome = loop {
        let now = Instant::now();
        if now >= next_frame {
            frames += 1;
            next_frame += FRAME;
            if score.get() >= 20 {
                guest.main().cancel_once();
            }
        }
        let pause = next_frame.checked_sub(DRAWING).unwrap_or(now);
        let wait_until = match guest.turn(look, || Instant::now() >= pause) {
            ControlFlow::Break(outcome) => break outcome?,
            ControlFlow::Continue(Next::Now) => now,
            ControlFlow::Continue(Next::At(time)) => time.min(next_frame),
            ControlFlow::Continue(Next::Event) => next_frame,
        };
        let wait = wait_until.saturating_duration_since(Instant::now());
        // The descriptors of the game come here as well.
        let mut descriptors = [PollFd::new(&guest, PollFlags::IN)];
        poll(&mut descriptors, Some(&Timespec::try_from(wait)?))?;
        look = !descriptors[0].revents().is_empty();
    };
    println!("{outcome}");
    assert!(frames > 10, "{frames} frames in about 230 ms");
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("this example waits in `poll`, which is for Unix");
}
