//! A loop of ours inside calloop, the event loop of many Wayland programs.
//!
//! calloop waits for the descriptor of the guest like for any other source, and for its deadline with a timer.
//!
//! `calloop_window`

#[cfg(unix)]
use std::{
    cell::Cell,
    ops::ControlFlow,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

#[cfg(unix)]
use asyncio::{
    BoxError, JoinError,
    host::{Guest, Next},
    sleep, spawn, to_thread,
};
#[cfg(unix)]
use calloop::{
    EventLoop, Interest, Mode, PostAction,
    generic::Generic,
    timer::{TimeoutAction, Timer},
};

/// The program: a window with a guest.
#[cfg(unix)]
struct Window {
    guest: Guest<u32>,
    /// Whether the descriptor of the guest was readable.
    is_readable: bool,
    frames: u32,
}

/// The guest: tasks of ours, and a thread.
#[cfg(unix)]
async fn background(progress: Rc<Cell<u32>>) -> u32 {
    let bar = spawn(async move {
        for percent in (0..=100).step_by(10) {
            progress.set(percent);
            sleep(Duration::from_millis(3)).await;
        }
    });
    let answer = to_thread(|| 42).await.unwrap_or_default();
    bar.await.unwrap();
    answer
}

#[cfg(unix)]
fn main() -> Result<(), BoxError> {
    let progress = Rc::new(Cell::new(0));
    let guest = Guest::new(background(progress.clone()))?;
    let mut event_loop: EventLoop<'_, Window> = EventLoop::try_new()?;
    let handle = event_loop.handle();

    // A duplicate: calloop owns what it watches.
    let descriptor: OwnedFd = std::os::fd::AsFd::as_fd(&guest).try_clone_to_owned()?;
    let source = Generic::new(descriptor, Interest::READ, Mode::Level);
    handle
        .insert_source(source, |_, _, window| {
            window.is_readable = true;
            Ok(PostAction::Continue)
        })
        .map_err(|error| error.error)?;

    // The window draws at 60 Hz.
    let frame = Duration::from_micros(16_667);
    handle
        .insert_source(Timer::from_duration(frame), move |_, _, window| {
            window.frames += 1;
            TimeoutAction::ToDuration(frame)
        })
        .map_err(|error| error.error)?;

    let mut window = Window {
        guest,
        is_readable: false,
        frames: 0,
    };
    let outcome: Result<u32, JoinError> = loop {
        let look = std::mem::take(&mut window.is_readable);
        let wait = match window.guest.turn(look, || false) {
            ControlFlow::Break(outcome) => break outcome,
            ControlFlow::Continue(Next::Now) => Some(Duration::ZERO),
            ControlFlow::Continue(Next::At(time)) => {
                Some(time.saturating_duration_since(Instant::now()))
            }
            ControlFlow::Continue(Next::Event) => None,
        };
        event_loop.dispatch(wait, &mut window)?;
    };
    println!("the answer is {}, at {} %", outcome?, progress.get());
    assert!(window.frames > 0, "the window was drawn meanwhile");
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("calloop is for Unix");
}
