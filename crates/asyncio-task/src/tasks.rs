//! The tasks of one thread, for the code that drives them: a small executor without any source of events. An event loop
//! is built around it.

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use asyncio_console::TaskKind;

use crate::cell::cell_ref::{Finished, LocalRef};
use crate::cell::header::{NewTask, Shown};
use crate::cell::layout;
use crate::context::values::Context;
use crate::discard::discard;
use crate::engine::budget;
use crate::engine::current::{self, Listed};
use crate::engine::local::Local;
use crate::engine::order::Order;
use crate::engine::pulse::Pulse;
use crate::engine::unhandled::Unhandled;
use crate::handle::id::TaskId;
use crate::handle::join_error::JoinError;
use crate::handle::panic_payload::PanicPayload;
use crate::handle::remote::Remote;
use crate::handle::schedule::{Schedule, Scheduled};
use crate::handle::spawn;
use crate::handle::spawn_options::{SpawnOptions, Start};
use crate::handle::task::Task;
use crate::handle::task_ref::{TaskRef, all_of};

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
    local: Local,
    /// Its scopes are on the list of the thread.
    _listed: Listed,
}

impl Tasks {
    /// No tasks yet. Other threads call `unpark` when there is something to [`deliver`](Self::deliver), at most once
    /// for each time that [`park`](Self::park) returned `true`. The call may come late, even after these tasks are
    /// gone.
    #[must_use]
    pub fn new(unpark: impl Fn() + Send + Sync + 'static) -> Self {
        let local = Local::new(unpark);
        Self {
            _listed: Listed::new(local.scopes.clone()),
            local,
        }
    }

    /// Makes these tasks the ones that run on this thread while `f` does: what it wakes goes straight to
    /// the ready queue. `driver` can be found by [`with_driver`](crate::with_driver).
    pub fn enter<R>(&self, driver: &dyn Any, f: impl FnOnce() -> R) -> R {
        budget::reset();
        current::enter(&self.local, driver, f)
    }

    /// Whether these are the tasks that run on this thread.
    #[must_use]
    pub fn is_entered(&self) -> bool {
        current::is(&self.local)
    }

    /// Starts a task: its first step comes after all that is ready now.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        spawn::spawn_at(&self.local, Location::caller(), future)
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
        spawn::spawn_on(&self.local, options, Location::caller(), future)
    }

    /// Starts a task that goes to `schedule` whenever it is woken, and now.
    #[track_caller]
    pub fn spawn_on<S, F>(&self, schedule: S, future: F) -> Task<F::Output>
    where
        S: Schedule + Clone + 'static,
        F: Future + 'static,
        F::Output: 'static,
    {
        let local = &self.local;
        let new = spawn::new_task_with(local, SpawnOptions::new(), Location::caller());
        let (cell, join) = layout::new_scheduled(&local.pool, new, future, Scheduled(schedule));
        // Before the schedule, which may panic, has its say: whatever comes, the task has a handle.
        let task = Task::new(join);
        spawn::begin(local, cell, Start::Soon, task.cell());
        task
    }

    /// Runs a task to its end, and calls `turn` again and again. `turn` runs the ready steps. If the task that it is
    /// given [has not finished](TaskRef::is_finished) then, it waits for events. It returns `false` to stop. The task
    /// may borrow: its future is gone when this returns, also by unwinding.
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
        let local = &self.local;
        let new = NewTask {
            shown: Shown::As(TaskKind::BlockOn),
            ..spawn::new_task_with(local, options, Location::caller())
        };
        let end = |cell: &LocalRef| {
            local.end(cell);
            // Not for a task that ended just now, but for one whose outcome nothing has fetched.
            local.drop_unclaimed(cell);
        };
        layout::run_borrowing(&local.pool, new, future, end, |cell, join| {
            let task = TaskRef::new(join.cell().clone());
            spawn::begin(local, cell, Start::Soon, task.cell());
            let mut go_on = true;
            loop {
                match join.take() {
                    Some(Finished::Value(value)) => return Ok(value),
                    Some(Finished::Cancelled) => {
                        let message = task.cell().cancel_message();
                        return Err(JoinError::Cancelled(task.name(), message));
                    }
                    Some(Finished::Panicked(payload)) => {
                        let payload = PanicPayload::new(payload);
                        return Err(JoinError::Panicked(task.name(), payload));
                    }
                    None if go_on => go_on = turn(&task),
                    None => return Err(JoinError::Stopped(task.name())),
                }
            }
        })
    }

    /// Runs one step of the task that has been ready the longest. `false` if none is.
    ///
    /// To be called while these tasks are [entered](Self::enter): what runs finds its loop there. It may be
    /// called from within a step of another task; a task whose step is under way is passed over.
    #[inline]
    pub fn run_one(&self) -> bool {
        self.local.run_one()
    }

    /// Runs what is ready, batch by batch, until nothing is, until `budget` steps have run, or until `is_over`
    /// says so after a batch. A batch that the budget cuts short goes on in the next turn.
    ///
    /// To be called while these tasks are [entered](Self::enter).
    // Apart: with all of the loop around, its registers would not suffice for a step.
    #[inline(never)]
    pub fn run_turn(&self, budget: usize, is_over: impl Fn() -> bool) {
        self.local.run_turn(budget, is_over);
    }

    /// Runs a turn like [`run_turn`](Self::run_turn), and ends it early once `enough` is true before a step. The
    /// batch goes on in the next turn. The steps of a group's children are not asked one by one.
    #[inline(never)]
    pub fn run_turn_until(
        &self,
        budget: usize,
        enough: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
    ) {
        self.local.run_turn_until(budget, enough, is_over);
    }

    /// Runs what is ready now, and nothing that this makes ready, whatever the budget.
    pub fn run_last_batch(&self) {
        self.local.run_last_batch();
    }

    /// Ends the turn under way after this step, so that the caller of [`run_turn`](Self::run_turn) looks at its clock.
    /// The batch goes on in the next turn. Does nothing in [`run_last_batch`](Self::run_last_batch) and outside of
    /// turns.
    #[cold]
    pub fn end_turn(&self) {
        self.local.turn.spend();
    }

    /// Whether no batch is cut short.
    #[must_use]
    pub fn is_between_batches(&self) -> bool {
        self.local.is_between_batches()
    }

    /// Sets how long a step may take before it is reported. `None`: steps are not timed.
    pub fn set_slow_step(&self, limit: Option<Duration>) {
        self.local.timing.limit.set(limit);
    }

    /// Has batches of ready tasks run in an order that depends on this seed, from now on. For tests that look for
    /// code which relies on an order. It can be set once.
    pub fn order_by(&self, seed: u64) {
        let _ = self.local.order.set(Order::new(seed));
    }

    /// The number of steps that have begun, those of children included.
    ///
    /// The number stays the same during a step, unless another step runs within it.
    #[inline]
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.local.turn.steps()
    }

    /// The step under way, for a thread that watches this one.
    #[must_use]
    pub fn pulse(&self) -> Arc<Pulse> {
        self.local.pulse.clone()
    }

    /// The task that was spawned last, whether it has ended or not.
    #[must_use]
    pub fn newest(&self) -> Option<TaskId> {
        TaskId::new(self.local.ids.get())
    }

    /// How many tasks are ready.
    #[inline]
    #[must_use]
    pub fn ready(&self) -> usize {
        self.local.ready.len()
    }

    /// The task whose step comes next, or the callback (see [`is_callback`](TaskRef::is_callback)).
    #[must_use]
    pub fn next_ready(&self) -> Option<TaskRef> {
        self.local.ready.first().map(TaskRef::new)
    }

    /// How many tasks have not ended, callbacks included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.local.len()
    }

    /// Whether all tasks have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All tasks that have not ended, oldest first, without callbacks.
    #[must_use]
    pub fn all(&self) -> Vec<TaskRef> {
        all_of(&self.local)
    }

    /// How many cancel scopes are open that have to wait, those of the tasks themselves included.
    #[must_use]
    pub fn scopes(&self) -> usize {
        self.local.scopes.borrow().len()
    }

    /// The context outside of any task, which several runs share.
    #[must_use]
    pub fn base_context(&self) -> &Context {
        &self.local.context
    }

    #[cfg(all(test, loom))]
    pub(crate) fn owner(&self) -> crate::cell::cell_ref::Owner {
        self.local.owner()
    }

    /// A handle for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(self.local.owner())
    }

    /// Whether other threads have sent anything that was not delivered. One relaxed load.
    #[inline]
    #[must_use]
    pub fn has_messages(&self) -> bool {
        self.local.has_messages()
    }

    /// Takes in what other threads have sent: tasks they woke are ready now, and so are their calls, in
    /// order of arrival.
    pub fn deliver(&self) {
        if !self.local.messages.borrow().is_empty() {
            self.deliver_some(usize::MAX);
        }
        self.deliver_some(usize::MAX);
    }

    /// [Delivers](Self::deliver) no more than `limit` messages. Those that are left come next, before later ones.
    pub fn deliver_some(&self, limit: usize) {
        self.local.deliver(limit, |call, location| {
            let options = SpawnOptions::callback()
                .context(self.local.context.copy())
                .location(location);
            self.spawn_with(options, async move { call() }).discard();
        });
    }

    /// Says that this thread is about to wait. `false`: there is something to deliver, do not. After
    /// waiting, or instead of it, call [`unpark`](Self::unpark).
    #[must_use]
    pub fn park(&self) -> bool {
        self.local.ready.shrink();
        self.local.messages.borrow().is_empty() && self.local.lease.park()
    }

    /// Says that this thread waits no longer.
    pub fn unpark(&self) {
        self.local.lease.unpark();
    }

    /// Sets the handler of what goes wrong where nothing awaits it. Without one it is a line on standard
    /// error.
    pub fn on_unhandled(&self, handler: impl Fn(&Unhandled) + 'static) {
        let old = self
            .local
            .on_unhandled
            .replace(Some(std::rc::Rc::new(handler)));
        drop(old);
    }

    /// Has two more things reported, for debug mode: tasks whose handle is dropped before they began, and errors
    /// that are dropped with their tasks.
    pub fn report_forgotten(&self, on: bool) {
        self.local.reports_forgotten.set(on);
    }

    /// Reports something that went wrong to the handler.
    pub fn report(&self, unhandled: &Unhandled) {
        self.local.report(unhandled);
    }

    /// Holds the calls of other threads back, until the last ones are [made](Self::make_last_calls): a thread that is
    /// some thousand messages ahead pauses after each call. Otherwise threads that call as fast as they can would keep
    /// a slower one forever from its end.
    pub fn hold_calls_back(&self) {
        self.local.lease.hold_calls_back();
    }

    /// Makes the last calls of other threads: refuses further ones, and runs the callbacks that are ready, among them
    /// those of calls that came before. Tasks stay where they are, ready or not. To be called before
    /// [`close`](Self::close), while these tasks are [entered](Self::enter). Otherwise closing drops such calls.
    ///
    /// ```
    /// use asyncio_task::Tasks;
    ///
    /// let tasks = Tasks::new(|| ());
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let remote = tasks.remote();
    /// remote.call(move || sender.send("called").unwrap()).unwrap();
    /// tasks.enter(&(), || tasks.make_last_calls());
    /// assert_eq!(receiver.recv(), Ok("called"));
    /// assert!(remote.call(|| ()).is_err());
    /// ```
    pub fn make_last_calls(&self) {
        self.local.lease.refuse_calls();
        self.deliver();
        self.local.run_ready_callbacks();
    }

    /// Ends everything: drops the futures of all tasks, here and now, and refuses what comes later. A
    /// task that closes its own loop ends after this step.
    pub fn close(&self) {
        if !self.is_entered() {
            // The destructors of values that the tasks own may look for their loop.
            return current::enter(&self.local, &(), || self.close());
        }
        let local = &self.local;
        local.closed.set(true);
        drop(local.turn.take_cut());
        local.end_all();
        // Ended tasks may have left entries in the queue.
        for _ in 0..local.ready.len() {
            local.run_one();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.close();
        // One by one: these are foreign closures.
        for message in self.local.messages.take() {
            discard(|| drop(message));
        }
        let handler = self.local.on_unhandled.take();
        discard(|| drop(handler));
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("len", &self.len())
            .field("ready", &self.ready())
            .field("groups", &self.local.child_sets.len())
            .field("running", &self.local.step.task())
            .field("scopes", &self.local.scopes)
            .field("closed", &self.local.closed.get())
            .finish_non_exhaustive()
    }
}
