//! The children of one group and the code that runs and ends them.
//!
//! - **H1** The future of a child is polled and dropped by the functions of its own [`Members`] only. All are called
//!   with the `Members<'env>` in hand, so while `'env` lasts. A child is known by its queue, which its cell names. An
//!   entry of the queue of these `Members` is one of their children (Q3 in `cell/ready.rs`). Any other child is asked
//!   for its queue first. The loop, its lists and wakers only see a child's header and set flags: the loop passes over
//!   tasks that borrow when it closes.
//! - **H2** Dropping `Members` ends them all: none is being polled at that moment, as a poll has borrowed the
//!   `Members`. If it is never dropped but leaked, so are they: nothing polls or drops their futures any more, and what
//!   they borrow may end.
//! - **H3** A child's cell owns its set, not the `Members`, and gives that up when its future goes. From the set only
//!   cells are reached, so nothing of `'env`.
//! - **H4** The value of a child is `'env` too. It goes to the handle, which is, or is dropped in the child's
//!   last step.
//!
//! H5 is in `child_set.rs`.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::cell::cell_ref::{Begin, Ended, LocalRef, OwnEntries, OwnerRef, QueueEntry, Running};
use crate::cell::header::{Header, NewTask, Shown};
use crate::cell::layout;
use crate::cell::state::Outcome;
use crate::cell::waker;
use crate::children::child_set::ChildSet;
use crate::children::round::{Begins, Round};
use crate::discard::discard;
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::report::report;
use crate::engine::turn::Cut;
use crate::engine::unhandled::Unhandled;
use crate::handle::id::TaskId;
use crate::handle::spawn::{NoRunningLoop, new_task_at, new_task_with};
use crate::handle::spawn_options::{SpawnOptions, Start};
use crate::handle::task::Task;
use crate::handle::task_ref::TaskRef;
use crate::scopes;
use crate::scopes::awaits;

/// The children of one group.
pub(super) struct Members<'env> {
    set: Rc<ChildSet>,
    /// The cell that the body's waker wakes.
    body: OnceCell<OwnerRef>,
    /// A round is under way, so this is not ended before that is over.
    in_round: Cell<bool>,
    /// Invariant: this is not to be taken for children that borrow for a shorter or a longer time.
    env: PhantomData<Cell<&'env ()>>,
}

/// The function that hears of a child's panic. Without one, the panic is the child's outcome.
pub(super) type OnPanic<'a> = Option<&'a mut dyn FnMut(&TaskRef, Box<dyn Any + Send>)>;

// SAFETY: the queue is a field of the set, which nothing replaces, and nothing else puts entries in.
unsafe impl OwnEntries for ChildSet {
    #[inline]
    unsafe fn push(&self, entry: QueueEntry) {
        // SAFETY: handed on to the caller.
        unsafe { self.ready.push(entry) }
    }
}

/// The type of a body that is not there.
pub(super) type NoBody = fn(&mut Context<'_>) -> Poll<()>;

const FOREIGN: &str = "a child of another group came among the children of this one";

const MOVED: &str = "the children of a group belong to the event loop that it began on: \
                     it cannot go on or take more children anywhere else";

impl<'env> Members<'env> {
    pub(super) fn new() -> Self {
        Self {
            set: Rc::new(ChildSet::new()),
            body: OnceCell::new(),
            in_round: Cell::new(false),
            env: PhantomData,
        }
    }

    #[inline]
    pub(super) fn set(&self) -> &ChildSet {
        &self.set
    }

    /// The task that the body is a part of.
    pub(super) fn body_id(&self) -> Option<TaskId> {
        self.body.get().map(|body| body.id)
    }

    /// Starts a child without options.
    #[inline]
    pub(super) fn spawn_at<F>(
        &self,
        location: &'static Location<'static>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.with_tasks(|tasks| {
            let (cell, task) = self.new_child(tasks, new_task_at(tasks, location), future);
            self.enter(cell, &task);
            task
        })
    }

    /// Starts a child. If the options say so, and a round is under way, it takes its first step at once.
    #[inline]
    pub(super) fn spawn_with<F>(
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
            let (cell, task) =
                self.new_child(tasks, new_task_with(tasks, options, location), future);
            match starts_now {
                false => self.enter(cell, &task),
                true => self.begin_now(tasks, cell, task.cell(), &mut panicked),
            }
            task
        })
    }

    #[inline(always)]
    fn new_child<F>(
        &self,
        tasks: &Local,
        new: NewTask<'_>,
        future: F,
    ) -> (OwnerRef, Task<F::Output>)
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        // SAFETY: H1, H2: the future is dropped while `'env` lasts, or never; H4 for the output.
        let (cell, join) = unsafe { layout::new_child(&tasks.pool, new, future, self.set.clone()) };
        (cell, Task::new(join))
    }

    /// Takes in a new child, which is to take its first step.
    #[inline]
    fn enter<T>(&self, owned: OwnerRef, task: &Task<T>) {
        self.set.take_in(owned);
        task.cell().schedule_child();
    }

    /// Runs the first step of a child, within the step of the task that spawned it.
    #[cold]
    fn begin_now(
        &self,
        tasks: &Local,
        owned: OwnerRef,
        cell: &LocalRef,
        panicked: &mut OnPanic<'_>,
    ) {
        self.set.take_in(owned);
        // SAFETY: H1.
        if let Some(begin) = unsafe { cell.begin_child_now() } {
            tasks.eager_steps.set(tasks.eager_steps.get() + 1);
            tasks.timed_if_on(cell, || {
                tasks.count_step();
                tasks.step(begin, |ended| conclude(tasks, ended, &self.set, panicked));
            });
            tasks.note_enclosing_step();
        }
    }

    /// Calls `f` with the tasks that these children are some of, from the first on.
    #[inline]
    fn with_tasks<R>(&self, f: impl FnOnce(&Local) -> R) -> R {
        current::tasks(|tasks| {
            let Some(tasks) = tasks else {
                panic!("{NoRunningLoop}");
            };
            self.bind_owner(tasks);
            f(tasks)
        })
    }

    /// These are children of that loop, from the first on.
    #[inline]
    fn bind_owner(&self, tasks: &Local) {
        if self.set.owner() != Some(tasks.owner()) {
            self.bind_first_owner(tasks);
        }
    }

    #[cold]
    fn bind_first_owner(&self, tasks: &Local) {
        assert!(self.set.bind_owner(tasks.owner()), "{MOVED}");
        let set: Rc<dyn crate::cell::cell_ref::ChildQueue> = self.set.clone();
        tasks.list_children(Rc::downgrade(&set));
    }

    /// The cell that stands for the body. `None` outside of any task.
    #[inline]
    fn body(&self) -> Option<&LocalRef> {
        match self.body.get() {
            Some(body) => Some(body),
            None => self.make_body(),
        }
    }

    #[cold]
    #[inline(never)]
    fn make_body(&self) -> Option<&LocalRef> {
        current::running(|step| {
            let (tasks, task) = step?;
            self.bind_owner(tasks);
            let new = NewTask {
                owner: &tasks.lease,
                id: task.id,
                parent: None,
                location: Location::caller(),
                extra: None,
                callback: true,
                shown: Shown::Within(task.span_id),
            };
            let body = layout::new_body(&tasks.pool, new, self.set.clone());
            body.enter_queue();
            self.body.set(body).ok()
        });
        self.body.get().map(|body| &**body)
    }

    /// Runs a round: a step of each child that was woken before this call, and of the body.
    // On the stack while children run, as is what it calls: what takes room is apart, or passed by reference.
    pub(super) fn run<B>(
        &self,
        cx: &mut Context<'_>,
        mut poll_body: Option<&mut B>,
        mut panicked: OnPanic<'_>,
    ) where
        B: FnMut(&mut Context<'_>) -> Poll<()>,
    {
        {
            let begun = self.begin_run(cx, poll_body.is_some());
            if begun.body.is_none() {
                outside(poll_body.as_deref_mut(), cx);
            }
            let mut run = Run {
                set: &self.set,
                body: begun.body.map(LocalRef::as_raw),
                poll_body,
                panicked: &mut panicked,
            };
            self.set.with_tasks(|tasks| {
                if let Some(tasks) = tasks {
                    run.round(tasks, &begun);
                }
            });
        }
        self.set.wake_for_ready();
    }

    /// Prepares a round. A function of its own, so that it is not on the stack while children run.
    #[inline(never)]
    fn begin_run(&self, cx: &Context<'_>, has_body: bool) -> Begun<'_> {
        let set = &*self.set;
        let is_elsewhere = set.owner().is_some() && set.with_tasks(|tasks| tasks.is_none());
        if is_elsewhere {
            let is_over = set.members.len() == 0 && self.body.get().is_none();
            assert!(is_over, "{MOVED}");
            self.set.ready.forget_ended();
        }
        let in_round = InRound(&self.in_round, self.in_round.replace(true));
        set.begin_round(cx);
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

    /// Drops the futures of all members. A member that runs at this moment, because it calls this itself, ends when its
    /// step is over.
    pub(super) fn end(&self, mut panicked: OnPanic<'_>) {
        while self.set.members.len() > 0 {
            let mut cells = self.set.sorted_cells();
            // Their own steps see to these.
            cells.retain(|cell| {
                cell.state.doom();
                !cell.state.is_running()
            });
            if cells.is_empty() {
                break;
            }
            for cell in cells {
                self.end_child(&cell, &mut panicked);
            }
        }
        if let Some(body) = self.body.get()
            // SAFETY: H1; the body's own future borrows nothing.
            && let Some(running) = unsafe { body.seize_child() }
        {
            end_body(running);
        }
        self.set.ready.forget_ended();
        self.set.close();
    }

    /// Ends a child, whether its loop runs here and now or not. A child that runs ends when its step is over.
    fn end_child(&self, cell: &LocalRef, panicked: &mut OnPanic<'_>) {
        if cell.state.is_done() {
            return; // The destructors of another one have ended it.
        }
        assert!(cell.is_child_of(&self.set), "{FOREIGN}");
        // SAFETY: H1: it is one of these children.
        let Some(running) = (unsafe { cell.seize_child() }) else {
            return cell.state.doom();
        };
        self.set.with_tasks(|tasks| match tasks {
            Some(tasks) => {
                let ended = tasks.drop_future(running);
                conclude(tasks, ended, &self.set, panicked);
            }
            None => end_remotely(running, &self.set, panicked),
        });
    }
}

impl Drop for Members<'_> {
    fn drop(&mut self) {
        self.end(None);
        if self.set.members.len() > 0 {
            // A member is being polled, which cannot be (H2). If it were, its borrowed data would end before it.
            std::process::abort();
        }
        self.set.with_tasks(|tasks| {
            if let Some(tasks) = tasks {
                tasks.unlist_children(&self.set.index);
            }
        });
    }
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

/// A run of children that has begun.
struct Begun<'a> {
    body: Option<&'a LocalRef>,
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

/// The arguments of [`Members::run`], while it runs the members of a set and the body.
struct Run<'a, 'p, B> {
    set: &'a Rc<ChildSet>,
    /// The header that stands for the body.
    body: Option<NonNull<Header>>,
    poll_body: Option<&'a mut B>,
    panicked: &'a mut OnPanic<'p>,
}

impl<B: FnMut(&mut Context<'_>) -> Poll<()>> Run<'_, '_, B> {
    fn round(&mut self, tasks: &Local, begun: &Begun<'_>) {
        let round = &mut Round::begin(tasks, self.set, begun.body, begun.begins);
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
        if !self.set.handover.is_calm() || tasks.turn.expects.get() {
            self.expect_value(tasks);
        }
    }

    /// Has the owner expect a value, if one is on its way to a member, or in what a member runs.
    #[cold]
    fn expect_value(&self, tasks: &Local) {
        let inside = tasks.turn.expects.replace(false);
        let (ready, is_pending) = (&self.set.ready, self.set.handover.is_pending());
        if is_pending && ready.len() > 0
            || inside && (tasks.expects_value() || self.has_expecting())
        {
            tasks.expect_value();
        }
    }

    /// Whether a value is on its way in what one of those that are ready runs.
    fn has_expecting(&self) -> bool {
        let ready = &self.set.ready;
        ready.any(|cell| cell.state.expects() && !cell.state.is_done())
    }

    /// Runs a step of all that are ready now, whatever the budget.
    #[cold]
    fn batch_unbounded(&mut self, round: &mut Round<'_>) {
        round.begin_unbounded();
        while round.next_unbounded()
            && let Some(entry) = self.set.ready.pop()
        {
            self.observed_step_of(entry, round);
        }
    }

    #[cold]
    fn batch_observed(&mut self, round: &mut Round<'_>) {
        self.batch::<true>(round);
    }

    // Apart: with all of its callers around, its registers would not suffice for a step.
    #[inline(never)]
    fn batch<const OBSERVED: bool>(&mut self, round: &mut Round<'_>) {
        let mut goes_on = round.first::<OBSERVED>();
        // Another round within this one may have had the place.
        while goes_on && let Some(entry) = self.set.ready.pop() {
            match OBSERVED {
                true => self.observed_step_of(entry, round),
                // SAFETY: H1: it is of the queue of the `Members`, whose `run` calls this.
                false => self.step(entry.as_raw(), || unsafe { entry.begin() }, round),
            }
            goes_on = round.next::<OBSERVED>();
        }
    }

    /// Runs the step that an entry of the queue is for, timed if debug mode is on.
    #[cold]
    #[inline(never)]
    fn observed_step_of(&mut self, entry: QueueEntry, round: &mut Round<'_>) {
        let cell = entry.clone();
        // SAFETY: H1: it is of the queue of the `Members`, whose `run` calls this.
        self.observed_step(&cell, || unsafe { entry.begin() }, round);
    }

    /// Runs a step of a member that was cut short.
    #[cold]
    fn resume(&mut self, cut: &Cut, round: &mut Round<'_>) {
        let tasks = round.tasks;
        assert!(cut.cell.is_child_of(self.set), "{FOREIGN}");
        let begin = || {
            tasks.turn.begin_resumed(cut);
            // SAFETY: H1: it is one of the children of the `Members`, whose `run` calls this.
            unsafe { cut.cell.begin_child_out_of_turn() }
        };
        self.observed_step(&cut.cell, begin, round);
        round.end_resumed();
    }

    fn observed_step(
        &mut self,
        cell: &LocalRef,
        begin: impl FnOnce() -> Begin,
        round: &mut Round<'_>,
    ) {
        let tasks = round.tasks;
        tasks.timed_if_on(cell, || self.step(cell.as_raw(), begin, round));
    }

    /// Runs a step of the member `h`, which `begin` begins.
    #[inline(always)]
    fn step(&mut self, h: NonNull<Header>, begin: impl FnOnce() -> Begin, round: &mut Round<'_>) {
        let tasks = round.tasks;
        if self.body == Some(h) {
            self.begin_body(h, round);
            return step_body(begin(), self.poll_body.as_deref_mut());
        }
        round.note_step(h);
        tasks.count_step();
        tasks.step(begin(), |ended| {
            conclude(tasks, ended, self.set, self.panicked)
        });
    }

    /// Notes that the body, which `h` stands for, begins a step.
    // Apart in debug builds, where what is inlined takes stack while the body is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    fn begin_body(&self, h: NonNull<Header>, round: &mut Round<'_>) {
        if round.has_run() {
            round.tasks.count_step(); // otherwise it is within the step of its owner
        }
        round.note_step(h);
        round.tasks.note_enclosing_step();
    }
}

/// A step of the body.
fn step_body<B: FnMut(&mut Context<'_>) -> Poll<()>>(begin: Begin, poll: Option<&mut B>) {
    /// When its poll is over, also by a panic.
    struct Parked(Option<Running>);
    impl Drop for Parked {
        fn drop(&mut self) {
            if let Some(running) = self.0.take() {
                running.pause_child();
            }
        }
    }
    let poll = poll.expect("a body comes with its cell");
    let Begin::Poll(running) = begin else { return };
    let mut parked = Parked(Some(running));
    // No closure: debug builds keep a frame for each call.
    let Some(body) = &parked.0 else { return };
    let waker = waker::borrowed(body);
    if poll(&mut Context::from_waker(&waker)).is_pending() {
        return;
    }
    drop(waker);
    if let Some(running) = parked.0.take() {
        end_body(running);
    }
}

/// Nothing wakes the body any more.
fn end_body(body: Running) {
    // The `Children` keep its owner's reference.
    let owned = body.drop_future().finish(|_| None);
    debug_assert!(owned.is_none());
}

/// The end of a child, whose future is gone.
// Apart in debug builds, where what is inlined takes stack while the child is polled.
#[cfg_attr(debug_assertions, inline(never))]
#[cfg_attr(not(debug_assertions), inline(always))]
fn conclude(tasks: &Local, ended: Ended, set: &ChildSet, panicked: &mut OnPanic<'_>) {
    match ended.outcome() {
        Outcome::Panicked => {
            tell_of_panic(&ended, panicked);
            set.handover.note_end();
        }
        Outcome::Value if ended.has_joiner() => hand_over(tasks, &ended, set),
        Outcome::Cancelled if ended.has_joiner() => set.handover.note_end(),
        Outcome::Value | Outcome::Cancelled => {}
    }
    if let Some(owned) = ended.finish(|cell| set.leave(cell)) {
        tasks.complete_with(owned);
    }
}

/// The end of a child whose loop does not run here, or is gone.
#[cold]
fn end_remotely(running: Running, set: &ChildSet, panicked: &mut OnPanic<'_>) {
    let ended = running.drop_future();
    if ended.outcome() == Outcome::Panicked {
        tell_of_panic(&ended, panicked);
    }
    let Some(cell) = ended.finish(|cell| set.leave(cell)) else {
        return;
    };
    let joiner = cell.take_joiner();
    if !cell.state.is_awaited() {
        let unwanted = cell.take_unwanted();
        discard(|| drop(unwanted));
        cell.clear_extra();
    }
    cell.span.close(cell.span_id);
    if let Some(joiner) = joiner {
        discard(|| joiner.wake());
    }
    scopes::close_root(&cell);
}

/// Notes that a child ends with a value that is awaited, and by which task.
#[inline]
fn hand_over(tasks: &Local, cell: &LocalRef, set: &ChildSet) {
    set.handover.note_value();
    let is_known = cell.look_at_joiner(|joiner| {
        joiner.is_some_and(|joiner| {
            waker::with_cell(joiner, tasks, |awaiting| {
                awaiting.map(|awaiting| awaiting.state.expect()).is_some()
            })
        })
    });
    if !is_known {
        hand_over_by_handle(cell);
    }
}

/// [`hand_over`], to a task that is woken through a foreign waker.
#[cold]
fn hand_over_by_handle(cell: &LocalRef) {
    if let Some(awaiting) = awaits::awaiter_by_handle(cell) {
        awaiting.state.expect();
    }
}

/// Tells the group of a child's panic, and does not unwind.
#[cold]
fn tell_of_panic(cell: &LocalRef, panicked: &mut OnPanic<'_>) {
    let Some(panicked) = panicked else { return };
    let task = TaskRef::new(cell.clone());
    let payload = cell.take_payload();
    let told = catch_unwind(AssertUnwindSafe(|| panicked(&task, payload)));
    if let Err(payload) = told {
        report(cell, Unhandled::panic(cell, payload));
    }
}
