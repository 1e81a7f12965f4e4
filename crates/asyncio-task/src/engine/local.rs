//! The half of a loop's tasks that its thread has for itself: queues, lists, and the step under way.
//!
//! Everything that runs a task, wakes it or ends it works on [`Local`]. The public [`Tasks`](crate::Tasks) is a facade
//! on top of it, and gives out handles. A step, in the order of things:
//! 1. the ready queue gives the task that was woken first;
//! 2. its state says what to do: poll it, drop its future, or nothing (`cell/state.rs`);
//! 3. if it is done, it leaves the registry, its outcome waits for the handle or is dropped, its joiner is woken, and
//!    the owner's reference goes.
//!
//! - **R1** From its first step to its end, a task is in one registry of owner's references: its loop's or its group's.
//! - **R3** No borrow of queue, registry or handler is held while a future, a waker, a destructor or a hook runs. Each
//!   of them may come back here, and may panic.
//! - **R4** Nothing that ends a task unwinds. So no task is left half ended, and whatever its end has to drop here is
//!   dropped here.
//!
//! R2 is in `cell/cell_ref.rs`.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use asyncio_console::TaskKind;

use crate::cell::cell_ref::{ChildQueue, CurrentStep, Lease, LocalRef, Message, Owner, OwnerRef};
use crate::cell::extra::TaskExtra;
use crate::cell::header::{NewTask, Shown};
use crate::cell::marks::Mark;
use crate::cell::pool::Pool;
use crate::cell::ready::LocalQueue;
use crate::context::values::Context;
use crate::engine::order::Order;
use crate::engine::pulse::Pulse;
use crate::engine::timing::Timing;
use crate::engine::turn::Turn;
use crate::engine::unhandled::Unhandled;
use crate::handle::id::TaskId;
use crate::queue::registry::{NOWHERE, Placed, Registry};
use crate::scopes::loop_scopes::LoopScopes;

/// The tasks of one loop, for its own thread.
pub(crate) struct Local {
    pub(crate) lease: Lease,
    pub(crate) ready: LocalQueue,
    pub(crate) registry: Registry<OwnerRef>,
    /// The groups whose children are tasks of these.
    pub(crate) child_sets: Registry<Weak<dyn ChildQueue>>,
    /// The task whose step is under way.
    pub(crate) step: CurrentStep,
    /// The same for other threads.
    pub(crate) pulse: Arc<Pulse>,
    /// How many steps began within the step of the task that spawned them.
    pub(crate) eager_steps: Cell<u64>,
    pub(crate) turn: Turn,
    pub(crate) timing: Timing,
    pub(crate) order: OnceCell<Order>,
    pub(crate) ids: Cell<u64>,
    pub(crate) closed: Cell<bool>,
    /// How many tasks that came after that are being ended, one within the other.
    pub(crate) refusing: Cell<u32>,
    /// The context outside of any task.
    pub(crate) context: Context,
    pub(crate) on_unhandled: RefCell<Option<Handler>>,
    /// Whether outcomes that were forgotten are reported.
    pub(crate) reports_forgotten: Cell<bool>,
    pub(crate) pool: Pool,
    pub(crate) scopes: Rc<LoopScopes>,
    /// Taken from the inbox and not delivered yet; kept for its capacity.
    pub(crate) messages: RefCell<VecDeque<Message>>,
}

pub(crate) type Handler = Rc<dyn Fn(&Unhandled)>;

impl Local {
    pub(crate) fn new(unpark: impl Fn() + Send + Sync + 'static) -> Self {
        let lease = Lease::new(Arc::new(unpark));
        Self {
            scopes: Rc::new(LoopScopes::new(lease.owner())),
            lease,
            ready: LocalQueue::default(),
            registry: Registry::default(),
            child_sets: Registry::default(),
            step: CurrentStep::default(),
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
            messages: RefCell::default(),
        }
    }

    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        self.lease.owner()
    }

    /// Puts a task into its queue, unless it is there.
    #[inline]
    pub(crate) fn wake(&self, cell: &LocalRef) {
        self.ready.wake(cell);
    }

    /// The data of the header of a new task.
    #[inline]
    pub(crate) fn new_task(
        &self,
        location: &'static Location<'static>,
        callback: bool,
        extra: Option<Rc<TaskExtra>>,
    ) -> NewTask<'_> {
        let id = self.ids.get() + 1;
        self.ids.set(id);
        NewTask {
            owner: &self.lease,
            id: TaskId::new(id).expect("counted from 1"),
            parent: self.step.with(|task| {
                let parent = task.filter(|task| !task.marks.has(Mark::Callback));
                parent.map(|parent| parent.id)
            }),
            location,
            extra,
            callback,
            shown: Shown::As(TaskKind::Task),
        }
    }

    /// Takes in a new task. The result is alive as long as its handle is.
    #[inline]
    pub(crate) fn register(&self, cell: OwnerRef) {
        self.registry.enter(|index| {
            cell.set_place(index);
            cell
        });
    }

    /// Puts the queue of a group on the list.
    pub(crate) fn list_children(&self, children: Weak<dyn ChildQueue>) {
        // Those that ended where their loop did not run.
        self.child_sets
            .forget_if_full(|children| children.strong_count() == 0);
        self.child_sets.enter(|index| {
            children.set_place(index);
            children
        });
    }

    /// Takes the queue of a group from the list.
    pub(crate) fn unlist_children(&self, index: &Cell<u32>) {
        drop(self.child_sets.leave(index.replace(NOWHERE)));
    }

    /// The queue of a child that has not ended.
    pub(crate) fn children_of(&self, cell: &LocalRef) -> Option<Rc<dyn ChildQueue>> {
        if !cell.borrows() {
            return None;
        }
        let mut all = self.child_sets.collect(Weak::upgrade).into_iter();
        all.find(|children| children.has(cell))
    }

    /// How many tasks have not ended, callbacks included.
    pub(crate) fn len(&self) -> usize {
        let all = self.child_sets.collect(Weak::upgrade);
        self.registry.len() + all.iter().map(|children| children.len()).sum::<usize>()
    }

    /// All tasks that have not ended, oldest first, with callbacks.
    pub(crate) fn cells(&self) -> Vec<LocalRef> {
        let mut all = self.registry.collect(|cell| Some(LocalRef::clone(cell)));
        for children in self.child_sets.collect(Weak::upgrade) {
            all.append(&mut children.cells());
        }
        all.sort_by_key(|cell| cell.id);
        all
    }

    #[inline]
    pub(crate) fn order(&self) -> Option<&Order> {
        self.order.get()
    }

    #[inline]
    pub(crate) fn has_budget(&self) -> bool {
        self.turn.has_budget()
    }

    /// The number of the step under way, for polls that are to know whether they belong to one step.
    #[inline]
    pub(crate) fn step_number(&self) -> u64 {
        self.turn.steps() - self.eager_steps.get()
    }

    /// Whether a seed orders the steps, or debug mode times them. Asked once a batch: a step without either pays
    /// for neither.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.order().is_some() || self.timing.is_on()
    }

    /// Notes for the pulse that the enclosing step goes on, after steps within it.
    pub(crate) fn note_enclosing_step(&self) {
        self.step.with(|enclosing| {
            if let Some(enclosing) = enclosing {
                self.pulse.enter(enclosing.id, enclosing.location);
            }
        });
    }

    /// Notes that a value is on its way in what the task whose step is under way runs.
    #[cold]
    pub(crate) fn expect_value(&self) {
        self.step.with(|task| {
            if let Some(task) = task.filter(|task| task.borrows()) {
                task.state.expect();
                self.turn.expects.set(true);
            }
        });
    }

    /// Whether a value is on its way in what the child whose step is under way runs.
    pub(crate) fn expects_value(&self) -> bool {
        self.step
            .with(|task| task.is_some_and(|task| task.state.expects()))
    }

    /// Whether a request to the task whose step is under way takes effect after this poll.
    #[inline]
    pub(crate) fn is_in_last_poll(&self) -> bool {
        self.step.with(|task| {
            task.is_some_and(|task| {
                task.state.is_cancelling() && self.scopes.borrow().acts_after_poll(task.root())
            })
        })
    }

    /// Whether values are to be handed over in the step under way: it may decide about tasks that wait for them.
    pub(crate) fn hands_over(&self) -> bool {
        self.turn.hands_over.get() || self.scopes.borrow().asks_what_is_polled()
    }

    /// A request to the task whose step is under way has come to what it waits for.
    #[cold]
    pub(crate) fn note_passed_on(&self) {
        self.step.with(|task| {
            if let Some(task) = task {
                task.marks.set(Mark::PassedOn);
            }
        });
    }

    /// The context of the task whose step is under way, or the one outside of any. A task that has none gets one if
    /// `make` says so.
    pub(crate) fn context(&self, make: bool) -> Option<Context> {
        self.step.with(|task| match task {
            None => Some(self.context.clone()),
            Some(task) if make => Some(task.extra_or_new().context_or_new()),
            Some(task) => task.extra()?.context(),
        })
    }
}

impl Placed for Weak<dyn ChildQueue> {
    fn set_place(&self, place: u32) {
        if let Some(children) = self.upgrade() {
            children.set_index(place);
        }
    }
}
