//! The tasks that run on this thread right now, and the scope trees of all its loops.
//!
//! - **T1** The thread-local holds null, or pointers to the tasks, their driver and the context. [`enter`] and
//!   [`enter_context`] have borrowed these further up this thread's stack. They put the old ones back before their
//!   borrow ends, also when they unwind. So what is reached here is alive.
//! - **T2** It is `const` and has no destructor: it can be read at any time, also while the thread's
//!   other thread-locals are being destroyed.
//! - **L1** The list of a thread points to nodes that are alive. A node leaves the list in its destructor, and a
//!   [`Listed`] is neither `Send` nor `Sync`.
//! - **L2** Nothing foreign runs while the list is walked. The scopes that were found there come out with a reference
//!   of their own, as foreign code may drop the loop meanwhile.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use crate::cell::cell_ref::{LocalRef, Owner};
use crate::cell::header::Header;
use crate::context::values::Context;
use crate::engine::local::Local;
use crate::scopes::loop_scopes::LoopScopes;

#[derive(Clone, Copy)]
struct Current {
    tasks: *const Local,
    driver: Option<*const dyn Any>,
    /// The context of the innermost [`Context::run`] since then.
    context: *const Context,
    /// The step under way at that call. The context is not that of steps of other tasks, which run if the
    /// loop is run from within the call.
    context_of: Option<NonNull<Header>>,
}

const NOBODY: Current = Current {
    tasks: ptr::null(),
    driver: None,
    context: ptr::null(),
    context_of: None,
};

#[cfg(not(loom))]
thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOBODY) };
}

#[cfg(loom)]
loom::thread_local! {
    static CURRENT: Cell<Current> = Cell::new(NOBODY);
}

/// Calls `f` with the tasks that run on this thread.
#[inline]
pub(crate) fn tasks<R>(f: impl FnOnce(Option<&Local>) -> R) -> R {
    // SAFETY: T1.
    f(unsafe { pointer().as_ref() })
}

#[inline]
fn pointer() -> *const Local {
    CURRENT.with(Cell::get).tasks
}

/// Whether these are the tasks that run on this thread.
pub(crate) fn is(local: &Local) -> bool {
    ptr::eq(pointer(), local)
}

/// Calls `f` with the tasks of that owner, if they run on this thread.
// Always: debug builds keep a frame for each call, and children run within `f`.
#[inline(always)]
pub(crate) fn tasks_of<R>(owner: Option<&Owner>, f: impl FnOnce(Option<&Local>) -> R) -> R {
    // SAFETY: T1.
    f(unsafe { pointer_of(owner).as_ref() })
}

/// The tasks that run on this thread, if they have that owner.
#[inline]
fn pointer_of(owner: Option<&Owner>) -> *const Local {
    tasks(|tasks| match tasks {
        Some(tasks) if owner == Some(&tasks.lease.owner()) => ptr::from_ref(tasks),
        _ => ptr::null(),
    })
}

/// Calls `f` with the tasks that `cell` belongs to, if they run here and now.
pub(crate) fn of<R>(cell: &LocalRef, f: impl FnOnce(Option<&Local>) -> R) -> R {
    tasks(|tasks| f(tasks.filter(|tasks| cell.is_owned_by(tasks.owner()))))
}

/// Calls `f` with the tasks that run on this thread and the one whose step is under way, if there is one.
#[inline]
pub(crate) fn running<R>(f: impl FnOnce(Option<(&Local, &LocalRef)>) -> R) -> R {
    tasks(|tasks| match tasks {
        Some(tasks) => tasks.step.with(|task| f(task.map(|task| (tasks, task)))),
        None => f(None),
    })
}

/// Whether code here and now runs in the step of a task.
///
/// ```
/// use asyncio_task::{Tasks, is_in_task};
/// assert!(!is_in_task());
/// let tasks = Tasks::new(|| ());
/// let mut task = tasks.spawn(async { is_in_task() });
/// tasks.enter(&(), || tasks.run_one());
/// assert!(task.try_take().unwrap().unwrap());
/// ```
#[must_use]
#[inline]
pub fn is_in_task() -> bool {
    running(|step| step.is_some())
}

/// A number of the step under way, or `None` outside of any task. Two polls of a future with the same number on one
/// loop belong to the same step. The first step of a task that [starts at once](crate::SpawnOptions::eager_start)
/// belongs to that of the task that spawned it.
#[must_use]
#[inline]
pub fn current_step() -> Option<u64> {
    running(|step| step.map(|(tasks, _)| tasks.step_number()))
}

/// A number below `n` from the seed that orders the tasks of the running loop. `None` without a seed, which is the rule
/// outside of tests: then code that looks at several futures looks at them in their order.
///
/// ```
/// use asyncio_task::{Tasks, order_below};
/// let tasks = Tasks::new(|| ());
/// tasks.enter(&(), || assert_eq!(order_below(3), None));
/// tasks.order_by(7);
/// tasks.enter(&(), || assert!(order_below(3) < Some(3)));
/// ```
///
/// # Panics
///
/// If `n` is zero and there is a seed.
#[must_use]
#[inline]
pub fn order_below(n: usize) -> Option<usize> {
    tasks(|tasks| {
        let order = tasks?.order()?;
        assert!(n > 0, "no number is below zero");
        Some(order.below(n))
    })
}

/// Ends the turn under way on this thread after the step under way, if there is one.
#[cold]
pub(crate) fn end_turn() {
    tasks(|tasks| tasks.map(|tasks| tasks.turn.spend()));
}

/// Calls `f` with the driver of the current tasks, if it is a `C`. So an event
/// loop built on [`Tasks`](crate::Tasks) finds itself again without a thread-local of its own.
///
/// ```
/// # use asyncio_task::{Tasks, with_driver};
/// struct Loop { turns: u32 }
/// let tasks = Tasks::new(|| ());
/// let me = Loop { turns: 3 };
/// tasks.enter(&me, || with_driver(|me: Option<&Loop>| assert_eq!(me.unwrap().turns, 3)));
/// with_driver(|me: Option<&Loop>| assert!(me.is_none()));
/// ```
#[inline]
pub fn with_driver<C: Any, R>(f: impl FnOnce(Option<&C>) -> R) -> R {
    let driver = CURRENT.with(Cell::get).driver;
    // SAFETY: T1.
    f(driver.and_then(|driver| unsafe { &*driver }.downcast_ref::<C>()))
}

/// Whether the current context may be another than that of the running task, or of `tasks`. That is so if a
/// `Context::run` is under way, or if other tasks are the current ones.
#[inline]
pub(crate) fn is_context_elsewhere(tasks: &Local) -> bool {
    let current = CURRENT.with(Cell::get);
    !current.context.is_null() || !ptr::eq(current.tasks, tasks)
}

/// The context that code here runs in: that of `Context::run`, of the task, of the loop. A task that has
/// none gets one if `make` says so.
pub(crate) fn context(make: bool) -> Option<Context> {
    let current = CURRENT.with(Cell::get);
    // SAFETY: T1.
    let tasks = unsafe { current.tasks.as_ref() };
    // SAFETY: T1.
    match unsafe { current.context.as_ref() } {
        Some(context) if current.context_of == step(tasks) => Some(context.clone()),
        _ => tasks?.context(make),
    }
}

fn step(tasks: Option<&Local>) -> Option<NonNull<Header>> {
    tasks.and_then(|tasks| tasks.step.as_raw())
}

/// Makes `tasks` and its driver the current ones while `f` runs.
pub(crate) fn enter<R>(tasks: &Local, driver: &dyn Any, f: impl FnOnce() -> R) -> R {
    with(
        Current {
            tasks,
            driver: Some(ptr::from_ref(driver)),
            ..NOBODY
        },
        f,
    )
}

/// Makes `context` the current one while `f` runs.
pub(crate) fn enter_context<R>(context: &Context, f: impl FnOnce() -> R) -> R {
    with(
        Current {
            context,
            context_of: tasks(step),
            ..CURRENT.with(Cell::get)
        },
        f,
    )
}

fn with<R>(now: Current, f: impl FnOnce() -> R) -> R {
    struct Restore(Current);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.with(|current| current.set(self.0));
        }
    }
    let _restore = Restore(CURRENT.with(|current| current.replace(now)));
    f()
}

thread_local! {
    /// The scope trees of this thread's loops.
    static FIRST: Cell<*const Node> = const { Cell::new(ptr::null()) };
}

struct Node {
    scopes: Rc<LoopScopes>,
    next: Cell<*const Node>,
}

/// The scopes of a loop are on the list of its thread for as long as this lives.
// No `Box`: that would be the only pointer to its content, and the list has others.
pub(crate) struct Listed(Rc<Node>);

impl Listed {
    pub(crate) fn new(scopes: Rc<LoopScopes>) -> Self {
        let node = Rc::new(Node {
            scopes,
            next: Cell::new(FIRST.get()),
        });
        FIRST.set(Rc::as_ptr(&node));
        Self(node)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let this = Rc::as_ptr(&self.0);
        let mut link = FIRST.get();
        if ptr::eq(link, this) {
            return FIRST.set(self.0.next.get());
        }
        // SAFETY: L1, for all that is on the list; this node itself is alive until this returns.
        while let Some(node) = unsafe { link.as_ref() } {
            link = node.next.get();
            if ptr::eq(link, this) {
                return node.next.set(self.0.next.get());
            }
        }
    }
}

/// The scopes of a loop of this thread, also of one that does not run.
#[cold]
pub(crate) fn find_scopes(is_it: impl Fn(&LoopScopes) -> bool) -> Option<Rc<LoopScopes>> {
    let mut link = FIRST.get();
    // SAFETY: L1; the list does not change meanwhile (L2).
    while let Some(node) = unsafe { link.as_ref() } {
        if is_it(&node.scopes) {
            return Some(node.scopes.clone());
        }
        link = node.next.get();
    }
    None
}
