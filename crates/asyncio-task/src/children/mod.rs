//! Tasks that borrow: children which live no longer than what they borrow, without a runtime's promise to
//! wait for them.
//!
//! - **H1** The future of a child is polled by `Children::run`, its first time perhaps by [`Children::spawn`], and dropped by those or by [`Children::end`], and by nothing else. All are called with
//!   the `Children<'env>` in hand, so while `'env` lasts. In particular the loop, its lists and wakers only see a child's header and set flags:
//!   [`Tasks::close`] passes over tasks that borrow, and their places in the family's queue are used by
//!   `run` alone.
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

pub(crate) mod family;
pub(crate) mod handover;
pub(crate) mod round;

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cancel::{HeardRequest, Origin};
use crate::cell::Header;
use crate::cell::cell_ref::{Anchor, CellRef};
use crate::cell::marks::Mark;
use crate::cell::state::{Begin, LastPoll, Pause};
use crate::cell::waker;
use crate::children::family::Family;
use crate::children::handover::{Keeps, Taker, last_polls};
use crate::children::round::{Begins, Round};
use crate::engine::current;
use crate::engine::tasks::{self, Stepped, Tasks};
use crate::engine::turn::Cut;
use crate::handle::id::TaskId;
use crate::handle::spawn_options::{SpawnOptions, Start};
use crate::handle::task::Task;
use crate::handle::task_ref::TaskRef;
use crate::scopes::circle;

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

/// Polls a body outside of any task.
#[cold]
fn outside<B>(poll_body: Option<&mut B>, cx: &mut Context<'_>)
where
    B: FnMut(&mut Context<'_>) -> Poll<()>,
{
    if let Some(poll_body) = poll_body {
        let _ = poll_body(cx);
    }
}

/// The type of a body that is not there.
type NoBody = fn(&mut Context<'_>) -> Poll<()>;

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

    /// No children yet, for parts of the task around that are no tasks for the eyes of users. They run in the
    /// order in which they are woken, also if a [seed](Tasks::order_by) orders all others.
    #[must_use]
    pub fn in_order() -> Self {
        let children = Self::new();
        children.family.in_order.set(true);
        children
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

    /// [`spawn`](Self::spawn), without options but the place that the child is said to be spawned at.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[inline]
    pub fn spawn_at<F>(&self, location: &'static Location<'static>, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.with_tasks(|tasks| {
            // SAFETY: H1, H2: the future is dropped while `'env` lasts, or never; H4 for the output.
            let (cell, task) =
                unsafe { tasks.new_child(tasks.birth_at(location), future, &self.family) };
            self.family.enter(cell);
            task
        })
    }

    #[inline]
    fn start<F>(
        &self,
        options: SpawnOptions,
        location: &'static Location<'static>,
        future: F,
        mut panicked: OnPanic<'_>,
    ) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.with_tasks(|tasks| {
            // Outside of a round, the child could end these children, itself among them, from its first step.
            let starts_now = options.start == Start::Now && self.in_round.get();
            let birth = tasks.birth_with(options, location);
            // SAFETY: H1, H2: the future is dropped while `'env` lasts, or never; H4 for the output.
            let (cell, task) = unsafe { tasks.new_child(birth, future, &self.family) };
            match starts_now {
                false => self.family.enter(cell),
                // SAFETY: H1: these are its `Children`.
                true => unsafe {
                    tasks.begin_child_now(cell, task.cell(), &self.family, &mut panicked);
                },
            }
            task
        })
    }

    /// Calls `f` with the tasks that these children are some of, from the first on.
    #[inline]
    fn with_tasks<R>(&self, f: impl FnOnce(&Tasks) -> R) -> R {
        current::tasks(|tasks| {
            let Some(tasks) = tasks else {
                panic!("{}", crate::handle::spawn::NoRunningLoop);
            };
            self.settle(tasks);
            f(tasks)
        })
    }

    /// These are children of that loop, from the first on.
    #[inline]
    fn settle(&self, tasks: &Tasks) {
        if self.family.owner() != Some(tasks.owner()) {
            self.settle_first(tasks);
        }
    }

    #[cold]
    fn settle_first(&self, tasks: &Tasks) {
        assert!(self.family.settle(tasks.owner()), "{MOVED}");
        tasks.enlist(&self.family);
    }

    /// Runs a step of each child that was woken before this call, in the order in which they were woken. Those
    /// that are woken meanwhile have their turn in the next call, and the waker of `cx` is woken for it; also
    /// for those that are left when the budget of the loop's turn is spent.
    ///
    /// # Panics
    ///
    /// On another loop than they were spawned on, while there are any.
    pub fn poll_woken(&self, cx: &mut Context<'_>) {
        self.run(cx, None::<&mut NoBody>, None);
    }

    /// [`poll_woken`](Self::poll_woken), telling `panicked` of each child that ends with a panic, before anybody
    /// else is.
    ///
    /// # Panics
    ///
    /// As [`poll_woken`](Self::poll_woken).
    pub fn poll_woken_with(
        &self,
        cx: &mut Context<'_>,
        mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>),
    ) {
        self.run(cx, None::<&mut NoBody>, Some(&mut panicked));
    }

    /// [`poll_woken_with`](Self::poll_woken_with), with a body: a part of the task that calls this, which is
    /// polled like a child when it was woken, and in the first call. It has a waker of its own, and is not
    /// listed.
    ///
    /// Once the body has returned `Ready`, it is not polled again. Outside of any task it is polled each time.
    ///
    /// # Panics
    ///
    /// On another loop than the one this began on, unless all is over.
    // Always: debug builds keep a frame for each call, and groups are nested.
    #[inline(always)]
    pub fn poll_beside(
        &self,
        cx: &mut Context<'_>,
        mut body: impl FnMut(&mut Context<'_>) -> Poll<()>,
        mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>),
    ) {
        self.run(cx, Some(&mut body), Some(&mut panicked));
    }

    /// The cell that stands for the body. `None` outside of any task.
    #[inline]
    fn body(&self) -> Option<&CellRef> {
        match self.body.get() {
            Some(body) => Some(body),
            None => self.make_body(),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_body(&self) -> Option<&CellRef> {
        current::running(|step| {
            let (tasks, task) = step?;
            self.settle(tasks);
            let body = tasks.spawn_beside(task, &self.family);
            body.state.wake();
            self.family.ready.push(body.as_raw());
            self.body.set(body).ok()
        });
        self.body.get().map(|body| &**body)
    }

    // On the stack while children run, as is what it calls: what takes room is apart, or passed by reference.
    fn run<B>(&self, cx: &mut Context<'_>, mut poll_body: Option<&mut B>, mut panicked: OnPanic<'_>)
    where
        B: FnMut(&mut Context<'_>) -> Poll<()>,
    {
        {
            let begun = self.begin_run(cx, poll_body.is_some());
            if begun.body.is_none() {
                outside(poll_body.as_deref_mut(), cx);
            }
            let mut run = Run {
                family: &self.family,
                body: begun.body.map(CellRef::as_raw),
                poll_body,
                panicked: &mut panicked,
            };
            self.family.at_home(|tasks| {
                if let Some(tasks) = tasks {
                    run.round(tasks, &begun);
                }
            });
        }
        self.family.wake_for_ready();
    }

    /// What comes before a round. Apart: it is not on the stack while children run.
    #[inline(never)]
    fn begin_run(&self, cx: &Context<'_>, has_body: bool) -> Begun<'_> {
        let family = &*self.family;
        let elsewhere = family.owner().is_some() && family.at_home(|tasks| tasks.is_none());
        if elsewhere {
            assert!(self.is_empty() && self.body.get().is_none(), "{MOVED}");
            self.clear_queue();
        }
        let in_round = InRound(&self.in_round, self.in_round.replace(true));
        family.begin_round(cx);
        let begins = match in_round.1 {
            _ if has_body && self.body.get().is_none() => Begins::First,
            true => Begins::Within,
            false => Begins::Later,
        };
        let body = if has_body { self.body() } else { None };
        Begun {
            body,
            begins,
            _in_round: in_round,
        }
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
    /// that it has come to before are not asked again. `last_poll` holds unless the request
    /// [dismisses](HeardRequest::dismissed): then there is none.
    pub fn pass_on(&self, request: &HeardRequest, last_poll: LastPoll) {
        let last_poll = match request.dismissed {
            true => LastPoll::Refused,
            false => last_poll,
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

    /// Whether a request to any child but `except` is open.
    #[must_use]
    pub fn is_any_cancelling(&self, except: Option<crate::TaskId>) -> bool {
        let cells = self.family.cells();
        let mut others = cells.iter().filter(|cell| Some(cell.id) != except);
        others.any(|cell| tasks::cancelling(cell) > 0)
    }

    fn request(&self, origin: Origin, message: Option<&Arc<str>>, last_poll: LastPoll) {
        if matches!(last_poll, LastPoll::IfAwaited | LastPoll::Refused) {
            self.family.handover.end();
        }
        let cells = self.family.cells();
        let ask = |cell: &CellRef, last_poll| {
            tasks::request(cell, origin, message.cloned(), last_poll);
        };
        if matches!(last_poll, LastPoll::IfAwaited | LastPoll::IfHeld) {
            let keeps = self.last_polls(&cells, last_poll);
            for (cell, keeps) in cells.iter().zip(keeps) {
                match keeps {
                    Keeps::Poll => ask(cell, LastPoll::Allowed),
                    Keeps::OnePoll => {
                        ask(cell, LastPoll::Allowed);
                        tasks::refuse_later_polls(cell);
                    }
                    Keeps::OfAwaited => ask(cell, LastPoll::OfAwaited),
                    Keeps::Nothing => ask(cell, LastPoll::Refused),
                }
            }
        } else {
            cells.iter().for_each(|cell| ask(cell, last_poll));
        }
    }

    /// Takes back the last poll of those that have been asked to end and whose value nobody takes.
    pub fn refuse_last_polls(&self) {
        self.family.handover.end();
        let cells = self.family.cells();
        let keeps = self.last_polls(&cells, LastPoll::IfAwaited);
        for (cell, keeps) in cells.iter().zip(keeps) {
            match keeps {
                Keeps::Poll | Keeps::OfAwaited => {}
                Keeps::OnePoll => tasks::refuse_later_polls(cell),
                Keeps::Nothing => tasks::refuse_last_poll(cell),
            }
        }
    }

    /// What becomes of the last polls of these members, oldest first, when all are asked to end.
    fn last_polls(&self, cells: &[CellRef], rule: LastPoll) -> Vec<Keeps> {
        // A combinator may have polled the group with a waker of its own. The body stands for the task that ran it first.
        let runners = [self.family.runner(), self.body.get().map(|body| body.id)];
        let member = |id: TaskId| cells.binary_search_by_key(&id, |cell| cell.id).ok();
        let taker = |place: usize| {
            let cell = &cells[place];
            // A body that ends with its children has no use for a value either.
            let (has_taker, body) = match rule {
                LastPoll::IfHeld => (cell.state.is_awaited(), Taker::Outside),
                _ => (cell.has_joiner(), Taker::Nobody),
            };
            if !has_taker {
                return Taker::Nobody;
            }
            let Some(awaiting) = circle::awaiter_by_handle(cell) else {
                return Taker::Outside;
            };
            if runners.contains(&Some(awaiting.id)) {
                return body;
            }
            // If it is no member, it may belong to a group that a member runs.
            let runs_it = || current::tasks(|tasks| tasks?.family_of(&awaiting)?.runner());
            let found = member(awaiting.id).or_else(|| member(runs_it()?));
            found.map_or(Taker::Outside, Taker::Member)
        };
        last_polls(cells.len(), taker, |place| cells[place].state.expects())
    }

    /// Says whether the first value of a member decides what becomes of the others, as in a race. As long as it does,
    /// the groups that run in members hand values over within one step, so that none is under way at that moment.
    pub fn set_contest(&self, on: bool) {
        self.family.handover.set_contest(on);
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
                // SAFETY: H1: these are its `Children`.
                unsafe { Tasks::end_child(&cell, &self.family, &mut panicked) };
            }
        }
        if let Some(body) = self.body.get()
            && body.state.seize()
        {
            end_body(body);
        }
        self.clear_queue();
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

/// A run of children that has begun.
struct Begun<'a> {
    body: Option<&'a CellRef>,
    begins: Begins,
    _in_round: InRound<'a>,
}

/// A round is under way, until this is dropped. Whether one was before.
struct InRound<'a>(&'a Cell<bool>, bool);

impl Drop for InRound<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// What [`Children::run`] runs.
struct Run<'a, 'p, B> {
    family: &'a Family,
    /// What stands for the body.
    body: Option<NonNull<Header>>,
    poll_body: Option<&'a mut B>,
    panicked: &'a mut OnPanic<'p>,
}

impl<B: FnMut(&mut Context<'_>) -> Poll<()>> Run<'_, '_, B> {
    fn round(&mut self, tasks: &Tasks, begun: &Begun<'_>) {
        let round = &mut Round::begin(tasks, self.family, begun.body, begun.begins);
        while let Some(cut) = round.resume() {
            self.resume(&cut, round);
        }
        match tasks.is_observed() {
            true => self.batch_observed(round),
            false => self.batch::<false>(round),
        }
        while round.goes_on() {
            self.batch_unbounded(round);
        }
        if !self.family.handover.is_calm() || tasks.turn.expects.get() {
            self.expect_value(tasks);
        }
    }

    /// Has the owner expect a value, if one is on its way to a member, or in what a member runs.
    #[cold]
    fn expect_value(&self, tasks: &Tasks) {
        let inside = tasks.turn.expects.replace(false);
        let (ready, is_pending) = (&self.family.ready, self.family.handover.is_pending());
        if is_pending && ready.len() > 0
            || inside && (tasks.expects_value() || self.has_expecting())
        {
            tasks.expect_value();
        }
    }

    /// Whether a value is on its way in what one of those that are ready runs.
    fn has_expecting(&self) -> bool {
        let ready = &self.family.ready;
        let mut found = false;
        for _ in 0..ready.len() {
            let Some(h) = ready.pop() else { break };
            // SAFETY: H5.
            let cell = unsafe { CellRef::borrow(&h) };
            found |= cell.state.expects() && !cell.state.is_done();
            ready.push(h);
        }
        found
    }

    /// Runs a step of all that are ready now, whatever the budget.
    #[cold]
    fn batch_unbounded(&mut self, round: &mut Round<'_>) {
        round.begin_unbounded();
        while let Some(h) = round.next_unbounded() {
            self.step_of_next::<true>(h, round);
        }
    }

    #[cold]
    fn batch_observed(&mut self, round: &mut Round<'_>) {
        self.batch::<true>(round);
    }

    // Apart: with all of its callers around, its registers would not suffice for a step.
    #[inline(never)]
    fn batch<const OBSERVED: bool>(&mut self, round: &mut Round<'_>) {
        let mut next = round.first::<OBSERVED>();
        while let Some(h) = next {
            self.step_of_next::<OBSERVED>(h, round);
            next = round.next::<OBSERVED>();
        }
    }

    /// Runs a step of the member that the queue gave out.
    #[inline(always)]
    fn step_of_next<const OBSERVED: bool>(&mut self, h: NonNull<Header>, round: &mut Round<'_>) {
        // SAFETY: H5 until its step is over, for only that ends it.
        let cell = unsafe { CellRef::borrow(&h) };
        let was_over = match OBSERVED {
            true => self.observed_step_of(cell, round),
            // SAFETY: `begin` is of this cell.
            false => unsafe { self.step(cell, || cell.state.begin(), round) },
        };
        if was_over {
            // SAFETY: H5: it ended before, and the place has a reference.
            drop(unsafe { CellRef::from_raw(h) });
        }
    }

    #[cold]
    #[inline(never)]
    fn observed_step_of(&mut self, cell: &CellRef, round: &mut Round<'_>) -> bool {
        // SAFETY: `begin` is of this cell.
        unsafe { self.observed_step(cell, || cell.state.begin(), round) }
    }

    /// Runs a step of a member that was cut short.
    #[cold]
    fn resume(&mut self, cut: &Cut, round: &mut Round<'_>) {
        let tasks = round.tasks;
        // SAFETY: `begin_resumed` is of this cell.
        unsafe { self.observed_step(&cut.cell, || tasks.turn.begin_resumed(cut), round) };
        round.end_resumed();
    }

    /// [`step`](Self::step), timed if debug mode is on.
    ///
    /// # Safety
    ///
    /// As for `step`.
    unsafe fn observed_step(
        &mut self,
        cell: &CellRef,
        begin: impl FnOnce() -> Begin,
        round: &mut Round<'_>,
    ) -> bool {
        let tasks = round.tasks;
        // SAFETY: the caller's promise.
        tasks.timed_if_on(cell, || unsafe { self.step(cell, begin, round) })
    }

    /// Runs a step of a member. Whether it ended before, and only its place in the queue was left.
    ///
    /// # Safety
    ///
    /// `begin` makes the transition of this cell that begins a step, and returns what came of it.
    #[inline(always)]
    unsafe fn step(
        &mut self,
        cell: &CellRef,
        begin: impl FnOnce() -> Begin,
        round: &mut Round<'_>,
    ) -> bool {
        if self.body == Some(cell.as_raw()) {
            if round.has_run() {
                round.tasks.count_step(); // otherwise it is within the step of its owner
            }
            round.note_step(cell);
            round.tasks.note_enclosing_step();
            let poll = self.poll_body.as_deref_mut();
            let poll = poll.expect("what stands for a body comes with it");
            return step_body(cell, begin(), self.family, poll);
        }
        round.note_step(cell);
        // SAFETY: H1: `Children::run` runs this; and `begin` is of this cell, by the caller's promise.
        match unsafe { round.tasks.step(cell, begin()) } {
            Stepped::GoesOn => false,
            Stepped::WasOver => true,
            Stepped::Ends(outcome) => {
                let tasks = round.tasks;
                tasks.conclude_child(cell, outcome, self.family, self.panicked);
                false
            }
        }
    }
}

/// A step of the body. Whether it ended before, and only its place in the queue was left.
fn step_body(
    body: &CellRef,
    begin: Begin,
    family: &Family,
    poll: &mut impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> bool {
    /// When its poll is over, also by a panic.
    struct Parked<'a>(&'a CellRef, &'a Family);
    impl Drop for Parked<'_> {
        fn drop(&mut self) {
            if !self.0.state.is_done() && self.0.state.pause() == Pause::Again {
                self.1.ready.push(self.0.as_raw());
            }
        }
    }
    if begin != Begin::Poll {
        return begin == Begin::Nothing;
    }
    let _parked = Parked(body, family);
    let waker = waker::borrowed(body);
    if poll(&mut Context::from_waker(&waker)).is_ready() {
        end_body(body);
    }
    false
}

/// Nothing wakes the body any more.
fn end_body(body: &CellRef) {
    // SAFETY: C6: the step of the body, or `seize`, has made it running; its own future is never polled.
    let outcome = unsafe { body.drop_future() };
    if body.state.finish(outcome) {
        body.clone().into_raw(); // H5: for the place that is left
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
