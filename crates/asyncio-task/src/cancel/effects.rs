//! The effects of a change of the tree: tasks and wakers to be woken, states of tasks to be changed. The tree knows
//! neither. The caller applies the effects when the tree is not borrowed any more.

use std::task::Waker;

use super::ScopeKey;
use super::node::Wakes;

/// A task or a waker, to be woken once the tree is not borrowed any more.
pub(crate) enum WakeTarget<T> {
    Task(T),
    Waker(Waker),
}

/// The remains of a removed scope. The caller drops them when the tree is not borrowed any more, as the destructor of
/// a waker is foreign code.
#[must_use]
pub(crate) struct DropLater<T>(
    #[allow(dead_code, reason = "it is there to be dropped")] pub(super) Wakes<T>,
);

/// The effects of one change.
#[must_use]
pub(crate) struct Effects<T> {
    pub(crate) effect: Effect<T>,
    /// Scopes whose deadlines came earlier and are acted on now.
    pub(crate) overdue: Vec<WakeTarget<T>>,
}

/// The effect of a change on a request.
pub(crate) enum Effect<T> {
    None,
    /// A scope goes on with it.
    Wake(WakeTarget<T>),
    /// The request to a task has been swallowed. `apart`: so many tokens inside are of earlier requests.
    Answered {
        task: T,
        root: ScopeKey,
        apart: u32,
    },
    /// The task propagates it as a whole.
    Propagates(T),
    /// The request has come back to the task.
    AskedAgain(T),
}

impl<T> Effects<T> {
    pub(super) const NONE: Self = Self {
        effect: Effect::None,
        overdue: Vec::new(),
    };

    pub(super) fn wake(target: Option<WakeTarget<T>>) -> Self {
        Effect::from(target).into()
    }
}

impl<T> From<Option<WakeTarget<T>>> for Effect<T> {
    fn from(target: Option<WakeTarget<T>>) -> Self {
        target.map_or(Self::None, Self::Wake)
    }
}

impl<T> From<Effect<T>> for Effects<T> {
    fn from(effect: Effect<T>) -> Self {
        Self {
            effect,
            ..Self::NONE
        }
    }
}
