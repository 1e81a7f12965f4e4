//! The floor's timers: a ring of milliseconds, each with a linked list of its sleepers.
//!
//! Arming and disarming take the same few steps for any number of sleepers. A deadline beyond the length of the ring is
//! in the list of its tick as well, and is skipped until its round comes.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::thread::nanosleep;

/// A sleep, until the first tick at or after `duration`.
pub(super) fn sleep(duration: Duration) -> Sleep {
    Sleep {
        deadline: Instant::now() + duration,
        place: Place::Unarmed,
    }
}

#[derive(Debug)]
pub(crate) struct Sleep {
    deadline: Instant,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Unarmed,
    At(u32),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        TICKS.with_borrow_mut(|ticks| match self.place {
            Place::Unarmed => {
                self.place = Place::At(ticks.arm(self.deadline, context.waker().clone()));
                Poll::Pending
            }
            Place::At(sleeper) => ticks.sleepers[sleeper as usize].poll(context),
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Place::At(sleeper) = self.place {
            // The waker is dropped outside the borrow: dropping it may drop a task that sleeps.
            drop(TICKS.with_borrow_mut(|ticks| ticks.disarm(sleeper)));
        }
    }
}

/// Waits for the next tick with sleepers, and wakes them.
///
/// # Panics
///
/// There is no sleeper, so nothing would ever happen again.
pub(super) fn wait_and_wake() {
    let until = TICKS.with_borrow_mut(Ticks::next_deadline);
    let wait = until.saturating_duration_since(Instant::now());
    if !wait.is_zero() {
        let wait = wait.try_into().expect("a sleep fits the system's type");
        // After a signal, the loop reads the clock and waits again.
        let _ = nanosleep(&wait);
    }
    let due = TICKS.with_borrow_mut(Ticks::due);
    for waker in due {
        waker.wake();
    }
}

thread_local! {
    static TICKS: RefCell<Ticks> = RefCell::new(Ticks::new());
}

/// Sixteen seconds of milliseconds.
const RING: usize = 1 << 14;
/// No sleeper.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Ticks {
    started: Instant,
    /// The last tick that was handled.
    now: u64,
    /// The first sleeper of each tick.
    ring: Vec<u32>,
    sleepers: Vec<Sleeper>,
    free: Vec<u32>,
    armed: usize,
}

#[derive(Debug)]
struct Sleeper {
    tick: u64,
    /// `None` once the sleeper was woken.
    waker: Option<Waker>,
    before: u32,
    after: u32,
}

impl Sleeper {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.waker {
            None => Poll::Ready(()),
            Some(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
        }
    }
}

impl Ticks {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            now: 0,
            ring: vec![NONE; RING],
            sleepers: Vec::new(),
            free: Vec::new(),
            armed: 0,
        }
    }

    fn arm(&mut self, deadline: Instant, waker: Waker) -> u32 {
        let since = deadline.saturating_duration_since(self.started);
        // Rounded up, so that no sleep ends early.
        let tick = since.as_micros().div_ceil(1_000) as u64;
        let tick = tick.max(self.now + 1);
        let first = &mut self.ring[tick as usize % RING];
        let sleeper = Sleeper {
            tick,
            waker: Some(waker),
            before: NONE,
            after: *first,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.sleepers[index as usize] = sleeper;
                index
            }
            None => {
                self.sleepers.push(sleeper);
                (self.sleepers.len() - 1) as u32
            }
        };
        if let Some(after) = self.sleepers.get(*first as usize).map(|_| *first) {
            self.sleepers[after as usize].before = index;
        }
        *first = index;
        self.armed += 1;
        index
    }

    /// Removes a sleeper, and takes it out of its list if it is in one.
    fn disarm(&mut self, index: u32) -> Option<Waker> {
        let waker = self.sleepers[index as usize].waker.take();
        if waker.is_some() {
            self.unlink(index);
        }
        self.free.push(index);
        waker
    }

    fn unlink(&mut self, index: u32) {
        let Sleeper {
            tick,
            before,
            after,
            ..
        } = self.sleepers[index as usize];
        match before {
            NONE => self.ring[tick as usize % RING] = after,
            before => self.sleepers[before as usize].after = after,
        }
        if after != NONE {
            self.sleepers[after as usize].before = before;
        }
        self.armed -= 1;
    }

    /// The time of the next tick with a sleeper.
    fn next_deadline(&mut self) -> Instant {
        assert!(self.armed > 0, "nothing is ready and nobody sleeps");
        let ahead = (1..=RING as u64)
            .find(|ahead| self.ring[(self.now + ahead) as usize % RING] != NONE)
            .expect("somebody lies in some list");
        self.started + Duration::from_millis(self.now + ahead)
    }

    /// The wakers of the sleepers that are due.
    fn due(&mut self) -> Vec<Waker> {
        let mut due = Vec::new();
        let now = self.started.elapsed().as_millis() as u64;
        while self.now < now {
            self.now += 1;
            let mut index = self.ring[self.now as usize % RING];
            while index != NONE {
                let after = self.sleepers[index as usize].after;
                if self.sleepers[index as usize].tick <= self.now {
                    self.unlink(index);
                    due.extend(self.sleepers[index as usize].waker.take());
                }
                index = after;
            }
        }
        due
    }
}
