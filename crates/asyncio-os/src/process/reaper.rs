//! Reaping of children that no loop waits for any more.
//!
//! A thread waits for such a child: it sleeps until the child has ended. Where there is no thread to be had, the child
//! is looked for whenever another one is started or left.

use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A thread that only waits needs little.
const STACK: usize = 64 * 1024;

/// Children without a thread that waits for them.
static LEFT: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// Waits for a child without a loop.
pub(super) fn adopt(mut child: Child) {
    reap_left();
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let handed = Arc::new(Mutex::new(Some(child)));
    let taken = handed.clone();
    let wait = move || {
        let child = lock(&taken).take();
        if let Some(mut child) = child {
            let _ = child.wait();
        }
    };
    let thread = thread::Builder::new().name("asyncio-reaper".to_owned());
    if thread.stack_size(STACK).spawn(wait).is_err() {
        let child = lock(&handed).take();
        lock(&LEFT).extend(child);
    }
}

/// Reaps the children that have ended and have no thread.
pub(super) fn reap_left() {
    lock(&LEFT).retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|error| error.into_inner())
}
