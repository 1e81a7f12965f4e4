//! Tasks that borrow: children which live no longer than what they borrow, without a runtime's promise to
//! wait for them.
//!
//! [`Children`] is the part that groups use. `members.rs` runs and ends the children.

pub(crate) mod child_set;
pub(crate) mod handover;
mod members;
pub(crate) mod round;

use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cancel::{HeardRequest, Origin};
use crate::cell::cell_ref::{ChildQueue, LocalRef};
use crate::cell::marks::Mark;
use crate::cell::state::LastPoll;
use crate::children::child_set::ChildSet;
use crate::children::handover::{Keeps, Taker, last_polls};
use crate::children::members::{Members, NoBody};
use crate::engine::current;
use crate::engine::request;
use crate::handle::id::TaskId;
use crate::handle::spawn_options::SpawnOptions;
use crate::handle::task::Task;
use crate::handle::task_ref::TaskRef;
use crate::scopes::awaits;

/// Tasks that may borrow, run by the code that has this. A building block of task groups.
///
/// They are tasks like others, with names, scopes and handles, except that they run only in
/// [`poll_woken`](Self::poll_woken), and end with this at the latest. They belong to the loop that the first
/// of them was spawned on.
pub struct Children<'env> {
    members: Members<'env>,
}

impl<'env> Children<'env> {
    /// No children yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            members: Members::new(),
        }
    }

    /// No children yet, for parts of the enclosing task that users do not see as tasks. They run in the order in which
    /// they are woken, also if a [seed](crate::Tasks::order_by) orders all others.
    #[must_use]
    pub fn in_order() -> Self {
        let children = Self::new();
        children.set().in_order.set(true);
        children
    }

    #[inline]
    fn set(&self) -> &ChildSet {
        self.members.set()
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
        self.members
            .spawn_with(options, Location::caller(), future, None)
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
        self.members
            .spawn_with(options, Location::caller(), future, Some(&mut panicked))
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
        self.members.spawn_at(location, future)
    }

    /// Runs a step of each child that was woken before this call, in the order in which they were woken. Children that
    /// are woken meanwhile have their turn in the next call, and the waker of `cx` is woken for it. So it is for
    /// children that are left when the budget of the loop's turn is spent.
    ///
    /// # Panics
    ///
    /// On another loop than they were spawned on, while there are any.
    pub fn poll_woken(&self, cx: &mut Context<'_>) {
        self.members.run(cx, None::<&mut NoBody>, None);
    }

    /// [`poll_woken`](Self::poll_woken), which calls `panicked` for each child that ends with a panic, before the panic
    /// reaches other code.
    ///
    /// # Panics
    ///
    /// As [`poll_woken`](Self::poll_woken).
    pub fn poll_woken_with(
        &self,
        cx: &mut Context<'_>,
        mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>),
    ) {
        self.members
            .run(cx, None::<&mut NoBody>, Some(&mut panicked));
    }

    /// [`poll_woken_with`](Self::poll_woken_with), with a body: a part of the calling task. It is polled like a child
    /// when it was woken, and in the first call. It has a waker of its own, and is not listed.
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
        self.members.run(cx, Some(&mut body), Some(&mut panicked));
    }

    /// How many have not ended.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.set().members.len()
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that have not ended, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<TaskRef> {
        let cells = self.set().sorted_cells().into_iter();
        cells.map(TaskRef::new).collect()
    }

    /// Asks all to end, and perhaps says why. They do so in [`poll_woken`](Self::poll_woken).
    pub fn cancel(&self, message: Option<&Arc<str>>, last_poll: LastPoll) {
        self.request(self.new_origin(), message, last_poll);
    }

    /// Passes on to all a request that a [`Listener`](crate::Listener) has heard. As it keeps its identity, those
    /// that it has come to before are not asked again. `last_poll` holds unless the request
    /// [dismisses](HeardRequest::dismissed): then there is none.
    pub fn pass_on(&self, request: &HeardRequest, last_poll: LastPoll) {
        let last_poll = match request.dismissed {
            true => LastPoll::Refused,
            false => last_poll,
        };
        self.set().heard_by.set(request.heard_by);
        // The request may come from a member that passed it on before.
        let has_passed_on = |cell: &LocalRef| cell.marks.has(Mark::PassedOn);
        let comes_back = self.set().cells().iter().any(has_passed_on);
        self.request(request.origin, request.message.as_ref(), last_poll);
        if comes_back {
            awaits::break_here();
        }
    }

    /// Whether a request to any child but `except` is open.
    #[must_use]
    pub fn is_any_cancelling(&self, except: Option<crate::TaskId>) -> bool {
        let is_it = |cell: &LocalRef| Some(cell.id) != except && request::cancelling(cell) > 0;
        self.set().is_any(is_it)
    }

    /// Asks all to end that have been asked before, for another reason. No cleanup is interrupted: a child that
    /// propagates the earlier request is asked if it answers that. Those whose value nothing takes lose the last poll
    /// that the earlier request has left them.
    pub fn cancel_when_free(&self) {
        let origin = self.new_origin();
        self.ask(LastPoll::IfAwaited, |cell, last_poll| {
            request::request_when_free(cell, origin, last_poll);
        });
    }

    /// The origin of a request that begins here and goes to all.
    fn new_origin(&self) -> Origin {
        self.set().with_tasks(|tasks| match tasks {
            Some(tasks) => tasks.scopes.borrow_mut().new_origin(),
            None => Origin::ANEW,
        })
    }

    fn request(&self, origin: Origin, message: Option<&Arc<str>>, last_poll: LastPoll) {
        self.ask(last_poll, |cell, last_poll| {
            request::request(cell, origin, message.cloned(), last_poll);
        });
    }

    /// Calls `ask` for each, oldest first, with the last poll that this rule leaves it.
    fn ask(&self, rule: LastPoll, ask: impl Fn(&LocalRef, LastPoll)) {
        if matches!(rule, LastPoll::IfAwaited | LastPoll::Refused) {
            self.set().handover.end();
        }
        let cells = self.set().sorted_cells();
        if !matches!(rule, LastPoll::IfAwaited | LastPoll::IfHeld) {
            return cells.iter().for_each(|cell| ask(cell, rule));
        }
        let keeps = self.last_polls(&cells, rule);
        for (cell, keeps) in cells.iter().zip(keeps) {
            match keeps {
                Keeps::Poll => ask(cell, LastPoll::Allowed),
                Keeps::OnePoll => {
                    ask(cell, LastPoll::Allowed);
                    request::refuse_later_polls(cell);
                }
                Keeps::OfAwaited => ask(cell, LastPoll::OfAwaited),
                Keeps::Nothing => ask(cell, LastPoll::Refused),
            }
        }
    }

    /// Decides for each of these members, oldest first, whether it keeps its last poll when all are asked to end.
    fn last_polls(&self, cells: &[LocalRef], rule: LastPoll) -> Vec<Keeps> {
        // A combinator may have polled the group with a waker of its own. The body stands for the task that ran it
        // first.
        let runners = [self.set().runner(), self.members.body_id()];
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
            let Some(awaiting) = awaits::awaiter_by_handle(cell) else {
                return Taker::Outside;
            };
            if runners.contains(&Some(awaiting.id)) {
                return body;
            }
            // If it is no member, it may belong to a group that a member runs.
            let runs_it = || current::tasks(|tasks| tasks?.children_of(&awaiting)?.runner());
            let found = member(awaiting.id).or_else(|| member(runs_it()?));
            found.map_or(Taker::Outside, Taker::Member)
        };
        last_polls(cells.len(), taker, |place| cells[place].state.expects())
    }

    /// Says whether the first value of a member decides what becomes of the others, as in a race. As long as it does,
    /// the groups that run in members hand values over within one step. So no value is under way at that moment.
    pub fn set_contest(&self, on: bool) {
        self.set().handover.set_contest(on);
    }

    /// Drops the futures of all, here and now. Children that a destructor spawns are dropped as well.
    ///
    /// A child that runs at this moment, because it calls this itself, ends when its step is over.
    pub fn end(&self) {
        self.members.end(None);
    }

    /// [`end`](Self::end), telling `panicked` of the panics of destructors.
    pub fn end_with(&self, mut panicked: impl FnMut(&TaskRef, Box<dyn Any + Send>)) {
        self.members.end(Some(&mut panicked));
    }
}

impl Default for Children<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Children({} of them)", self.len())
    }
}
