//! Tasks that borrow: children which live no longer than what they borrow, without a runtime's promise to
//! wait for them.
//!
//! - **H1** The future of a child is polled by [`Children::run_round`], its first time perhaps by
//!   [`Children::spawn`], and dropped by those or by [`Children::end`], and by nothing else. All are called with
//!   the `Children<'env>` in hand, so while `'env` lasts. In particular the loop, its lists and wakers only see a child's header and set flags:
//!   [`Tasks::close`] passes over tasks that borrow, and their places in the family's queue are used by
//!   `run_round` alone.
//! - **H2** Dropping `Children` ends them all: none is being polled at that moment, for whoever polls them has
//!   borrowed the `Children`. If it is never dropped but leaked, so are they: nobody polls or drops their
//!   futures any more, and what they borrow may end.
//! - **H3** A child's cell owns its family, not the `Children`, and gives that up when its future goes. From
//!   the family only cells are reached, so nothing of `'env`.
//! - **H4** The value of a child is `'env` too. It goes to the handle, which is, or is dropped in the child's
//!   last step.
//!
//! H5 is in `family.rs`.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use crate::cell_ref::{Anchor, CellRef};
use crate::circle;
use crate::current;
use crate::family::Family;
use crate::marks::Mark;
use crate::origin::{HeardRequest, Origin};
use crate::spawn_options::{SpawnOptions, Start};
use crate::state::{Begin, LastPoll};
use crate::task::Task;
use crate::task_ref::TaskRef;
use crate::tasks::{self, Stepped, Tasks};
use crate::waker;

/// Tasks that may borrow, run by whoever has this. A building block of task groups.
///
/// They are tasks like others, with names, scopes and handles, except that they run only in
/// [`poll_woken`](Self::poll_woken), and end with this at the latest. They belong to the loop that the first
/// of them was spawned on.
pub struct Children<'env> {
    family: Rc<Family>,
    /// What the body's waker wakes.
    body: OnceCell<Anchor>,
    /// A round is under way, so this is not ended before that is over.
    in_round: Cell<bool>,
    /// Invariant: nobody may take this for children that borrow for a shorter or a longer time.
    env: PhantomData<Cell<&'env ()>>,
}

/// Who has their turn.
#[derive(Debug)]
pub struct Round {
    children: usize,
    body: bool,
}

/// What is told of a child's panic. Without one, the panic is the child's outcome.
pub(crate) type OnPanic<'a> = Option<&'a mut dyn FnMut(&TaskRef, Box<dyn Any + Send>)>;

const MOVED: &str = "the children of a group belong to the event loop that it began on: \
                     it cannot go on or take more children anywhere else";

impl<'env> Children<'env> {
    /// No children yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            family: Rc::new(Family::new()),
            body: OnceCell::new(),
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
    /// Without a running loop, or on another one than the first child was spawned on.
    #[track_caller]
    #[inline]
    pub fn spawn<F>(&self, options: SpawnOptions, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.start(options, Location::caller(), future, None)
    }

    /// [`spawn`](Self::spawn), telling `panicked` if a child that takes its first step at once panics in it.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    #[inline]
    pub fn spawn_with<F>(
        &self,
        options: SpawnOptions,
        future: F,
        mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>),
    ) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.start(options, Location::caller(), future, Some(&mut panicked))
    }

    #[inline]
    fn start<F>(
        &self,
        options: SpawnOptions,
        location: &'static Location<'static>,
        future: F,
        panicked: OnPanic<'_>,
    ) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        current::tasks(|tasks| {
            let Some(tasks) = tasks else {
                panic!("{}", crate::spawn::NoRunningLoop);
            };
            self.settle(tasks);
            // Outside of a round, the child could end these children, itself among them, from its first step.
            let now = options.start == Start::Now && self.in_round.get();
            let eager = now.then_some(panicked);
            // SAFETY: H1, H2: the future is dropped while `'env` lasts, or never; H4 for the output.
            unsafe { tasks.spawn_child(options, location, future, &self.family, eager) }
        })
    }

    /// These are children of that loop, from the first on.
    #[inline]
    fn settle(&self, tasks: &Tasks) {
        if !self.family.is_settled() {
            tasks.enlist(&self.family);
        }
        assert!(self.family.settle(tasks.owner()), "{MOVED}");
    }

    /// Runs a step of each child that was woken before this call. Those that are woken meanwhile have their
    /// turn in the next one, and the waker of `cx` is woken for it.
    ///
    /// # Panics
    ///
    /// On another loop than they were spawned on, while there are any.
    pub fn poll_woken(&self, cx: &Context<'_>) {
        let round = self.begin_round(cx);
        self.run(&round, None);
    }

    /// For those who run something else before the children, a body: who has their turn is decided here, and
    /// [`poll_body`](Self::poll_body) and [`run_round`](Self::run_round) run them. Those that are woken from
    /// now on wait for the next round, and the waker of `cx` is woken for it.
    ///
    /// # Panics
    ///
    /// On another loop than the one this began on, unless all is over.
    #[must_use]
    pub fn begin_round(&self, cx: &Context<'_>) -> Round {
        let elsewhere = self.family.is_settled() && self.family.at_home(|tasks| tasks.is_none());
        if elsewhere {
            assert!(self.is_empty() && self.body.get().is_none(), "{MOVED}");
        }
        self.in_round.set(true);
        self.family.begin_round(cx);
        Round {
            children: self.family.ready.len(),
            body: self.body.get().is_none_or(|body| body.state.is_scheduled()),
        }
    }

    /// Polls the body, if it was woken before the round, with a waker of its own. The first time in any case.
    ///
    /// It is a part of the task that calls this, and not listed.
    pub fn poll_body<R>(
        &self,
        round: &Round,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> R,
    ) -> Option<R> {
        /// When its poll is over, also by a panic.
        struct Parked<'a>(&'a CellRef);
        impl Drop for Parked<'_> {
            fn drop(&mut self) {
                self.0.state.pause();
            }
        }
        if !round.body {
            return None;
        }
        let Some(body) = self.body() else {
            return Some(poll(cx)); // no loop, so there is nothing to tell apart
        };
        let _parked = (body.state.begin() == Begin::Poll).then_some(Parked(body));
        let waker = waker::borrowed(body);
        Some(poll(&mut Context::from_waker(&waker)))
    }

    fn body(&self) -> Option<&CellRef> {
        if self.body.get().is_none() {
            current::running(|step| {
                let (tasks, task) = step?;
                self.settle(tasks);
                let body = tasks.spawn_beside(task, &self.family);
                self.body.set(body).ok()
            });
        }
        self.body.get().map(|body| &**body)
    }

    /// Runs a step of each child of a round. `panicked` is told of each that ends with a panic, before anybody
    /// else is.
    pub fn run_round(
        &self,
        round: &Round,
        mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>),
    ) {
        self.run(round, Some(&mut panicked));
    }

    fn run(&self, round: &Round, mut panicked: OnPanic<'_>) {
        /// Also by a panic.
        struct Over<'a>(&'a Cell<bool>);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        let _over = Over(&self.in_round);
        let family = &*self.family;
        if round.children == 0 {
            return;
        }
        family.at_home(|tasks| {
            let Some(tasks) = tasks else {
                assert!(self.is_empty(), "{MOVED}");
                return self.clear_queue();
            };
            for _ in 0..round.children {
                // Somebody else may have had the place, in a round within this one.
                let Some(h) = family.ready.pop() else { break };
                // SAFETY: H5, until its step is over: only that takes it from the members.
                let cell = unsafe { CellRef::borrow(&h) };
                match tasks.step(cell) {
                    Stepped::GoesOn => {}
                    Stepped::Ended(outcome) => {
                        tasks.conclude_child(cell, outcome, family, &mut panicked);
                    }
                    // SAFETY: H5: it ended before, and the place has a reference.
                    Stepped::Left => drop(unsafe { CellRef::from_raw(h) }),
                }
            }
        });
    }

    /// How many have not ended.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.family.members.len()
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that have not ended, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<TaskRef> {
        let cells = self.family.cells().into_iter();
        cells.map(TaskRef::new).collect()
    }

    /// Asks all to end, and perhaps says why. They do so in [`poll_woken`](Self::poll_woken).
    pub fn cancel(&self, message: Option<&Arc<str>>, last_poll: LastPoll) {
        let origin = self.family.at_home(|tasks| match tasks {
            Some(tasks) => tasks.scopes.borrow_mut().new_origin(),
            None => Origin::ANEW,
        });
        self.request(origin, message, last_poll);
    }

    /// Passes on to all a request that a [`Listener`](crate::Listener) has heard. As it keeps its identity, those
    /// that it has come to before are not asked again. Those that nobody awaits have no last poll.
    pub fn pass_on(&self, request: &HeardRequest) {
        let last_poll = match request.dismissed {
            true => LastPoll::Refused,
            false => LastPoll::IfAwaited,
        };
        self.family.heard_by.set(request.heard_by);
        // One that has passed it on before may be where it came from.
        let has_passed_on = |cell: &CellRef| cell.marks.has(Mark::PassedOn);
        let comes_back = self.family.cells().iter().any(has_passed_on);
        self.request(request.origin, request.message.as_ref(), last_poll);
        if comes_back {
            circle::break_here();
        }
    }

    fn request(&self, origin: Origin, message: Option<&Arc<str>>, last_poll: LastPoll) {
        for cell in self.family.cells() {
            tasks::request(&cell, origin, message.cloned(), last_poll);
        }
    }

    /// Takes back the last poll of those that have been asked to end and that nobody awaits.
    pub fn refuse_last_polls(&self) {
        for cell in self.family.cells() {
            if !cell.has_joiner() {
                tasks::refuse_last_poll(&cell);
            }
        }
    }

    /// Drops the futures of all, here and now. What a destructor spawns is dropped as well.
    ///
    /// A child that runs at this moment, because it calls this itself, ends when its step is over.
    pub fn end(&self) {
        self.end_all(None);
    }

    /// [`end`](Self::end), telling `panicked` of the panics of destructors.
    pub fn end_with(&self, mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>)) {
        self.end_all(Some(&mut panicked));
    }

    fn end_all(&self, mut panicked: OnPanic<'_>) {
        while !self.is_empty() {
            let mut cells = self.family.cells();
            // Their own steps see to these.
            cells.retain(|cell| {
                cell.state.doom();
                !cell.state.is_running()
            });
            if cells.is_empty() {
                break;
            }
            for cell in cells {
                Tasks::end_child(&cell, &self.family, &mut panicked);
            }
        }
        self.clear_queue();
        if let Some(body) = self.body.get()
            && body.state.seize()
        {
            let outcome = body.drop_future();
            body.state.finish(outcome);
        }
        self.family.close();
    }

    /// Takes what has ended out of the queue.
    fn clear_queue(&self) {
        let ready = &self.family.ready;
        for _ in 0..ready.len() {
            let Some(h) = ready.pop() else { break };
            // SAFETY: H5.
            if unsafe { CellRef::borrow(&h) }.state.is_done() {
                // SAFETY: H5: the place has a reference.
                drop(unsafe { CellRef::from_raw(h) });
            } else {
                ready.push(h);
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
        if !self.is_empty() {
            // One is being polled, which cannot be (H2); and if it were, what it borrows would end before it.
            std::process::abort();
        }
        self.family.at_home(|tasks| {
            if let Some(tasks) = tasks {
                tasks.delist(&self.family);
            }
        });
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Children({} of them)", self.len())
    }
}
