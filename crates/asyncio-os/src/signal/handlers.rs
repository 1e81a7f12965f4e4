//! Callbacks for signals: asyncio's `add_signal_handler`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{Attachment, SpawnOptions, Task, attached, call_soon};
use asyncio_task::try_spawn_with;

use super::kind::Signal;
use super::stream::signal;

/// The handlers of one loop, each a task that waits for its signal.
#[derive(Default)]
struct Handlers(RefCell<HashMap<Signal, Task<()>>>);

impl Attachment for Handlers {
    fn close(&self, _timeout: Duration) {
        drop(self.0.take());
    }
}

/// Has the running loop call `callback` whenever a signal arrives. A handler that the loop had for
/// the signal is replaced. Closing the loop removes all.
///
/// The callback runs on the loop's thread, like one of [`call_soon`]. Unlike in asyncio it may be
/// the loop of any thread, and several loops may have a handler for one signal. While there is a
/// handler, the signal has no default action, and does not cancel the main task.
///
/// ```
/// # mod asyncio { pub use asyncio_os::*; }
/// use asyncio::signal::{Signal, add_signal_handler, remove_signal_handler};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// # asyncio_loop::run(async {
/// # let reloads = Rc::new(Cell::new(0));
/// # let reload = { let reloads = reloads.clone(); move || reloads.set(reloads.get() + 1) };
/// add_signal_handler(Signal::HUP, reload)?;
/// # Signal::HUP.raise()?;
/// # while reloads.get() == 0 { asyncio_loop::yield_now().await; }
/// assert!(remove_signal_handler(Signal::HUP));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// Those of [`signal`](super::signal).
#[track_caller]
pub fn add_signal_handler(kind: Signal, callback: impl Fn() + 'static) -> io::Result<()> {
    let handlers = attached::<Handlers>().map_err(io::Error::other)?;
    let mut arrivals = signal(kind)?;
    let callback = Rc::new(callback);
    let options = SpawnOptions::callback().location(std::panic::Location::caller());
    let waiting = async move {
        while arrivals.recv().await.is_ok() {
            let callback = callback.clone();
            call_soon(move || callback());
        }
    };
    let task =
        try_spawn_with(options, waiting).map_err(|error| io::Error::other(error.to_string()))?;
    let before = handlers.0.borrow_mut().insert(kind, task);
    drop(before);
    Ok(())
}

/// Removes the running loop's handler for a signal. `false` if it has none.
pub fn remove_signal_handler(kind: Signal) -> bool {
    let Ok(handlers) = attached::<Handlers>() else {
        return false;
    };
    let removed = handlers.0.borrow_mut().remove(&kind);
    removed.is_some()
}
