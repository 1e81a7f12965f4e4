//! The scope of something that is waited for and ends in its own time: a task, a group of tasks.
//!
//! Nothing is dropped when a request is delivered to it. It holds the enclosing code, which does not
//! propagate the request until the listener says that what it stands for has ended.

use std::task::{Context, Waker};

use crate::cancel::{HeardRequest, Isolation, Origin, Place, Resolution, ScopeKey};
use crate::cell::cell_ref::LocalRef;
use crate::cell::waker;
use crate::engine::current;
use crate::engine::local::Local;
use crate::scopes;
use crate::scopes::scope_state::Frame;
use crate::scopes::{awaits, delivery};

/// Hears of requests to cancel on behalf of something that must be waited for.
///
/// This is a building block for futures that stand for something with an end of its own. Call [`heard`](Self::heard)
/// first in each poll, and [`wait`](Self::wait) before returning `Pending`. Call [`conclude`](Self::conclude) or
/// [`release`](Self::release) when all has ended.
#[derive(Debug, Default)]
pub struct Listener {
    key: Option<ScopeKey>,
}

impl Listener {
    /// A listener that nothing can reach yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { key: None }
    }

    /// The listener of the awaiting task, as the task's cell keeps it.
    pub(crate) fn of(cell: &LocalRef) -> Self {
        let place = cell.take_awaiting();
        let key = delivery::of_task(cell, |scopes| scopes?.borrow().at(place));
        Self { key }
    }

    /// Ends the listener that a task's cell keeps, if nothing was ever asked of its scope, as nearly always: one look
    /// at the tree. `false` if there is more to see to.
    pub(crate) fn end_unasked(cell: &LocalRef) -> bool {
        let place = cell.awaiting();
        current::of(cell, |tasks| {
            let Some(tasks) = tasks else { return false };
            let mut tree = tasks.scopes.borrow_mut();
            let Some(rest) = tree.remove_unasked_at(place) else {
                return false;
            };
            cell.set_awaiting(Place::NONE);
            drop(tree);
            drop(rest);
            true
        })
    }

    /// It stands at a scope that the tree has given it.
    pub(crate) fn stand_at(&mut self, key: Option<ScopeKey>) {
        self.key = key;
    }

    /// Puts it back.
    pub(crate) fn keep(mut self, cell: &LocalRef) {
        cell.set_awaiting(Place::of(self.key.take()));
    }

    /// Whether a request has come since the last poll. From then on the enclosing code is held. A second
    /// request is heard as well.
    #[inline]
    pub fn heard(&mut self) -> bool {
        self.key.is_some_and(|key| self.hears(key))
    }

    #[inline]
    fn hears(&mut self, key: ScopeKey) -> bool {
        current::running(|step| {
            let Some((tasks, task)) = step else {
                return false;
            };
            let mut tree = tasks.scopes.borrow_mut();
            let around = Local::innermost_place(&mut tree, task);
            if tree.is_calm(key, around) {
                return false;
            }
            drop(tree);
            self.hears_news(key, tasks, task)
        })
    }

    #[cold]
    #[inline(never)]
    fn hears_news(&mut self, key: ScopeKey, tasks: &Local, task: &LocalRef) -> bool {
        let mut tree = tasks.scopes.borrow_mut();
        let around = Local::innermost_in(&mut tree, task);
        if !tree.contains(key) {
            // It stood in a task of another loop, and begins anew here.
            drop(tree);
            self.key = None;
            scopes::close(key);
            return false;
        }
        let moved = (!tree.is_inside(key, around)).then(|| tree.reparent(key, around));
        let heard = tree.observe(key);
        drop(tree);
        if heard {
            tasks.note_passed_on();
        }
        if let Some(moved) = moved {
            tasks.scopes.apply(moved);
        }
        heard
    }

    /// The request that was heard, to be passed on. To be asked right after [`heard`](Self::heard) said `true`.
    #[must_use]
    pub fn request(&self) -> HeardRequest {
        let heard = self.key.and_then(|key| {
            delivery::of_scope(key, |scopes| {
                let tree = scopes?.borrow();
                Some(HeardRequest {
                    heard_by: Some(key),
                    origin: tree.origin_heard(key),
                    message: tree.message_heard(key),
                    dismissed: tree.is_dismissed(key),
                })
            })
        });
        heard.unwrap_or(HeardRequest {
            heard_by: None,
            origin: Origin::ANEW,
            message: None,
            dismissed: false,
        })
    }

    /// Whether the request that was heard ends code whose value nothing can take, such as a loser of a race. Then the
    /// awaited work must end without a last poll, its value must not be taken, and the enclosing code propagates the
    /// request.
    #[must_use]
    #[inline]
    pub fn is_dismissed(&self) -> bool {
        let Some(key) = self.key else { return false };
        current::tasks(|tasks| tasks.is_some_and(|tasks| tasks.scopes.borrow().is_dismissed(key)))
    }

    /// For code that has heard a request and does not pass it on. If the task is in a circle of tasks that await each
    /// other, one of these awaits ends with an error.
    pub fn break_circle(&self) {
        awaits::break_here();
    }

    /// Polls something inside that requests from outside do not enter: they are heard here instead, and passed
    /// on by the code that has the listener.
    // Always: debug builds keep a frame for each call, and polls are nested.
    #[inline(always)]
    pub fn isolate<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let frame = Frame::enter_behind(self.key, Isolation::Observed);
        let result = poll();
        self.leave(frame);
        result
    }

    /// [`isolate`](Self::isolate), where nothing passes them on: what is inside comes to its own end. There, code
    /// that [resumes](crate::Cancelled::resume) a request from outside propagates it at once, as nothing else would end
    /// it; have a [`Scope`](crate::Scope) inside to see that.
    // Always, as above.
    #[inline(always)]
    pub fn shelter<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let frame = Frame::enter_behind(self.key, Isolation::Shielded);
        let result = poll();
        self.leave(frame);
        result
    }

    #[inline]
    fn leave(&mut self, frame: Option<Frame>) {
        if let Some(frame) = frame {
            self.key = frame.leave();
        }
    }

    /// [`wait`](Self::wait), unless no scope has opened inside: then nothing there could hear of a request.
    #[inline]
    pub fn wait_if_needed(&mut self, cx: &Context<'_>) {
        if self.key.is_some() {
            self.wait(cx);
        }
    }

    /// Waits on: the awaited work is not over, and requests come to this listener.
    #[inline]
    pub fn wait(&mut self, cx: &Context<'_>) {
        current::running(|step| {
            let Some((tasks, task)) = step else {
                return;
            };
            let own_waker = waker::is_of(cx.waker(), task);
            let is_calm = self.key.is_some_and(|key| {
                let mut tree = tasks.scopes.borrow_mut();
                tree.pauses_calmly(key, cx.waker(), own_waker)
            });
            if !is_calm {
                self.begin_to_wait(tasks, task, cx.waker(), own_waker);
            }
        });
    }

    /// The first time, or where something was asked of the scope, or with a foreign waker.
    #[inline(never)]
    fn begin_to_wait(&mut self, tasks: &Local, task: &LocalRef, waker: &Waker, own_waker: bool) {
        let mut tree = tasks.scopes.borrow_mut();
        let key = match self.key.filter(|&key| tree.contains(key)) {
            Some(key) => key,
            None => {
                let around = Local::innermost_place(&mut tree, task);
                *self.key.insert(tree.insert_observed(around))
            }
        };
        if tree.pauses_calmly(key, waker, own_waker) {
            return;
        }
        drop(tree);
        tasks.note_waker(key, task, waker);
    }

    /// Ends the wait, because the awaited work is over. If a request was heard, the enclosing code propagates it at its
    /// next wait. With `swallowed` the request ends here instead. `true` if a request was heard.
    #[inline]
    pub fn conclude(&mut self, swallowed: bool) -> bool {
        self.end(if swallowed {
            Resolution::Swallowed
        } else {
            Resolution::Propagated
        })
    }

    /// Answers the request that was heard: all that it was passed on to have swallowed it. The wait goes on.
    #[cold]
    pub fn answer(&mut self) {
        if let Some(key) = self.key {
            delivery::of_scope(key, |scopes| {
                if let Some(scopes) = scopes {
                    scopes.answer_scope(key);
                }
            });
        }
    }

    /// Ends the wait, because the awaited work is over for a reason of its own. If a request was heard, it goes on to
    /// the next await of the enclosing code. A `catch_cancel` there gets it, or the code propagates it. `true` if one
    /// was heard.
    #[inline]
    pub fn release(&mut self) -> bool {
        self.end(Resolution::Deferred)
    }

    #[inline]
    fn end(&mut self, resolution: Resolution) -> bool {
        let Some(key) = self.key.take() else {
            return false;
        };
        delivery::of_scope(key, |scopes| {
            scopes.is_some_and(|scopes| scopes.conclude_scope(key, resolution))
        })
    }
}

impl Drop for Listener {
    #[inline]
    fn drop(&mut self) {
        // Dropped before its time: the request is still where it came from.
        if let Some(key) = self.key {
            scopes::close(key);
        }
    }
}
