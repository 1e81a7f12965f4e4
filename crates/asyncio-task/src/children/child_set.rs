//! The child set, which children share with the task that runs them. It has the list of children that have not ended,
//! and the queue of woken ones.
//!
//! The loop has child sets on its list, not their children, and each child knows its set; neither owns a
//! child. A set belongs to the loop that its first child was spawned on.
//!
//! - **H5** A cell in the queue is alive (C4 in `cell/mod.rs`). The owner's reference is among the members, or, for a
//!   body, that of the `Children`. Only the end of a child takes it from the members. `Children` that are dropped end
//!   their body and empty the queue.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::cancel::ScopeKey;
use crate::cell::cell_ref::{ChildQueue, LocalRef, Owner, OwnerRef, wake_owners};
use crate::cell::ready::SiblingQueue;
use crate::cell::waker;
use crate::children::handover::Handover;
use crate::discard::discard;
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::turn::Cut;
use crate::handle::id::TaskId;
use crate::queue::registry::{NOWHERE, Placed, Registry};

/// The children of one group.
pub(crate) struct ChildSet {
    pub(crate) ready: SiblingQueue,
    pub(crate) members: Registry<OwnerRef>,
    /// Whose tasks they are, once there are any.
    owner: OnceCell<Owner>,
    /// Where the loop has it on its list.
    pub(crate) index: Cell<u32>,
    /// The scope of their group that has heard a request and passed it on.
    pub(crate) heard_by: Cell<Option<ScopeKey>>,
    /// The place of the member that the last question was true of (see [`is_any`](Self::is_any)).
    asked: Cell<u32>,
    /// The waker of the task that runs the children.
    waker: Cell<Option<Waker>>,
    /// The task has been woken since it ran the children last, or is gone: it need not be woken.
    woken: Cell<bool>,
    /// Nothing runs them any more.
    over: Cell<bool>,
    /// They run first in, first out, also if a seed orders all others.
    pub(crate) in_order: Cell<bool>,
    /// How many of a batch that was cut short have not run.
    pub(crate) batch: Cell<usize>,
    /// The member whose own round was cut short, if `has_cut`.
    pub(crate) cut: Cell<Option<Cut>>,
    pub(crate) has_cut: Cell<bool>,
    /// Whether anything ran in the last round.
    pub(crate) ran: Cell<bool>,
    pub(crate) handover: Handover,
}

impl ChildSet {
    pub(crate) fn new() -> Self {
        Self {
            ready: SiblingQueue::default(),
            members: Registry::default(),
            owner: OnceCell::new(),
            index: Cell::new(NOWHERE),
            heard_by: Cell::new(None),
            asked: Cell::new(0),
            waker: Cell::new(None),
            woken: Cell::new(false),
            over: Cell::new(false),
            in_order: Cell::new(false),
            batch: Cell::new(0),
            cut: Cell::new(None),
            has_cut: Cell::new(false),
            ran: Cell::new(false),
            handover: Handover::default(),
        }
    }

    /// It belongs to these from now on. `false` if it belongs to others.
    #[inline]
    pub(crate) fn bind_owner(&self, owner: Owner) -> bool {
        *self.owner.get_or_init(|| owner) == owner
    }

    /// Whose tasks they are, once there are any.
    #[inline]
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.owner.get().copied()
    }

    /// Calls `f` with the tasks that the set belongs to, if they run here and now.
    // Always: debug builds keep a frame for each call, and children run within `f`.
    #[inline(always)]
    pub(crate) fn with_tasks<R>(&self, f: impl FnOnce(Option<&Local>) -> R) -> R {
        current::tasks_of(self.owner.get(), f)
    }

    /// Wakes the task that runs the children, if any of them are ready and that has not been done.
    #[inline]
    pub(crate) fn wake_for_ready(&self) {
        if self.ready.len() > 0 && !self.woken.replace(true) {
            self.wake();
        }
    }

    /// Wakes the task that runs the children, and those that run that one.
    pub(crate) fn wake(&self) {
        if let Some(next) = self.wake_runner() {
            wake_owners(next);
        }
    }

    /// Wakes the task that runs the children. The queue of that one, if its owner is to be woken as well. A waker that
    /// panics is kept all the same, and the next wake-up of a child wakes it again. Otherwise the children would never
    /// run again.
    fn wake_runner(&self) -> Option<Rc<dyn ChildQueue>> {
        /// The waker, out of its cell while foreign code runs, and back there afterwards.
        struct Out<'a>(&'a ChildSet, Option<Waker>);
        impl Drop for Out<'_> {
            #[inline]
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.woken.set(false);
                }
                let newer = self.0.waker.replace(self.1.take());
                if newer.is_some() || self.0.over.get() {
                    self.0.drop_needless(newer);
                }
            }
        }
        let waker = self.waker.take()?;
        if let Ok(next) = waker::wake_child(&waker) {
            let woken = waker::span_id_of(&waker);
            self.waker.set(Some(waker));
            woken.note_wake_by_ref();
            return next;
        }
        let out = Out(self, Some(waker));
        if let Some(waker) = &out.1 {
            waker.wake_by_ref();
        }
        None
    }

    /// Drops a waker that was put back though `newer` had come meanwhile, or though nothing runs them any more.
    #[cold]
    fn drop_needless(&self, newer: Option<Waker>) {
        let kept = newer.filter(|_| !self.over.get());
        let needless = self.waker.replace(kept);
        discard(|| drop(needless));
    }

    /// Begins a round: wake-ups from here on are for the next one.
    pub(crate) fn begin_round(&self, cx: &Context<'_>) {
        self.ready.shrink();
        let old = self.waker.take();
        match old {
            Some(same) if same.will_wake(cx.waker()) => self.waker.set(Some(same)),
            old => {
                let waker = cx.waker().clone();
                let between = self.waker.replace(Some(waker));
                drop(old);
                drop(between);
            }
        }
        self.woken.set(false);
    }

    /// Forgets what was cut short. All of it is in the queue.
    pub(crate) fn forget_batch(&self) {
        self.batch.set(0);
        self.has_cut.set(false);
        self.cut.set(None);
    }

    /// Nothing runs them any more.
    pub(crate) fn close(&self) {
        self.over.set(true);
        self.forget_batch();
        let waker = self.waker.take();
        drop(waker);
    }

    /// Takes in a new child.
    #[inline]
    pub(crate) fn take_in(&self, cell: OwnerRef) {
        self.members.enter(|index| {
            cell.set_place(index);
            cell
        });
    }

    /// Takes a child that ends from the members.
    #[inline]
    pub(crate) fn leave(&self, cell: &LocalRef) -> Option<OwnerRef> {
        self.members.leave(cell.take_place())
    }

    /// Whether this is true of any child. Looks first at the one that it was true of the last time. So if it is asked
    /// until it is true of none, all calls together look at each child a few times.
    pub(crate) fn is_any(&self, is_it: impl Fn(&LocalRef) -> bool) -> bool {
        let found = self.members.find_from(self.asked.get(), |cell| is_it(cell));
        found.inspect(|&place| self.asked.set(place)).is_some()
    }

    /// The children that have not ended, oldest first.
    pub(crate) fn sorted_cells(&self) -> Vec<LocalRef> {
        let mut cells = self.cells();
        cells.sort_by_key(|cell| cell.id);
        cells
    }
}

impl ChildQueue for ChildSet {
    #[inline]
    fn note_woken(&self) -> bool {
        !self.woken.replace(true)
    }

    fn wake_owner(&self) -> Option<Rc<dyn ChildQueue>> {
        self.wake_runner()
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn cells(&self) -> Vec<LocalRef> {
        self.members.collect(|cell| Some(LocalRef::clone(cell)))
    }

    fn has(&self, cell: &LocalRef) -> bool {
        self.members.with(cell.place(), |member| **member == *cell)
    }

    fn runner(&self) -> Option<TaskId> {
        let waker = self.waker.take()?;
        let runner = waker::task_of(&waker);
        self.waker.set(Some(waker));
        runner
    }

    fn heard_by(&self) -> Option<ScopeKey> {
        self.heard_by.get()
    }

    fn set_index(&self, index: u32) {
        self.index.set(index);
    }
}

impl fmt::Debug for ChildSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChildSet({} children)", self.members.len())
    }
}
