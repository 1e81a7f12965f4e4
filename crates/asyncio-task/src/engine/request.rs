//! Requests to cancel a task.

use std::sync::Arc;

use crate::cancel::{Origin, Place};
use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::cell::state::{CancelRequest, LastPoll};
use crate::engine::current;
use crate::scopes;
use crate::scopes::loop_scopes::TaskScopes;

/// Asks a task to end that nothing needs any more, unless it has been asked already.
pub(crate) fn cancel_once(cell: &LocalRef) -> bool {
    if cell.root() != Place::NONE || cell.state.is_done() || cell.state.is_cancelling() {
        return request(cell, scopes::origin_of_drop(cell), None, LastPoll::Allowed);
    }
    // Most often: all there is to note is in the cell.
    cell.marks.set(Mark::Unneeded);
    wake_to_end(cell, cell.state.cancel(cell.is_posted(), false));
    true
}

/// Requests a task to end, if a request of this origin is news there. `false` if it has ended.
pub(crate) fn request(
    cell: &LocalRef,
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
    let scoped = cell.root() != Place::NONE;
    let again = cell.state.is_cancelling();
    let request = cell.state.cancel(cell.is_posted(), scoped);
    if origin.is_unneeded() {
        cell.marks.set(Mark::Unneeded);
    }
    let travels = origin.is_passed_on() && cell.state.has_last_chance();
    if scoped {
        scopes::with_root(cell, |tree, root| {
            // This wakes the task below.
            let _ = tree.request(root, false, origin, message);
            if tree.is_unwanted(root) {
                cell.state.refuse_last_poll();
            }
        });
    } else if again || travels || message.is_some() {
        cell.extra_or_new().note_request(again, origin, message);
    }
    if refused {
        refuse_last_poll(cell);
    } else if last_poll == LastPoll::OfAwaited {
        cell.state.refuse_last_poll();
    }
    wake_to_end(cell, request);
    true
}

/// Requests a task to end as soon as it propagates no other request. So this interrupts no cleanup. It takes effect
/// when the other request is answered.
pub(crate) fn request_when_free(cell: &LocalRef, origin: Origin, last_poll: LastPoll) {
    let is_free = cell.state.is_done() || !cell.state.is_cancelling();
    if is_free || scopes::with_root(cell, |tree, root| tree.obstacle(root)) == Some(None) {
        request(cell, origin, None, last_poll);
        return;
    }
    // Without a root, nothing in it has heard of the earlier request. Without a poll, nothing will.
    let refused = last_poll == LastPoll::Refused;
    if cell.root() != Place::NONE || !refused {
        scopes::note_overdue(cell, origin);
    }
    if refused {
        refuse_last_poll(cell);
    }
}

/// Wakes a task that has been asked to end, if it would not see that without.
#[inline]
fn wake_to_end(cell: &LocalRef, request: CancelRequest) {
    match request {
        CancelRequest::Done | CancelRequest::Noted => {}
        CancelRequest::Wake => current::of(cell, |tasks| match tasks {
            Some(tasks) => tasks.wake(cell),
            None => cell.post_wake(),
        }),
    }
}

/// Nothing can take a value of a task any more: no request leaves it a poll, nor does one that was made before.
pub(crate) fn refuse_last_poll(cell: &LocalRef) {
    cell.state.refuse_last_poll();
    scopes::with_root(cell, TaskScopes::refuse_last_poll);
}

/// Nothing can take a value of a task any more, which keeps the last poll that it has.
pub(crate) fn refuse_later_polls(cell: &LocalRef) {
    scopes::with_root(cell, TaskScopes::refuse_later_polls);
}

/// How many requests to cancel a task are open.
pub(crate) fn cancelling(cell: &LocalRef) -> usize {
    if cell.state.is_done() {
        return 0;
    }
    if let Some(requests) = scopes::with_root(cell, |tree, root| tree.requests(root)) {
        return requests;
    }
    let further = cell.extra().map_or(0, |extra| extra.further_requests());
    usize::from(cell.state.is_cancelling()) + further
}
