//! A loop of ours inside a program that takes only messages. An example is a window system that has no place for a
//! descriptor, and takes "user events" from other threads.
//!
//! A helper thread waits for the descriptor, once for each order, and sends a message when it is readable. The loop
//! itself does not run on that thread. winit's `EventLoopProxy` takes the place of the channel.
//!
//! `cargo run --example message_loop`

#[cfg(unix)]
use std::{
    error::Error,
    ops::ControlFlow,
    os::fd::{AsFd, OwnedFd},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

#[cfg(unix)]
use asyncio::EventLoop;
#[cfg(unix)]
use asyncio::host::{Guest, Next};
#[cfg(unix)]
use asyncio::{sleep, spawn};
#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, poll};

/// A message to the window.
#[cfg(unix)]
enum Message {
    /// A task of the loop was woken.
    Woken,
    /// The descriptor of the loop is readable.
    Readable,
}

/// The helper: for each order, waits until the descriptor is readable and says so.
#[cfg(unix)]
fn watch(descriptor: OwnedFd, orders: &Receiver<()>, window: &Sender<Message>) {
    while orders.recv().is_ok() {
        let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
        if poll(&mut descriptors, None).is_err() || window.send(Message::Readable).is_err() {
            return;
        }
    }
}

#[cfg(unix)]
async fn main_task() -> u32 {
    let slow = spawn(async {
        sleep(Duration::from_millis(20)).await;
        40
    });
    // Another thread, which wakes a task.
    let quick = asyncio::to_thread(|| 2).await.unwrap();
    slow.await.unwrap() + quick
}

#[cfg(unix)]
fn main() -> Result<(), Box<dyn Error>> {
    let (window, messages) = mpsc::channel();
    let woken = window.clone();
    let builder = EventLoop::builder().unpark(move || drop(woken.send(Message::Woken)));
    let mut guest = Guest::with(builder, main_task())?;

    let (order, orders) = mpsc::channel();
    let descriptor = guest.as_fd().try_clone_to_owned()?;
    thread::spawn(move || watch(descriptor, &orders, &window));
    order.send(())?;

    let mut look = false;
    let answer = loop {
        let wait = match guest.turn(look, || false) {
            ControlFlow::Break(outcome) => break outcome?,
            ControlFlow::Continue(Next::Now) => Duration::ZERO,
            ControlFlow::Continue(Next::At(time)) => time.saturating_duration_since(Instant::now()),
            ControlFlow::Continue(Next::Event) => Duration::MAX,
        };
        if look {
            // The turn has taken the events: the helper waits for the next ones.
            order.send(())?;
        }
        // The window handles its own messages here.
        look = match messages.recv_timeout(wait) {
            Ok(Message::Readable) => true,
            Ok(Message::Woken) | Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => break 0,
        };
    };
    println!("the answer is {answer}");
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("this example watches a descriptor, which is for Unix");
}
