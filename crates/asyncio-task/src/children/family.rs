//! What children share with whoever runs them: the list of those that have not ended, and the queue of those
//! that were woken.
//!
//! The loop has families on its list, not their children, and each child knows its family; neither owns a
//! child. A family belongs to the loop that its first child was spawned on.
//!
//! - **H5** A cell in the queue is alive: while its task has not ended, by the reference among the members,
//!   or that of the `Children` to their body; afterwards by one of the place itself, as in the loop's own queue.
//!   Only what ends a child takes it from the members. `Children` that are dropped end their body and empty the
//!   queue.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use crate::cancel::ScopeKey;
use crate::cell::Header;
use crate::cell::cell_ref::{Anchor, CellRef};
use crate::cell::waker;
use crate::children::handover::Handover;
use crate::discard::discard;
use crate::engine::current;
use crate::engine::tasks::Tasks;
use crate::engine::turn::Cut;
use crate::handle::id::TaskId;
use crate::queue::mailbox::Owner;
use crate::queue::ready::ReadyQueue;
use crate::queue::registry::{NOWHERE, Placed, Registry};

/// See the head of this file.
pub(crate) struct Family {
    pub(crate) ready: ReadyQueue,
    pub(crate) members: Registry<Anchor>,
    /// Whose tasks they are, once there are any.
    owner: OnceCell<Owner>,
    /// Where the loop has it on its list.
    pub(crate) place: Cell<u32>,
    /// The scope of their group that has heard a request and passed it on.
    pub(crate) heard_by: Cell<Option<ScopeKey>>,
    /// The waker of the task that runs the children.
    waker: Cell<Option<Waker>>,
    /// Whether that one need not be woken: it has been since it ran them last, or is gone.
    woken: Cell<bool>,
    /// Nobody runs them any more.
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

impl Family {
    pub(crate) fn new() -> Self {
        Self {
            ready: ReadyQueue::default(),
            members: Registry::default(),
            owner: OnceCell::new(),
            place: Cell::new(NOWHERE),
            heard_by: Cell::new(None),
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
    pub(crate) fn settle(&self, owner: Owner) -> bool {
        *self.owner.get_or_init(|| owner) == owner
    }

    /// Whose tasks they are, once there are any.
    #[inline]
    pub(crate) fn owner(&self) -> Option<Owner> {
        self.owner.get().copied()
    }

    /// Calls `f` with the tasks that the family belongs to, if they run here and now.
    #[inline]
    pub(crate) fn at_home<R>(&self, f: impl FnOnce(Option<&Tasks>) -> R) -> R {
        current::tasks_of(self.owner.get(), f)
    }

    /// Takes in a cell that was woken. Whether [`wake`](Self::wake) has to follow.
    #[inline]
    pub(crate) fn push(&self, cell: NonNull<Header>) -> bool {
        self.ready.push(cell);
        !self.woken.replace(true)
    }

    /// Whether the task that runs the children has been woken since it ran them last.
    #[inline]
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get()
    }

    /// Wakes who runs the children, if any of them are ready and that has not been done.
    #[inline]
    pub(crate) fn wake_for_ready(&self) {
        if self.ready.len() > 0 && !self.woken.replace(true) {
            self.wake();
        }
    }

    /// Wakes who runs the children. That may be a child of another family, whose runner is woken as well, and so on:
    /// in a loop, as families may be nested deeper than a stack is.
    pub(crate) fn wake(&self) {
        let mut next = self.wake_runner();
        while let Some(family) = next {
            next = family.wake_runner();
        }
    }

    /// Wakes who runs the children, and gives the family of that one if it is to be woken as well. If the waker panics
    /// it is kept all the same, and the next wake-up of a child wakes it again: otherwise the children would never run
    /// any more.
    fn wake_runner(&self) -> Option<Rc<Self>> {
        /// The waker, out of its cell while foreign code runs, and back there afterwards.
        struct Out<'a>(&'a Family, Option<Waker>);
        impl Drop for Out<'_> {
            #[inline]
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.woken.set(false);
                }
                let newer = self.0.waker.replace(self.1.take());
                if newer.is_some() || self.0.over.get() {
                    self.0.put_aside(newer);
                }
            }
        }
        let waker = self.waker.take()?;
        if let Ok(next) = waker::wake_in_family(&waker) {
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

    /// Drops a waker that was put back though `newer` had come meanwhile, or though nobody runs them any more.
    #[cold]
    fn put_aside(&self, newer: Option<Waker>) {
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

    /// Nobody runs them any more.
    pub(crate) fn close(&self) {
        self.over.set(true);
        self.forget_batch();
        let waker = self.waker.take();
        drop(waker);
    }

    /// Takes in a new child, which is to take its first step.
    #[inline]
    pub(crate) fn enter(&self, cell: Anchor) {
        let raw = cell.as_raw();
        cell.state.wake();
        self.take_in(cell);
        if self.push(raw) {
            self.wake();
        }
    }

    /// Takes in a new child.
    #[inline]
    pub(crate) fn take_in(&self, cell: Anchor) {
        self.members.enter(|place| {
            cell.place.set(place);
            cell
        });
    }

    /// Whether a child is one of its members.
    pub(crate) fn has(&self, cell: &CellRef) -> bool {
        self.members
            .with(cell.place.get(), |member| **member == *cell)
    }

    /// The task that runs them, if it is known.
    pub(crate) fn runner(&self) -> Option<TaskId> {
        let waker = self.waker.take()?;
        let runner = waker::task_of(&waker);
        self.waker.set(Some(waker));
        runner
    }

    /// Takes a child that has ended from the members.
    #[inline]
    pub(crate) fn leave(&self, cell: &CellRef) -> Option<Anchor> {
        self.members.leave(cell.place.replace(NOWHERE))
    }

    /// The children that have not ended, oldest first.
    pub(crate) fn cells(&self) -> Vec<CellRef> {
        let mut cells = self.members.collect(|cell| Some(CellRef::clone(cell)));
        cells.sort_by_key(|cell| cell.id);
        cells
    }
}

impl Placed for Weak<Family> {
    fn set_place(&self, place: u32) {
        if let Some(family) = self.upgrade() {
            family.place.set(place);
        }
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Family({} children)", self.members.len())
    }
}
