//! Tasks that borrow: children which live no longer than what they borrow, without a runtime's promise to
//! wait for them.
//!
//! - **H1** The future of a child is polled by [`Children::poll_woken`], its first time perhaps by
//!   [`Children::spawn`], and dropped by those or by [`Children::end`], and by nothing else. All are called with
//!   the `Children<'env>` in hand, so while `'env` lasts. In particular the loop, its registry, wakers and steps of a child only see its header and
//!   set flags: [`Tasks::close`] passes over tasks that borrow, and the steps of children never leave their
//!   queue except to `poll_woken`.
//! - **H2** Dropping `Children` ends them all. If it is never dropped but leaked, so are they: nobody polls
//!   or drops their futures any more, and what they borrow may end.
//! - **H3** A child's cell owns its queue, not the `Children`: with the last step in the queue and the last
//!   cell in its members' slots both forgotten, nothing of `'env` is reached from there.
//! - **H4** The value of a child is `'env` too. It goes to the handle, which is, or is dropped in the child's
//!   last step.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::cell_ref::CellRef;
use crate::current;
use crate::schedule::{Schedule, Step};
use crate::spawn_options::{SpawnOptions, Start};
use crate::task::Task;
use crate::task_ref::TaskRef;
use crate::tasks::{self, Tasks};

/// Tasks that may borrow, run by whoever has this. A building block of task groups.
///
/// They are tasks like others, with names, scopes and handles, except that they run only in
/// [`poll_woken`](Self::poll_woken), and end with this at the latest.
pub struct Children<'env> {
    queue: Rc<Queue>,
    members: RefCell<Members>,
    /// A round is under way, so this is not dropped before that is over.
    in_round: Cell<bool>,
    /// Invariant: nobody may take this for children that borrow for a shorter or a longer time.
    env: PhantomData<Cell<&'env ()>>,
}

/// The children that have their turn.
#[derive(Debug)]
pub struct Round(usize);

/// The children that have not ended, by place.
#[derive(Default)]
struct Members {
    places: Vec<Option<CellRef>>,
    free: Vec<u32>,
}

/// Where the children go that were woken.
struct Queue {
    ready: RefCell<VecDeque<(u32, Step)>>,
    /// Who runs them.
    waker: RefCell<Option<Waker>>,
    /// Whether that one has been woken since it ran them last.
    woken: Cell<bool>,
}

/// How a child gets into the queue.
#[derive(Clone)]
struct ToQueue {
    queue: Rc<Queue>,
    place: u32,
}

impl Schedule for ToQueue {
    #[inline]
    fn schedule(&self, step: Step) {
        self.queue.ready.borrow_mut().push_back((self.place, step));
        if !self.queue.woken.replace(true) {
            self.queue.wake();
        }
    }
}

impl Queue {
    fn wake(&self) {
        // Out of the cell while foreign code runs.
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake_by_ref();
            let newer = self.waker.replace(Some(waker));
            if newer.is_some() {
                drop(self.waker.replace(newer));
            }
        }
    }
}

impl<'env> Children<'env> {
    /// No children yet.
    #[must_use]
    pub fn new() -> Self {
        let queue = Queue {
            ready: RefCell::default(),
            waker: RefCell::new(None),
            woken: Cell::new(false),
        };
        Self {
            queue: Rc::new(queue),
            members: RefCell::default(),
            in_round: Cell::new(false),
            env: PhantomData,
        }
    }

    /// Starts a child, on the loop that runs here. It takes its first step in the coming
    /// [`poll_woken`](Self::poll_woken); or at once, if the options [say so](SpawnOptions::eager_start) and a
    /// round is under way.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[track_caller]
    pub fn spawn<F>(&self, options: SpawnOptions, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        let options = options.or_location(Location::caller());
        // Outside of a round the child could drop these children while it is polled by them.
        let now = options.start == Start::Now && self.in_round.get();
        let place = self.members.borrow_mut().reserve();
        let schedule = ToQueue {
            queue: self.queue.clone(),
            place,
        };
        let spawned = current::tasks(|tasks| {
            // SAFETY: H1, H2: the future is dropped while `'env` lasts, or never; H4 for the output.
            Some(unsafe { tasks?.spawn_borrowing(options, future, schedule) })
        });
        let Some((cell, task)) = spawned else {
            self.members.borrow_mut().forget(place);
            panic!("{}", crate::spawn::NoRunningLoop);
        };
        self.members.borrow_mut().places[place as usize] = Some(cell.clone());
        current::tasks(|tasks| {
            if let Some(tasks) = tasks {
                tasks.begin_borrowing(&cell, now);
            }
        });
        if now && cell.state.is_done() {
            let ended = self.members.borrow_mut().forget(place);
            drop(ended);
        }
        task
    }

    /// Runs a step of each child that was woken before this call. Those that are woken meanwhile have their
    /// turn in the next one, and the waker of `cx` is woken for it.
    pub fn poll_woken(&self, cx: &Context<'_>) {
        let round = self.begin_round(cx);
        self.run_round(round);
    }

    /// For those who run something else before the children: which children have their turn is decided here,
    /// and [`run_round`](Self::run_round) runs them. Those that are woken from now on wait for the next round,
    /// and the waker of `cx` is woken for it.
    #[must_use]
    pub fn begin_round(&self, cx: &Context<'_>) -> Round {
        self.in_round.set(true);
        let known = self
            .queue
            .waker
            .borrow()
            .as_ref()
            .is_some_and(|old| old.will_wake(cx.waker()));
        if !known {
            let waker = cx.waker().clone();
            let old = self.queue.waker.replace(Some(waker));
            drop(old);
        }
        self.queue.woken.set(false);
        Round(self.queue.ready.borrow().len())
    }

    /// Runs a step of each child of a round.
    pub fn run_round(&self, round: Round) {
        struct Over<'a>(&'a Cell<bool>);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        let _over = Over(&self.in_round);
        for _ in 0..round.0 {
            let Some((place, step)) = self.queue.ready.borrow_mut().pop_front() else {
                break;
            };
            if step.run_child() {
                let ended = self.members.borrow_mut().forget(place);
                drop(ended);
            }
        }
    }

    /// How many have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        let members = self.members.borrow();
        members.places.len() - members.free.len()
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that have not ended, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<TaskRef> {
        self.cells().into_iter().map(TaskRef::new).collect()
    }

    fn cells(&self) -> Vec<CellRef> {
        let mut cells: Vec<_> = self
            .members
            .borrow()
            .places
            .iter()
            .flatten()
            .cloned()
            .collect();
        cells.sort_by_key(|cell| cell.id);
        cells
    }

    /// Asks all to end, and perhaps says why. They do so in [`poll_woken`](Self::poll_woken).
    pub fn cancel(&self, message: Option<&Arc<str>>) {
        for cell in self.cells() {
            tasks::cancel(&cell, message.cloned());
        }
    }

    /// Drops the futures of all, here and now. What a destructor spawns is dropped as well.
    pub fn end(&self) {
        loop {
            let cells = self.cells();
            if cells.is_empty() {
                break;
            }
            for cell in cells {
                Tasks::end_child(&cell);
            }
            self.members.borrow_mut().clear_ended();
        }
        // What is left of them in the queue; and whoever ran them need not be woken any more.
        let ready = self.queue.ready.take();
        drop(ready);
        let waker = self.queue.waker.take();
        drop(waker);
    }
}

impl Members {
    fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            u32::try_from(self.places.len() - 1).expect("a group has fewer than 2^32 children")
        })
    }

    fn forget(&mut self, place: u32) -> Option<CellRef> {
        self.free.push(place);
        self.places[place as usize].take()
    }

    fn clear_ended(&mut self) {
        for place in 0..self.places.len() {
            if self.places[place]
                .as_ref()
                .is_some_and(|cell| cell.state.is_done())
            {
                // It only frees memory: the task has ended.
                drop(self.forget(place as u32));
            }
        }
    }
}

impl Default for Children<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Children<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Children({} of them)", self.len())
    }
}
