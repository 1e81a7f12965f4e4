//! The tasks of one thread: what makes them, runs them, and ends them. A small executor without any
//! source of events, for an event loop to be built around.
//!
//! A step, in the order of things:
//! 1. the ready queue gives the task that was woken first;
//! 2. its state says what to do: poll it, drop its future, or nothing ([`crate::cell::state`]);
//! 3. if it is done, it leaves the registry, its outcome waits for the handle or is dropped, its joiner
//!    is woken, and the owner's reference goes.
//!
//! - **R1** A cell in the ready queue is alive: while its task has not ended, by its owner's reference in
//!   the registry; afterwards by one of the place itself (C4 in `cell/mod.rs`). Only `complete` takes a cell
//!   out of the registry.
//! - **R2** A task that runs is not ended by anybody else: whoever wants to finds it running, and the
//!   step that is under way sees to it. So its cell stays alive during its step.
//! - **R3** No borrow of queue, registry or handler is held while a future, a waker, a destructor or a
//!   hook runs. Each of them may come back here, and may panic.
//! - **R4** Nothing that ends a task unwinds. So no task is left half ended, and whatever its end has to
//!   drop here is dropped here.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;

use asyncio_console::{SpanId, TaskKind, TaskSpan};

use crate::cancel::{Origin, Place};
use crate::cell::aside::Aside;
use crate::cell::cell_ref::{Anchor, CellRef, Finished, ForeignRef, JoinRef};
use crate::cell::marks::Mark;
use crate::cell::pool::Pool;
use crate::cell::state::{Begin, CancelRequest, LastPoll, Outcome, Pause};
use crate::cell::waker;
use crate::cell::{self, Birth, Header, Payload, Progress, Shown};
use crate::children::OnPanic;
use crate::children::family::Family;
use crate::context::Context;
use crate::discard::discard;
use crate::engine::budget;
use crate::engine::current;
use crate::engine::order::Order;
use crate::engine::pulse::Pulse;
use crate::engine::timing::Timing;
use crate::engine::turn::{Cut, Turn};
use crate::engine::unhandled::{Cause, Unhandled, report_to_stderr};
use crate::handle::id::TaskId;
use crate::handle::join_error::{JoinError, PanicPayload};
use crate::handle::spawn_options::{SpawnOptions, Start};
use crate::handle::task::Task;
use crate::handle::task_ref::TaskRef;
use crate::queue::mailbox::{Lease, Letter, Owner};
use crate::queue::ready::ReadyQueue;
use crate::queue::registry::{NOWHERE, Registry};
use crate::queue::remote::Remote;
use crate::queue::schedule::Schedule;
use crate::scopes;
use crate::scopes::home::Home;

/// The tasks of one thread, and the queue of those that can run.
///
/// ```
/// use asyncio_task::Tasks;
///
/// let tasks = Tasks::new(|| ()); // nobody to unpark: nothing here waits
/// let four = tasks.enter(&(), || {
///     let mut task = tasks.spawn(async { 2 + 2 });
///     while tasks.run_one() {}
///     task.try_take().unwrap().unwrap()
/// });
/// assert_eq!(four, 4);
/// ```
///
/// Dropping it drops every future it owns, here and now; handles and wakers may outlive it.
pub struct Tasks {
    lease: Lease,
    ready: ReadyQueue,
    registry: Registry<Anchor>,
    /// Those whose children are tasks of these.
    families: Registry<Weak<Family>>,
    /// The task whose step is under way.
    running: Cell<Option<NonNull<Header>>>,
    /// The same for other threads.
    pub(crate) pulse: Arc<Pulse>,
    /// How many steps began within the step of whoever spawned the task.
    eager_steps: Cell<u64>,
    pub(crate) turn: Turn,
    pub(crate) timing: Timing,
    order: OnceCell<Order>,
    ids: Cell<u64>,
    closed: Cell<bool>,
    /// How many tasks that came after that are being ended, one within the other.
    refusing: Cell<u32>,
    context: Context,
    on_unhandled: RefCell<Option<Handler>>,
    /// Whether what nobody asked for is reported.
    reports_forgotten: Cell<bool>,
    pool: Pool,
    pub(crate) scopes: Rc<Home>,
    /// Taken from the mailbox and not delivered yet; kept for its capacity.
    letters: RefCell<VecDeque<Letter>>,
}

/// So many tasks that come after closing are ended one within the other.
const DEEPEST: u32 = 16;

/// So many tasks that come while all are ended are ended too.
const MOST_REFUSED: u64 = 1 << 20;

type Handler = Rc<dyn Fn(&Unhandled)>;

impl Tasks {
    /// No tasks yet. `unpark` is called from other threads, at most once for each time that
    /// [`park`](Self::park) said `true`, when there is something to [`deliver`](Self::deliver); once in a
    /// while for nothing, by a thread that meant tasks which are gone.
    #[must_use]
    pub fn new(unpark: impl Fn() + Send + Sync + 'static) -> Self {
        let lease = Lease::new(Arc::new(unpark));
        Self {
            scopes: Home::new(lease.owner()),
            lease,
            ready: ReadyQueue::default(),
            registry: Registry::default(),
            families: Registry::default(),
            running: Cell::new(None),
            pulse: Arc::default(),
            eager_steps: Cell::new(0),
            turn: Turn::new(),
            timing: Timing::default(),
            order: OnceCell::new(),
            ids: Cell::new(0),
            closed: Cell::new(false),
            refusing: Cell::new(0),
            context: Context::new(),
            on_unhandled: RefCell::new(None),
            reports_forgotten: Cell::new(false),
            pool: Pool::default(),
            letters: RefCell::default(),
        }
    }

    /// Makes these tasks the ones that run on this thread while `f` does: what it wakes goes straight to
    /// the ready queue. `companion` can be found by [`with_companion`](crate::with_companion).
    pub fn enter<R>(&self, companion: &dyn Any, f: impl FnOnce() -> R) -> R {
        budget::reset();
        current::enter(self, companion, f)
    }

    /// Whether these are the tasks that run on this thread.
    #[must_use]
    pub fn is_entered(&self) -> bool {
        current::tasks(|tasks| tasks.is_some_and(|tasks| std::ptr::eq(tasks, self)))
    }

    /// Starts a task: its first step comes after all that is ready now.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_at(Location::caller(), future)
    }

    /// Starts a task without options: the way most go.
    #[inline]
    pub(crate) fn spawn_at<F>(
        &self,
        location: &'static Location<'static>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        if self.has_context() {
            return self.spawn_with(SpawnOptions::new().location(location), future);
        }
        let birth = self.birth(location, false, None);
        // SAFETY: future and output are `'static`.
        let (cell, join) = unsafe { cell::new_at_home(&self.pool, birth, future) };
        let task = Task::new(join);
        self.begin(cell, Start::Soon);
        task
    }

    /// Starts a task with a name, a context, and so on.
    ///
    /// After [`close`](Self::close) the future is dropped at once, and the task is a cancelled one. (In a
    /// destructor of such a future, of one in such a destructor, and so on, that comes a little later.)
    #[track_caller]
    pub fn spawn_with<F>(&self, options: SpawnOptions, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let start = options.start;
        // SAFETY: future and output are `'static`.
        let (cell, join) = unsafe {
            cell::new_at_home(
                &self.pool,
                self.birth_with(options, Location::caller()),
                future,
            )
        };
        let task = Task::new(join);
        self.begin(cell, start);
        task
    }

    /// Starts a task that goes to `schedule` whenever it is woken, and now.
    #[track_caller]
    pub fn spawn_on<S, F>(&self, schedule: S, future: F) -> Task<F::Output>
    where
        S: Schedule + Clone + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        let birth = self.birth_with(SpawnOptions::new(), Location::caller());
        let (cell, join) = cell::new_elsewhere(&self.pool, birth, future, schedule);
        // Before the schedule, which may panic, has its say: whatever comes, the task has a handle.
        let task = Task::new(join);
        self.begin(cell, Start::Soon);
        task
    }

    /// Makes a child of a family that these have [enlisted](Self::enlist).
    ///
    /// # Safety
    ///
    /// As for [`cell::new_borrowing`].
    #[inline(always)]
    pub(crate) unsafe fn new_child<F: Future>(
        &self,
        birth: Birth,
        future: F,
        family: &Rc<Family>,
    ) -> (Anchor, Task<F::Output>) {
        // SAFETY: handed on to the caller.
        let (cell, join) =
            unsafe { cell::new_borrowing(&self.pool, birth, future, family.clone()) };
        (cell, Task::new(join))
    }

    /// Runs the first step of a child, within the step of whoever spawned it.
    ///
    /// # Safety
    ///
    /// The caller has the `Children` of the child at hand (H1 in `children/mod.rs`).
    #[cold]
    pub(crate) unsafe fn begin_child_now(
        &self,
        owned: Anchor,
        cell: &CellRef,
        family: &Family,
        panicked: &mut OnPanic<'_>,
    ) {
        family.take_in(owned);
        if cell.state.wake() {
            self.eager_steps.set(self.eager_steps.get() + 1);
            self.timed_if_on(cell, || {
                // SAFETY: the caller's promise; and `begin` is of this cell.
                if let Stepped::Ends(outcome) = unsafe { self.step(cell, cell.state.begin()) } {
                    self.conclude_child(cell, outcome, family, panicked);
                }
                false
            });
            self.note_enclosing_step();
        }
    }

    /// Makes what is woken in place of a part of `task` that is polled beside the children of a family.
    pub(crate) fn spawn_beside(&self, task: NonNull<Header>, family: &Rc<Family>) -> Anchor {
        let birth = Birth {
            owner: self.owner(),
            // SAFETY: R2.
            id: unsafe { task.as_ref() }.id,
            parent: None,
            location: Location::caller(),
            aside: None,
            callback: true,
            // SAFETY: R2.
            shown: Shown::Within(unsafe { task.as_ref() }.span_id),
        };
        cell::new_beside(&self.pool, birth, family.clone())
    }

    /// Puts a family on the list.
    pub(crate) fn enlist(&self, family: &Rc<Family>) {
        // Those that ended far from home.
        self.families
            .forget_if_full(|family| family.strong_count() == 0);
        self.families.enter(|place| {
            family.place.set(place);
            Rc::downgrade(family)
        });
    }

    /// Takes a family from the list.
    pub(crate) fn delist(&self, family: &Family) {
        drop(self.families.leave(family.place.replace(NOWHERE)));
    }

    /// Runs a task to its end, calling `turn` in between, which runs what is ready and, unless the task it is
    /// given [has finished](TaskRef::is_finished) with that, waits for more; it says `false` to stop. The
    /// task may borrow: its future is gone when this returns, also by unwinding.
    ///
    /// # Errors
    ///
    /// The task was cancelled, it panicked, or `turn` said `false`.
    #[track_caller]
    pub fn run_until_complete<F: Future>(
        &self,
        options: SpawnOptions,
        future: F,
        mut turn: impl FnMut(&TaskRef) -> bool,
    ) -> Result<F::Output, JoinError> {
        /// Ends the task in any case.
        struct Main<'a, T>(&'a Tasks, JoinRef<T>);
        impl<T> Drop for Main<'_, T> {
            fn drop(&mut self) {
                let cell = self.1.cell();
                cell.state.abandon();
                self.0.end(cell);
                if !cell.state.is_done() {
                    // It cannot be, and if it were, what the future borrows would end before it does.
                    std::process::abort();
                }
                // Not for a task that ended just now, but for one whose outcome nobody has fetched.
                self.0.bury(cell);
            }
        }
        let birth = Birth {
            shown: Shown::As(TaskKind::BlockOn),
            ..self.birth_with(options, Location::caller())
        };
        // SAFETY: `Main` sees to it that the future is dropped and its output taken or dropped before
        // this function returns or unwinds, so before anything that they borrow ends. It cannot be
        // leaked: nobody else has it. A step of the task is not under way at that moment (R2): it would
        // have begun after this call did, so it would be over, and `turn` has returned or unwound.
        let (cell, join) = unsafe { cell::new_at_home(&self.pool, birth, future) };
        let mut main = Main(self, join);
        let task = TaskRef::new(cell.clone());
        self.begin(cell, Start::Soon);
        let mut go_on = true;
        loop {
            match main.1.take() {
                Some(Finished::Value(value)) => return Ok(value),
                Some(Finished::Cancelled) => {
                    let message = task.cell().cancel_message();
                    return Err(JoinError::Cancelled(task.name(), message));
                }
                Some(Finished::Panicked(payload)) => {
                    return Err(JoinError::Panicked(task.name(), PanicPayload::new(payload)));
                }
                None if go_on => go_on = turn(&task),
                None => return Err(JoinError::Stopped(task.name())),
            }
        }
    }

    #[inline]
    fn birth(
        &self,
        location: &'static Location<'static>,
        callback: bool,
        aside: Option<Rc<Aside>>,
    ) -> Birth {
        let id = self.ids.get() + 1;
        self.ids.set(id);
        Birth {
            owner: self.owner(),
            id: TaskId::new(id).expect("counted from 1"),
            parent: self.running.get().and_then(|h| {
                // SAFETY: R2.
                let parent = unsafe { h.as_ref() };
                (!parent.marks.has(Mark::Callback)).then_some(parent.id)
            }),
            location,
            aside,
            callback,
            shown: Shown::As(TaskKind::Task),
        }
    }

    /// The start of a task without options.
    #[inline]
    pub(crate) fn birth_at(&self, location: &'static Location<'static>) -> Birth {
        match self.has_context() {
            false => self.birth(location, false, None),
            true => self.birth(location, false, new_aside(SpawnOptions::new())),
        }
    }

    #[inline(always)]
    pub(crate) fn birth_with(
        &self,
        options: SpawnOptions,
        location: &'static Location<'static>,
    ) -> Birth {
        let (location, callback) = (options.location.unwrap_or(location), options.callback);
        let is_plain = options.name.is_none() && options.context.is_none();
        if is_plain && !self.has_context() {
            std::mem::forget(options); // There is nothing in it.
            return self.birth(location, callback, None);
        }
        self.birth(location, callback, new_aside(options))
    }

    /// Whether what is spawned here and now may have values to inherit.
    #[inline]
    fn has_context(&self) -> bool {
        current::is_context_elsewhere(self)
            || match self.running.get() {
                // SAFETY: R2.
                Some(running) => unsafe { running.as_ref() }.has_context(),
                None => !self.context.is_empty(),
            }
    }

    /// Has a new task take its first step. Whoever calls this has a handle of the task.
    fn begin(&self, cell: Anchor, start: Start) {
        let raw = cell.as_raw();
        self.registry.enter(|place| {
            cell.place.set(place);
            cell
        });
        // SAFETY: the registry has its reference (R1), and if the task ends here, its handle has one.
        let cell = unsafe { CellRef::borrow(&raw) };
        if self.closed.get() {
            return self.refuse(cell);
        }
        match start {
            Start::Soon => self.wake(cell),
            Start::Now if self.is_entered() => self.step_now(cell),
            Start::Now => self.wake(cell),
            Start::Dormant => {}
        }
    }

    /// Ends a task that came after [`close`](Self::close). Its destructors may spawn more, and so on: what is
    /// deeper than a few of these within each other stays in the registry until the outermost has ended.
    #[cold]
    fn refuse(&self, cell: &CellRef) {
        let depth = self.refusing.get();
        if depth < DEEPEST {
            self.refusing.set(depth + 1);
            self.end(cell);
            self.refusing.set(depth);
        }
        if depth == 0 {
            self.end_all();
        }
    }

    /// Ends all tasks, oldest first, and what they spawn while they end. A chain of destructors that spawn has
    /// an end: the futures that are left after [`MOST_REFUSED`] are leaked, and one report tells of them.
    fn end_all(&self) {
        let before = self.refusing.replace(self.refusing.get().max(1));
        let last = self.ids.get() + MOST_REFUSED;
        loop {
            let mut cells = self.registry.collect(|cell| Some(CellRef::clone(cell)));
            cells.sort_by_key(|cell| cell.id);
            // One that runs ends when its step is over.
            cells.retain(|cell| {
                if cell.state.is_running() {
                    cell.state.doom();
                }
                !cell.state.is_running()
            });
            if cells.is_empty() {
                break;
            }
            if self.ids.get() >= last {
                self.leak_all(&cells);
                break;
            }
            for cell in &cells {
                self.end(cell);
            }
        }
        self.refusing.set(before);
    }

    #[cold]
    fn leak_all(&self, cells: &[CellRef]) {
        let first = TaskRef::new(cells[0].clone());
        let cause = Cause::Error(format!("{} futures are leaked", cells.len()));
        let message = "destructors of tasks spawn tasks without end while their event loop closes";
        self.report_and_drop(&first, Unhandled::new(message, Some(&first), cause));
        for cell in cells {
            if cell.state.seize() {
                // As if the future were gone: nobody polls or drops it from here on.
                self.complete(cell, Outcome::Cancelled);
            }
        }
    }

    /// Runs the first step of a task, within the step of whoever spawned it.
    #[cold]
    fn step_now(&self, cell: &CellRef) {
        if cell.state.wake() {
            self.eager_steps.set(self.eager_steps.get() + 1);
            self.run_whole_step(cell);
            self.note_enclosing_step();
        }
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        self.lease.owner()
    }

    /// Puts a task into its queue, unless it is there.
    #[inline]
    pub(crate) fn wake(&self, cell: &CellRef) {
        if cell.state.wake() {
            // SAFETY: it could be woken, so it has not ended.
            unsafe { self.enqueue(cell) };
        }
    }

    /// Puts a task into its queue.
    ///
    /// # Safety
    ///
    /// The task has not ended.
    #[inline]
    pub(crate) unsafe fn enqueue(&self, cell: &CellRef) {
        match cell.is_at_home() {
            true => self.ready.push(cell.as_raw()),
            // SAFETY: the caller's promise.
            false => unsafe { cell.schedule_elsewhere() },
        }
    }

    /// Runs one step of the task that has been ready the longest. `false` if none is.
    ///
    /// To be called while these tasks are [entered](Self::enter): what runs finds its loop there. It may be
    /// called from within a step of another task; a task whose step is under way is passed over.
    #[inline]
    pub fn run_one(&self) -> bool {
        self.run_one_as::<true>()
    }

    /// The same; whether the step may have to be timed was asked before.
    #[inline(always)]
    pub(crate) fn run_one_as<const MAY_BE_TIMED: bool>(&self) -> bool {
        let Some(h) = self.ready.pop() else {
            return false;
        };
        // SAFETY: R1 until the step begins, R2 during it.
        let cell = unsafe { CellRef::borrow(&h) };
        // Here, in the loop that most tasks run in, and nowhere else, the end of a task needs no call.
        // SAFETY: what is in this queue does not borrow.
        let step = || unsafe {
            self.whole_step(cell, cell.state.begin(), |outcome| {
                self.complete_inline(cell, outcome);
            })
        };
        let was_over = match MAY_BE_TIMED {
            true => self.timed_if_on(cell, step),
            false => step(),
        };
        if was_over {
            // SAFETY: R1: the task ended while it was queued, so its place has a reference.
            drop(unsafe { CellRef::from_raw(h) });
        }
        true
    }

    /// Runs one step of a task that is no child. Whether the task ended before, and only its place in the queue
    /// was left.
    pub(crate) fn run_whole_step(&self, cell: &CellRef) -> bool {
        assert!(!cell.borrows(), "a child is run by its group");
        // SAFETY: `begin` is of this cell, which does not borrow.
        self.timed_if_on(cell, || unsafe {
            self.whole_step(cell, cell.state.begin(), |outcome| {
                self.complete(cell, outcome);
            })
        })
    }

    /// Runs the step out of turn of a task whose round was cut short, and which is no child.
    pub(crate) fn run_resumed_step(&self, cut: &Cut) {
        let cell = &cut.cell;
        assert!(!cell.borrows(), "a child is run by its group");
        // SAFETY: `begin_resumed` is of this cell, which does not borrow.
        self.timed_if_on(cell, || unsafe {
            self.whole_step(cell, self.turn.begin_resumed(cut), |outcome| {
                self.complete(cell, outcome);
            })
        });
    }

    /// Runs one step of a task that is no child. Whether the task ended before.
    ///
    /// # Safety
    ///
    /// As for [`step`](Self::step). The task does not borrow.
    #[inline(always)]
    unsafe fn whole_step(
        &self,
        cell: &CellRef,
        begin: Begin,
        complete: impl FnOnce(Outcome),
    ) -> bool {
        // SAFETY: handed on to the caller.
        match unsafe { self.step(cell, begin) } {
            Stepped::GoesOn => false,
            Stepped::WasOver => true,
            Stepped::Ends(outcome) => {
                complete(outcome);
                false
            }
        }
    }

    /// Runs one step of a task, which `begin` says how to begin: the one place that every step goes through. The caller
    /// sees to a task that ends with it.
    ///
    /// # Safety
    ///
    /// `begin` is what came of the transition of this cell that begins a step, and nothing has happened since. If the
    /// task borrows, the caller has its `Children` at hand (H1 in `children/mod.rs`).
    #[inline(always)]
    pub(crate) unsafe fn step(&self, cell: &CellRef, begin: Begin) -> Stepped {
        self.count_step();
        match begin {
            // SAFETY: C6: `begin` has made it running, and no step that drops the future leaves it to be polled.
            Begin::Poll => unsafe {
                let progress = self.poll(cell);
                self.after_poll(cell, progress)
            },
            Begin::Nothing => Stepped::WasOver,
            Begin::Later => Stepped::GoesOn,
            // SAFETY: C6: `begin` has made it running.
            Begin::Cancel => unsafe { self.cancel_step(cell, false) }.into(),
        }
    }

    /// Polls the future of a task whose step is under way.
    ///
    /// # Safety
    ///
    /// As for [`CellRef::poll`].
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) unsafe fn poll(&self, cell: &CellRef) -> Progress {
        let _running = self.enter_step(cell);
        // SAFETY: handed on to the caller.
        unsafe { cell.poll() }
    }

    /// What comes after the poll of a step.
    ///
    /// # Safety
    ///
    /// The caller has polled the future, with the right to poll (C6), which it has still.
    // Apart in debug builds, where what is inlined takes stack while the future is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn after_poll(&self, cell: &CellRef, progress: Progress) -> Stepped {
        match progress {
            Progress::Pending => match cell.state.pause() {
                Pause::Park => Stepped::GoesOn,
                Pause::Again => {
                    // SAFETY: its poll returned `Pending`, so it has not ended.
                    unsafe { self.enqueue(cell) };
                    Stepped::GoesOn
                }
                // SAFETY: C6: `pause` has left it running, and its poll returned `Pending`.
                Pause::Cancel => unsafe { self.cancel_step(cell, true) }.into(),
            },
            Progress::Ready => Stepped::Ends(Outcome::Value),
            Progress::Panicked => Stepped::Ends(Outcome::Panicked),
        }
    }

    pub(crate) fn eager_steps(&self) -> u64 {
        self.eager_steps.get()
    }

    #[inline]
    pub(crate) fn count_step(&self) {
        self.turn.count_step();
    }

    /// Notes whose step it is while `f` runs.
    pub(crate) fn running<R>(&self, cell: &CellRef, f: impl FnOnce() -> R) -> R {
        let _running = self.enter_step(cell);
        f()
    }

    /// Notes whose step it is, until the result is dropped.
    #[inline(always)]
    fn enter_step(&self, cell: &CellRef) -> Running<'_> {
        self.pulse.enter(cell.id, cell.location);
        let running = Running(self, self.running.replace(Some(cell.as_raw())));
        running.enter_span(cell);
        running
    }

    /// Notes for the pulse that the enclosing step goes on, after steps within it.
    pub(crate) fn note_enclosing_step(&self) {
        if let Some(enclosing) = self.running.get() {
            // SAFETY: R2: its step is under way.
            let enclosing = unsafe { enclosing.as_ref() };
            self.pulse.enter(enclosing.id, enclosing.location);
        }
    }

    /// Ends a task out of turn, or, if it runs, after its poll.
    fn end(&self, cell: &CellRef) {
        if cell.borrows() {
            return; // It is not ours to end (H1 in `children/mod.rs`).
        }
        self.end_now(cell);
    }

    fn end_now(&self, cell: &CellRef) {
        if cell.state.seize() {
            // SAFETY: C6: `seize` has made it running; and `end` has looked whether it borrows.
            let outcome = self.running(cell, || unsafe { cell.drop_future() });
            self.note_enclosing_step();
            self.complete(cell, outcome);
        } else {
            cell.state.doom();
        }
    }

    /// Ends a child, whether its loop runs here and now or not. One that runs ends when its step is over.
    ///
    /// # Safety
    ///
    /// The caller has the `Children` of the child at hand (H1 in `children/mod.rs`).
    pub(crate) unsafe fn end_child(cell: &CellRef, family: &Family, panicked: &mut OnPanic<'_>) {
        if !cell.state.seize() {
            return cell.state.doom();
        }
        family.at_home(|tasks| match tasks {
            Some(tasks) => {
                // SAFETY: C6: `seize` has made it running, and the caller has its `Children`.
                let outcome = tasks.running(cell, || unsafe { cell.drop_future() });
                tasks.conclude_child(cell, outcome, family, panicked);
            }
            // SAFETY: C6: as above.
            None => unsafe { Self::end_far_from_home(cell, family, panicked) },
        });
    }

    /// The end of a child, whose future is gone.
    // Apart in debug builds, where what is inlined takes stack while the child is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn conclude_child(
        &self,
        cell: &CellRef,
        outcome: Outcome,
        family: &Family,
        panicked: &mut OnPanic<'_>,
    ) {
        match outcome {
            Outcome::Panicked => {
                tell_of_panic(cell, panicked);
                family.handover.note_end();
            }
            Outcome::Value if cell.has_joiner() => self.hand_over(cell, family),
            Outcome::Cancelled if cell.has_joiner() => family.handover.note_end(),
            Outcome::Value | Outcome::Cancelled => {}
        }
        let queued = self.finish(cell, outcome);
        let owned = family.leave(cell);
        self.complete_with(cell, queued, owned);
    }

    /// Notes that a child ends with a value that is awaited, and by which task.
    #[inline]
    fn hand_over(&self, cell: &CellRef, family: &Family) {
        family.handover.note_value();
        match cell.joiner_cell() {
            // SAFETY: the joiner keeps it alive; and the owner never changes.
            Some(h) if unsafe { ForeignRef::owner_of(h) } == self.owner() => {
                // SAFETY: alive, as nothing foreign has run; and a task of ours, so this is its thread.
                unsafe { CellRef::borrow(&h) }.state.expect();
            }
            _ => self.hand_over_by_handle(cell),
        }
    }

    /// [`hand_over`](Self::hand_over), to a task that is woken through a waker of others.
    #[cold]
    fn hand_over_by_handle(&self, cell: &CellRef) {
        if let Some(awaiting) = self.scopes.awaiting_task(cell, false) {
            awaiting.state.expect();
        }
    }

    /// Notes that a value is on its way in what the task whose step is under way runs.
    #[cold]
    pub(crate) fn expect_value(&self) {
        if let Some(h) = self.running.get() {
            // SAFETY: R2.
            let running = unsafe { CellRef::borrow(&h) };
            if running.borrows() {
                running.state.expect();
                self.turn.expects.set(true);
            }
        }
    }

    /// Whether a value is on its way in what the child whose step is under way runs.
    pub(crate) fn expects_value(&self) -> bool {
        // SAFETY: R2.
        let running = self.running.get().map(|h| unsafe { h.as_ref() });
        running.is_some_and(|task| task.state.expects())
    }

    /// Whether a request to the task whose step is under way takes effect after this poll.
    #[inline]
    pub(crate) fn is_in_last_poll(&self) -> bool {
        // SAFETY: R2.
        let running = self.running.get().map(|h| unsafe { h.as_ref() });
        running.is_some_and(|task| {
            task.state.is_cancelling() && self.scopes.borrow().acts_after_poll(task.root.get())
        })
    }

    /// Whether values are to be handed over in the step under way: it may decide about tasks that wait for them.
    pub(crate) fn hands_over(&self) -> bool {
        self.turn.hands_over.get() || self.scopes.borrow().asks_what_is_polled()
    }

    /// Ends a child whose loop does not run here, or is gone.
    ///
    /// # Safety
    ///
    /// The caller has the right to drop the future (C6), which has not gone.
    #[cold]
    unsafe fn end_far_from_home(cell: &CellRef, family: &Family, panicked: &mut OnPanic<'_>) {
        // SAFETY: the caller's promise.
        let outcome = unsafe { cell.drop_future() };
        if outcome == Outcome::Panicked {
            tell_of_panic(cell, panicked);
        }
        let queued = cell.state.finish(outcome);
        let joiner = cell.joiner.take();
        let owned = family.leave(cell);
        if queued {
            cell.clone().into_raw(); // H5 in `family.rs`: for the place that is left
        }
        if !cell.state.is_awaited() {
            let unwanted = cell.take_unwanted();
            discard(|| drop(unwanted));
            cell.clear_aside();
        }
        cell.span.close(cell.span_id);
        if let Some(joiner) = joiner {
            discard(|| joiner.wake());
        }
        scopes::close_root(cell);
        drop(owned);
    }

    /// Ends a task whose step nobody will run.
    pub(crate) fn end_elsewhere(cell: &CellRef) {
        of(cell, |tasks| match tasks {
            Some(tasks) => tasks.end(cell),
            // Its loop does not run here and now, or is gone, and then the task has ended.
            None => {
                cell.state.doom();
                cell.post_end();
            }
        });
    }

    /// The end of a task that is no child, whose future is gone.
    #[inline(never)]
    pub(crate) fn complete(&self, cell: &CellRef, outcome: Outcome) {
        self.complete_inline(cell, outcome);
    }

    /// [`complete`](Self::complete), for the one loop in which most tasks end.
    #[inline(always)]
    fn complete_inline(&self, cell: &CellRef, outcome: Outcome) {
        let queued = self.finish(cell, outcome);
        let owned = self.registry.leave(cell.place.replace(NOWHERE));
        self.complete_with(cell, queued, owned);
    }

    /// Whether a place in its queue is left.
    #[inline]
    fn finish(&self, cell: &CellRef, outcome: Outcome) -> bool {
        cell.state.finish(outcome)
    }

    #[inline(always)]
    fn complete_with(&self, cell: &CellRef, queued: bool, owned: Option<Anchor>) {
        // First everything here, so that it is seen to when code of others comes in below.
        let joiner = cell.joiner.take();
        scopes::close_root(cell);
        if queued && cell.has_plain_places() {
            // R1: for the place that is left. Who finds it there may come before the owner's reference goes.
            cell.clone().into_raw();
        }
        cell.span.close(cell.span_id);
        if !cell.state.is_awaited() {
            self.bury(cell);
        }
        if let Some(joiner) = joiner {
            self.wake_joiner(cell, joiner);
        }
        drop(owned);
    }

    /// Drops an outcome that nobody awaits; if it is a panic, reports it.
    #[inline(always)]
    fn bury(&self, cell: &CellRef) {
        if self.reports_forgotten.get() {
            self.report_forgotten_error(cell);
        }
        if let Some(payload) = cell.take_unwanted() {
            self.report_panic(cell, payload);
        }
        cell.clear_aside();
    }

    #[cold]
    fn report_panic(&self, cell: &CellRef, payload: Payload) {
        let task = TaskRef::new(cell.clone());
        self.report_and_drop(&task, Unhandled::panic(&task, payload));
    }

    #[inline]
    fn wake_joiner(&self, cell: &CellRef, joiner: Waker) {
        match waker::cell_of(&joiner) {
            // SAFETY: `joiner` keeps it alive; and the owner never changes.
            Some(h) if unsafe { ForeignRef::owner_of(h) } == self.owner() => {
                // SAFETY: alive; and a task of ours, so this is its thread.
                let waiting = unsafe { CellRef::borrow(&h) };
                if waiting.is_at_home() {
                    waiting.span_id.note_wake_by_ref();
                    return self.wake(waiting);
                }
                self.wake_foreign_joiner(cell, joiner);
            }
            _ => self.wake_foreign_joiner(cell, joiner),
        }
    }

    #[inline(never)]
    fn wake_foreign_joiner(&self, cell: &CellRef, joiner: Waker) {
        self.wake_guarded_waker(cell, joiner, "the waker of whoever awaits a task panicked");
    }

    /// Wakes somebody on behalf of a task, and does not unwind: the task has to be seen to.
    pub(crate) fn wake_guarded_waker(&self, cell: &CellRef, waker: Waker, panicked: &'static str) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            let task = TaskRef::new(cell.clone());
            let cause = Cause::Panic(PanicPayload::new(payload));
            self.report_and_drop(&task, Unhandled::new(panicked, Some(&task), cause));
        }
    }

    /// The task that was spawned last, whether it has ended or not.
    #[must_use]
    pub fn newest(&self) -> Option<TaskId> {
        TaskId::new(self.ids.get())
    }

    /// How many tasks are ready.
    #[inline]
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The task whose step comes next, or the callback (see [`is_callback`](TaskRef::is_callback)).
    #[must_use]
    pub fn next_ready(&self) -> Option<TaskRef> {
        let h = self.ready.first()?;
        // SAFETY: R1.
        Some(TaskRef::new(unsafe { CellRef::borrow(&h) }.clone()))
    }

    /// Has batches of ready tasks run in an order that depends on this seed, from now on. For tests that look for
    /// code which relies on an order. It can be set once.
    pub fn order_by(&self, seed: u64) {
        let _ = self.order.set(Order::new(seed));
    }

    #[inline]
    pub(crate) fn order(&self) -> Option<&Order> {
        self.order.get()
    }

    /// Lets the task at `place` of the ready queue change places with the first.
    pub(crate) fn bring_forward(&self, place: usize) {
        self.ready.bring_forward(place);
    }

    /// How many tasks have not ended, callbacks included.
    #[must_use]
    pub fn len(&self) -> usize {
        let families = self.families.collect(Weak::upgrade);
        let children = families.iter().map(|family| family.members.len());
        self.registry.len() + children.sum::<usize>()
    }

    /// Whether all tasks have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tasks that have not ended, oldest first, without callbacks.
    #[must_use]
    pub fn all(&self) -> Vec<TaskRef> {
        let mut all = self.registry.collect(|cell| Some(CellRef::clone(cell)));
        for family in self.families.collect(Weak::upgrade) {
            all.append(&mut family.members.collect(|cell| Some(CellRef::clone(cell))));
        }
        all.sort_by_key(|cell| cell.id);
        let all = all.into_iter().map(TaskRef::new);
        all.filter(|task| !task.is_callback()).collect()
    }

    /// The step under way, for a thread that watches this one.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// The task whose step is under way.
    pub(crate) fn running_task(&self) -> Option<TaskRef> {
        let h = self.running.get()?;
        // SAFETY: R2.
        Some(TaskRef::new(unsafe { CellRef::borrow(&h) }.clone()))
    }

    /// The number of steps that have begun, those of children included.
    ///
    /// The number stays the same during a step, unless another step runs within it.
    #[inline]
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.turn.steps()
    }

    /// The step under way, as something to compare.
    pub(crate) fn running_step(&self) -> Option<NonNull<Header>> {
        self.running.get()
    }

    /// A request to the task whose step is under way has come to what it waits for.
    #[cold]
    pub(crate) fn note_passed_on(&self) {
        if let Some(task) = self.running_task() {
            task.cell().marks.set(Mark::PassedOn);
        }
    }

    /// The family of a child that has not ended.
    pub(crate) fn family_of(&self, cell: &CellRef) -> Option<Rc<Family>> {
        if !cell.borrows() {
            return None;
        }
        let mut families = self.families.collect(Weak::upgrade).into_iter();
        families.find(|family| family.has(cell))
    }

    pub(crate) fn context(&self, make: bool) -> Option<Context> {
        let Some(running) = self.running_task() else {
            return Some(self.context.clone());
        };
        running.own_context(make)
    }

    /// The context outside of any task, which several runs share.
    #[must_use]
    pub fn base_context(&self) -> &Context {
        &self.context
    }

    /// A handle for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(self.owner())
    }

    /// Whether other threads have sent anything that was not delivered. One relaxed load.
    #[inline]
    #[must_use]
    pub fn has_mail(&self) -> bool {
        self.lease.has_mail() || !self.letters.borrow().is_empty()
    }

    /// Takes in what other threads have sent: tasks they woke are ready now, and so are their calls, in
    /// order of arrival.
    pub fn deliver(&self) {
        if !self.letters.borrow().is_empty() {
            self.deliver_some(usize::MAX);
        }
        self.deliver_some(usize::MAX);
    }

    /// [Delivers](Self::deliver) no more than `limit` letters. Those that are left come next, before later ones.
    pub fn deliver_some(&self, limit: usize) {
        if self.letters.borrow().is_empty() {
            let mut letters = Vec::from(self.letters.take());
            self.lease.take(&mut letters);
            self.letters.replace(letters.into());
        }
        for _ in 0..limit {
            let letter = self.letters.borrow_mut().pop_front();
            match letter {
                None => break,
                // SAFETY: `Tasks` never leaves its thread, which is the one the task belongs to: letters
                // come only to the owner that they are addressed to.
                Some(Letter::Wake(task)) => self.wake_guarded(&unsafe { task.arrive() }),
                // SAFETY: as above.
                Some(Letter::End(task)) => self.end(&unsafe { task.into_local() }),
                Some(Letter::Call(call, location)) => self.call_soon(call, location),
            }
        }
        const LARGE: usize = 1 << 12;
        let letters = &mut *self.letters.borrow_mut();
        if letters.is_empty() && letters.capacity() > LARGE {
            *letters = VecDeque::new();
        }
    }

    /// Wakes a task, and does not unwind: the letters that are left would be lost.
    fn wake_guarded(&self, cell: &CellRef) {
        if cell.is_at_home() {
            return self.wake(cell);
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.wake(cell))) {
            let task = TaskRef::new(cell.clone());
            let cause = Cause::Panic(PanicPayload::new(payload));
            let message = "what schedules a task panicked";
            self.report_and_drop(&task, Unhandled::new(message, Some(&task), cause));
        }
    }

    fn call_soon(&self, call: Box<dyn FnOnce() + Send>, location: &'static Location<'static>) {
        let options = SpawnOptions::callback()
            .context(self.context.copy())
            .location(location);
        self.spawn_with(options, async move { call() }).discard();
    }

    /// Says that this thread is about to wait. `false`: there is something to deliver, do not. After
    /// waiting, or instead of it, call [`unpark`](Self::unpark).
    #[must_use]
    pub fn park(&self) -> bool {
        self.ready.shrink();
        self.letters.borrow().is_empty() && self.lease.park()
    }

    /// Says that this thread waits no longer.
    pub fn unpark(&self) {
        self.lease.unpark();
    }

    /// Sets who is told of what goes wrong where nobody awaits it. Without one it is a line on standard
    /// error.
    pub fn on_unhandled(&self, handler: impl Fn(&Unhandled) + 'static) {
        let old = self.on_unhandled.replace(Some(Rc::new(handler)));
        drop(old);
    }

    /// Has two more things reported, for debug mode: tasks whose handle is dropped before they began, and errors
    /// that are dropped with their tasks.
    pub fn report_forgotten(&self, on: bool) {
        self.reports_forgotten.set(on);
    }

    pub(crate) fn reports_forgotten(&self) -> bool {
        self.reports_forgotten.get()
    }

    /// Reports something that went wrong to the handler.
    pub fn report(&self, unhandled: &Unhandled) {
        let handler = self.on_unhandled.borrow().clone();
        let Some(handler) = handler else {
            return report_to_stderr(unhandled);
        };
        let told = catch_unwind(AssertUnwindSafe(|| handler(unhandled)));
        if let Err(payload) = told {
            report_to_stderr(unhandled);
            let cause = Cause::Panic(PanicPayload::new(payload));
            let panic = Unhandled::new("the exception handler panicked", None, cause);
            report_to_stderr(&panic);
            discard(|| drop(panic));
        }
        // It may have been replaced meanwhile.
        discard(|| drop(handler));
    }

    /// Reports something in the context of its task, and does not unwind when what it carries is dropped.
    fn report_and_drop(&self, task: &TaskRef, unhandled: Unhandled) {
        // The context's values may go with this reference to it.
        discard(|| task.context().run(|| self.report(&unhandled)));
        discard(|| drop(unhandled));
    }

    /// Ends everything: drops the futures of all tasks, here and now, and refuses what comes later. A
    /// task that closes its own loop ends after this step.
    pub fn close(&self) {
        if !self.is_entered() {
            // What the tasks own may look for its loop when it is dropped.
            return current::enter(self, &(), || self.close());
        }
        self.closed.set(true);
        drop(self.turn.take_cut());
        self.end_all();
        // What is left of ended tasks in the queue.
        for _ in 0..self.ready.len() {
            self.run_one();
        }
    }
}

/// How a step has left its task.
pub(crate) enum Stepped {
    GoesOn,
    /// It had ended before, and only its place in the queue was left.
    WasOver,
    /// Its future is gone.
    Ends(Outcome),
}

impl From<Option<Outcome>> for Stepped {
    #[inline]
    fn from(ended: Option<Outcome>) -> Self {
        ended.map_or(Self::GoesOn, Self::Ends)
    }
}

/// A step is under way until this is dropped, also by a panic: the task may end then, and nobody may find it here. The
/// task whose step was under way before.
struct Running<'a>(&'a Tasks, Option<NonNull<Header>>);

impl Running<'_> {
    /// Shows the step to a console.
    // Apart in debug builds, where what is inlined takes stack while the future is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn enter_span(&self, cell: &CellRef) {
        cell.span.enter(cell.span_id, self.enclosing_span());
    }

    /// The span of the task whose step was under way before.
    #[inline(always)]
    fn enclosing_span(&self) -> Option<(&TaskSpan, SpanId)> {
        self.1.as_ref().map(|h| {
            // SAFETY: R2.
            let enclosing = unsafe { h.as_ref() };
            (&enclosing.span, enclosing.span_id)
        })
    }
}

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(h) = self.0.running.get() {
            // SAFETY: R2.
            let running = unsafe { h.as_ref() };
            running.span.exit(running.span_id, self.enclosing_span());
        }
        self.0.running.set(self.1);
    }
}

/// Tells whoever wants to know of a child's panic, and does not unwind.
#[cold]
fn tell_of_panic(cell: &CellRef, panicked: &mut OnPanic<'_>) {
    let Some(panicked) = panicked else { return };
    let task = TaskRef::new(cell.clone());
    let payload = cell.take_payload();
    let told = catch_unwind(AssertUnwindSafe(|| panicked(&task, payload)));
    if let Err(payload) = told {
        report(&task, Unhandled::panic(&task, payload));
    }
}

/// What a new task keeps aside: the name and the context it was given, or a copy of the one here and now.
#[inline(never)]
fn new_aside(options: SpawnOptions) -> Option<Rc<Aside>> {
    let context = options.context.or_else(|| {
        let context = current::context(false).filter(|context| !context.is_empty())?;
        Some(context.copy())
    });
    let needed = options.name.is_some() || context.is_some();
    needed.then(|| Rc::new(Aside::new(options.name, context)))
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.close();
        // One by one: these are closures of others.
        for letter in self.letters.take() {
            discard(|| drop(letter));
        }
        let handler = self.on_unhandled.take();
        discard(|| drop(handler));
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("len", &self.len())
            .field("ready", &self.ready())
            .field("families", &self.families.len())
            .field("running", &self.running_task())
            .field("scopes", &self.scopes)
            .field("closed", &self.closed.get())
            .finish_non_exhaustive()
    }
}

/// Calls `f` with the tasks that `cell` belongs to, if they run here and now.
pub(crate) fn of<R>(cell: &CellRef, f: impl FnOnce(Option<&Tasks>) -> R) -> R {
    current::tasks(|tasks| f(tasks.filter(|tasks| cell.is_owned_by(tasks.owner()))))
}

/// Why the await of a task that has not ended would never end, if it is the one that runs, or one of another loop.
#[inline]
pub(crate) fn unawaitable(cell: &CellRef) -> Option<JoinError> {
    current::tasks(|tasks| match tasks {
        Some(tasks) if !cell.is_owned_by(tasks.owner()) => Some(JoinError::Elsewhere(cell.name())),
        Some(tasks) if tasks.running.get() == Some(cell.as_raw()) => {
            Some(JoinError::AwaitsItself(cell.name()))
        }
        _ => None,
    })
}

/// Asks a task to end, and perhaps says why. `false` if it has.
pub(crate) fn cancel(cell: &CellRef, message: Option<Arc<str>>) -> bool {
    request(cell, Origin::ANEW, message, LastPoll::Allowed)
}

/// Asks a task to end that nobody needs any more, unless it has been asked already.
pub(crate) fn let_go(cell: &CellRef) -> bool {
    if cell.root.get() != Place::NONE || cell.state.is_done() || cell.state.is_cancelling() {
        return request(cell, Origin::LET_GO, None, LastPoll::Allowed);
    }
    // Most often: all there is to note is in the cell.
    cell.marks.set(Mark::LetGo);
    wake_to_end(cell, cell.state.cancel(cell.is_posted(), false));
    true
}

/// Asks a task to end, if a request of this origin is news there. `false` if it has ended.
pub(crate) fn request(
    cell: &CellRef,
    origin: Origin,
    message: Option<Arc<str>>,
    last_poll: LastPoll,
) -> bool {
    if cell.state.is_done() {
        return false;
    }
    let refused = match last_poll {
        LastPoll::Allowed | LastPoll::OfAwaited => false,
        LastPoll::IfHeld => !cell.state.is_awaited(),
        LastPoll::IfAwaited => !cell.has_joiner(),
        LastPoll::Refused => true,
    };
    if origin != Origin::ANEW && !scopes::is_news(cell, origin) {
        if refused {
            refuse_last_poll(cell);
        }
        return true;
    }
    let scoped = cell.root.get() != Place::NONE;
    let again = cell.state.is_cancelling();
    let request = cell.state.cancel(cell.is_posted(), scoped);
    if origin == Origin::LET_GO {
        cell.marks.set(Mark::LetGo);
    }
    let travels = origin.is_passed_on() && cell.state.has_last_chance();
    if scoped || again || travels || message.is_some() {
        scopes::note_request(cell, again, origin, message);
    }
    if refused {
        refuse_last_poll(cell);
    } else if last_poll == LastPoll::OfAwaited {
        cell.state.refuse_last_poll();
    }
    wake_to_end(cell, request);
    true
}

/// Wakes a task that has been asked to end, if it would not see that without.
#[inline]
fn wake_to_end(cell: &CellRef, request: CancelRequest) {
    match request {
        CancelRequest::Done | CancelRequest::Noted => {}
        CancelRequest::Wake => of(cell, |tasks| match tasks {
            Some(tasks) => tasks.wake(cell),
            None => cell.post_home(),
        }),
    }
}

/// Nobody can take a value of a task any more: no request leaves it a poll, nor does one that was made before.
pub(crate) fn refuse_last_poll(cell: &CellRef) {
    cell.state.refuse_last_poll();
    if cell.root.get() != Place::NONE {
        scopes::refuse_last_poll(cell);
    }
}

/// Nobody can take a value of a task any more, which keeps the last poll that it has.
pub(crate) fn refuse_later_polls(cell: &CellRef) {
    if cell.root.get() != Place::NONE {
        scopes::refuse_later_polls(cell);
    }
}

/// How many requests to cancel a task are open.
pub(crate) fn cancelling(cell: &CellRef) -> usize {
    if cell.state.is_done() {
        return 0;
    }
    if cell.root.get() != Place::NONE {
        return scopes::requests(cell);
    }
    let further = cell.aside().map_or(0, |aside| aside.further_requests());
    usize::from(cell.state.is_cancelling()) + further
}

/// Reports what went wrong in a task, to its loop if that is here, and drops what that carries. Does not
/// unwind.
pub(crate) fn report(task: &TaskRef, unhandled: Unhandled) {
    of(task.cell(), |tasks| match tasks {
        Some(tasks) => tasks.report_and_drop(task, unhandled),
        None => {
            report_to_stderr(&unhandled);
            discard(|| drop(unhandled));
        }
    });
}
