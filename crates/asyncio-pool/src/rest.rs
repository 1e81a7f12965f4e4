//! The wait of a worker for its next job. It spins for a moment if the last wait was short, and then parks.
//!
//! ```text
//!  worker                                  the caller, with a job
//!  AWAKE (spins) ──► PARKED                CALLED, under the lock of the crew; unparks it
//!       └───────────────┴──► CALLED        only if it was PARKED
//! ```
//!
//! - **R1** Taking a worker off the list of idle workers and calling it are one act. So it is called once for each time
//!   it becomes idle.
//! - **R2** A call that finds it AWAKE makes no system call: the worker sees the word before it parks. A call that
//!   finds it PARKED makes one.
//! - **R3** A worker spins for [`SPIN`] at most, and only if its last wait was shorter than that and there is a second
//!   core. Only one worker of a pool spins at a time. So an idle pool takes no processor time.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU8, Ordering, Thread, thread};

/// How long a worker stays awake at most. A job that comes back to the loop and leads to the next one takes between 5
/// µs and 40 µs. Most of it is the loop's own waking.
pub(crate) const SPIN: Duration = Duration::from_micros(50);

const AWAKE: u8 = 0;
const PARKED: u8 = 1;
const CALLED: u8 = 2;

/// A worker, as its callers see it.
#[derive(Debug)]
pub(crate) struct Rest {
    word: AtomicU8,
    thread: Thread,
}

impl Rest {
    /// The worker of this thread.
    pub(crate) fn of_this_thread() -> Self {
        Self {
            word: AtomicU8::new(AWAKE),
            thread: thread::current(),
        }
    }

    /// Calls the worker. `true`: it has to be [unparked](Self::unpark) as well.
    #[must_use]
    pub(crate) fn call(&self) -> bool {
        self.word.swap(CALLED, Ordering::AcqRel) == PARKED
    }

    pub(crate) fn unpark(&self) {
        self.thread.unpark();
    }

    /// Notes a call.
    pub(crate) fn rise(&self) {
        self.word.store(AWAKE, Ordering::Relaxed);
    }

    /// Spins until the worker is called, for [`SPIN`] at most.
    pub(crate) fn spin(&self) {
        let since = Instant::now();
        while since.elapsed() < SPIN {
            for _ in 0..16 {
                if self.word.load(Ordering::Acquire) == CALLED {
                    return;
                }
                std::hint::spin_loop();
            }
        }
    }

    /// Parks until the worker is called. `false` if it was not called in time.
    pub(crate) fn park(&self, limit: Duration) -> bool {
        let parked = self
            .word
            .compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Acquire);
        if parked.is_err() {
            return true; // R2
        }
        let deadline = Instant::now().checked_add(limit);
        while self.word.load(Ordering::Acquire) == PARKED {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    park_for(left);
                }
            }
        }
        true
    }
}

#[cfg(not(loom))]
fn park_for(limit: Duration) {
    thread::park_timeout(limit);
}

/// loom has no time: no worker leaves early.
#[cfg(loom)]
fn park_for(_limit: Duration) {
    thread::park();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // Proves R2, R3.
    #[test]
    fn a_spin_ends_by_itself_and_a_call_during_it_needs_no_unpark() {
        let rest = Rest::of_this_thread();
        rest.spin();
        assert!(!rest.park(Duration::ZERO), "nobody has called");
        rest.rise();
        assert!(!rest.call(), "it was awake: no system call");
        rest.spin();
        assert!(rest.park(Duration::MAX), "the call is not lost");
    }

    // Proves R2.
    #[test]
    fn a_call_to_a_parked_worker_unparks_it() {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let rest = std::sync::Arc::new(Rest::of_this_thread());
                tell.send(rest.clone()).unwrap();
                assert!(rest.park(Duration::MAX));
            });
            let rest = told.recv().unwrap();
            while rest.word.load(Ordering::Acquire) != PARKED {
                std::thread::yield_now();
            }
            assert!(rest.call());
            rest.unpark();
        });
    }
}
