//! The home of cancel scopes: the scope tree of one loop, which all code on its thread reaches, also while the
//! loop does not run.
//!
//! A scope can be cancelled, and its future or token dropped, between two runs of its loop, or while another
//! loop of the thread runs. The tree is changed there and then. Only the wake-up of a task takes the way
//! through the mailbox, as nobody but its own loop has its queue.
//!
//! - **L1** The list of a thread points to homes that are alive: one leaves the list in its destructor, and
//!   homes are neither `Send` nor `Sync`.
//! - **L2** Nothing foreign runs while the list is walked. Whoever goes on with a home that was found there has
//!   a reference of its own, as foreign code may drop the loop meanwhile.
//!
//! The invariants S1 and S2 of `scopes/mod.rs` hold here as well.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::cancel::{Effect, Origin, Request, Resolution, ScopeKey, ScopeTree};
use crate::cell::Header;
use crate::cell::cell_ref::CellRef;
use crate::cell::state::LastPoll;
use crate::cell::waker;
use crate::engine::current;
use crate::queue::mailbox::Owner;

/// The tree of cancel scopes, of tasks that are named by their headers.
pub(crate) type TaskScopes = ScopeTree<NonNull<Header>>;

type Effects = crate::cancel::Effects<NonNull<Header>>;
type WakeTarget = crate::cancel::WakeTarget<NonNull<Header>>;

/// The cancel scopes of the tasks of one loop.
pub(crate) struct Home {
    tree: RefCell<TaskScopes>,
    owner: Owner,
    next: Cell<*const Home>,
}

thread_local! {
    /// The homes of this thread.
    static FIRST: Cell<*const Home> = const { Cell::new(ptr::null()) };
}

impl Home {
    /// The home of the tasks of this owner, without any scopes.
    pub(crate) fn new(owner: Owner) -> Rc<Self> {
        let home = Rc::new(Self {
            tree: RefCell::default(),
            owner,
            next: Cell::new(FIRST.get()),
        });
        FIRST.set(Rc::as_ptr(&home));
        home
    }

    /// Somebody cancels a scope. `false` if it is over.
    pub(crate) fn cancel_scope(
        &self,
        key: ScopeKey,
        origin: Origin,
        message: Option<Arc<str>>,
        last_poll: LastPoll,
    ) -> bool {
        let woken = last_poll == LastPoll::Allowed && self.is_woken(key);
        let mut tree = self.borrow_mut();
        if !tree.contains(key) {
            return false;
        }
        let wake = tree.request(key, woken, origin, message);
        if last_poll == LastPoll::Refused {
            tree.refuse_last_poll(key);
        }
        drop(tree);
        self.wake_one(wake);
        true
    }

    /// The deadline of a scope has come.
    pub(crate) fn expire_scope(&self, key: ScopeKey, polled_once: bool) {
        let woken = polled_once || self.is_woken(key);
        let wake = self.borrow_mut().expire(key, woken);
        self.wake_one(wake);
    }

    /// Whether the task of a scope has been woken and not run since.
    fn is_woken(&self, key: ScopeKey) -> bool {
        let task = self.borrow().task_of(key);
        task.is_some_and(|task| {
            // SAFETY: S1.
            let cell = unsafe { CellRef::borrow(&task) };
            cell.state.is_scheduled() || cell.is_posted()
        })
    }

    /// A scope is over. If it held up a request, that is still where it came from.
    pub(crate) fn close_scope(&self, key: ScopeKey) {
        self.conclude_scope(key, Resolution::Deferred);
    }

    /// A scope is over, and that is what becomes of a request that it held up. Whether it did.
    #[inline]
    pub(crate) fn conclude_scope(&self, key: ScopeKey, resolution: Resolution) -> bool {
        let mut tree = self.borrow_mut();
        let let_go = tree.is_holding(key).then(|| tree.conclude(key, resolution));
        let rest = tree.remove(key);
        drop(tree);
        let held = let_go.is_some();
        if let Some(let_go) = let_go {
            self.apply(let_go);
        }
        // A waker of others: its destructor may end the tasks that were let go.
        drop(rest);
        held
    }

    /// Lets a token go that holds a scope.
    pub(crate) fn let_go(&self, holder: ScopeKey, request: Request, resolution: Resolution) {
        let let_go = self.borrow_mut().let_go(Some(holder), request, resolution);
        self.apply(let_go);
    }

    /// A scope of which something was asked has come to a value, or a panic has left it.
    #[cold]
    pub(crate) fn complete_scope(&self, key: ScopeKey) {
        let (let_go, rest) = self.borrow_mut().complete(key);
        self.apply(let_go);
        drop(rest);
    }

    /// A scope is dropped, and then its work. `true` if it is here meanwhile, as something was asked of it; otherwise
    /// what is inside has nothing around it any more.
    pub(crate) fn begin_drop(&self, key: ScopeKey) -> bool {
        let is_asked = self.borrow().is_asked(key);
        match is_asked {
            true => self.borrow_mut().begin_drop(key),
            false => self.close_scope(key),
        }
        is_asked
    }

    /// The work of a scope that is dropped has been dropped.
    #[cold]
    pub(crate) fn end_drop(&self, key: ScopeKey) {
        let rest = self.borrow_mut().end_drop(key);
        drop(rest);
    }

    /// Does what came of a change, before anything foreign runs (S1).
    pub(crate) fn apply(&self, effects: Effects) {
        let mut overdue = effects.overdue;
        if let Effect::Answered { task, root, apart } = effects.effect {
            // SAFETY: S1: nothing foreign has run since the tree named the task.
            let state = &unsafe { task.as_ref() }.state;
            let mut tree = self.borrow_mut();
            // If it runs, those who have yet to be heard may be before the end of this poll.
            if !state.is_running() && !tree.is_undecided(root, apart) {
                overdue.extend(tree.settle(root));
            }
            if !tree.has_request(root) {
                state.answer();
            }
        }
        let overdue = self.wakers(overdue);
        match effects.effect {
            Effect::None | Effect::Answered { .. } => {}
            Effect::Wake(target) => self.wake_one(Some(target)),
            Effect::AskedAgain(task) => {
                // SAFETY: S1: nothing foreign has run since the tree named the task; `wakers` only clones references.
                let cell = unsafe { CellRef::borrow(&task) };
                cell.state.ask_again();
                self.wake_unless_running(cell);
            }
            Effect::Propagates(task) => {
                // SAFETY: S1, as above.
                let cell = unsafe { CellRef::borrow(&task) };
                cell.state.unwind();
                self.wake_unless_running(cell);
            }
        }
        overdue.into_iter().for_each(Waker::wake);
    }

    /// Wakes a task. If it runs, it sees to what was asked at the end of its poll.
    fn wake_unless_running(&self, cell: &CellRef) {
        if !cell.state.is_running() {
            self.wake(cell);
        }
    }

    /// Wakers for scopes that are asked to end. They stay good while foreign code runs, as a [`WakeTarget`] does not.
    pub(crate) fn wakers(&self, all: Vec<WakeTarget>) -> Vec<Waker> {
        let waker = |wake| match wake {
            // SAFETY: S1, and nothing foreign has run since.
            WakeTarget::Task(task) => waker::owned(unsafe { CellRef::borrow(&task) }.clone()),
            WakeTarget::Waker(waker) => waker,
        };
        let wakers: Vec<_> = all.into_iter().map(waker).collect();
        for waker in &wakers {
            waker::span_id_of(waker).note_clone();
        }
        wakers
    }

    /// The task that awaits a task by its handle; `bound`: only if it cannot go on without it.
    pub(crate) fn awaiting_task(&self, cell: &CellRef, bound: bool) -> Option<CellRef> {
        let tree = self.borrow();
        let key = tree.at(cell.awaiting.get())?;
        if bound && !tree.is_bound(key) {
            return None;
        }
        let task = tree.task_of(key)?;
        // SAFETY: S1.
        Some(unsafe { CellRef::borrow(&task) }.clone())
    }

    /// The task that an observed scope holds.
    pub(crate) fn holding_task(&self, key: ScopeKey) -> Option<CellRef> {
        let tree = self.borrow();
        let task = tree.is_bound(key).then(|| tree.task_of(key)).flatten()?;
        // SAFETY: S1.
        Some(unsafe { CellRef::borrow(&task) }.clone())
    }

    fn wake_one(&self, wake: Option<WakeTarget>) {
        match wake {
            // SAFETY: S1, and nothing foreign has run since.
            Some(WakeTarget::Task(task)) => self.wake(unsafe { CellRef::borrow(&task) }),
            Some(WakeTarget::Waker(waker)) => waker.wake(),
            None => {}
        }
    }

    /// Wakes a task that lives here.
    fn wake(&self, cell: &CellRef) {
        current::tasks(
            |tasks| match tasks.filter(|tasks| tasks.owner() == self.owner) {
                Some(tasks) => tasks.wake(cell),
                None => cell.post_home(),
            },
        );
    }
}

impl Deref for Home {
    type Target = RefCell<TaskScopes>;

    #[inline]
    fn deref(&self) -> &RefCell<TaskScopes> {
        &self.tree
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let this = ptr::from_ref(self);
        let mut link = FIRST.get();
        if ptr::eq(link, this) {
            return FIRST.set(self.next.get());
        }
        // SAFETY: L1, for all that is on the list; `self` itself is alive until this returns.
        while let Some(home) = unsafe { link.as_ref() } {
            link = home.next.get();
            if ptr::eq(link, this) {
                return home.next.set(self.next.get());
            }
        }
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.borrow().fmt(f)
    }
}

/// Calls `f` with the home of a scope, wherever its loop is; `None` if the scope is over, or its loop gone.
#[inline]
pub(crate) fn of_scope<R>(key: ScopeKey, f: impl FnOnce(Option<&Home>) -> R) -> R {
    current::tasks(|tasks| match tasks {
        Some(tasks) if tasks.scopes.borrow().contains(key) => f(Some(&tasks.scopes)),
        _ => f(find(|home| home.borrow().contains(key)).as_deref()),
    })
}

/// Calls `f` with the home of a task's scopes, wherever its loop is; `None` if that is gone.
#[inline]
pub(crate) fn of_task<R>(cell: &CellRef, f: impl FnOnce(Option<&Home>) -> R) -> R {
    current::tasks(|tasks| match tasks {
        Some(tasks) if cell.is_owned_by(tasks.owner()) => f(Some(&tasks.scopes)),
        _ => f(find(|home| cell.is_owned_by(home.owner)).as_deref()),
    })
}

#[cold]
fn find(is_it: impl Fn(&Home) -> bool) -> Option<Rc<Home>> {
    let mut link = FIRST.get();
    // SAFETY: L1; the list does not change meanwhile (L2).
    while let Some(home) = unsafe { link.as_ref() } {
        if is_it(home) {
            // SAFETY: `new` has made every home in an `Rc`, and this one is alive (L1).
            return Some(unsafe {
                Rc::increment_strong_count(link);
                Rc::from_raw(link)
            });
        }
        link = home.next.get();
    }
    None
}
