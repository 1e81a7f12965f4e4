//! The polls of scopes that are under way, and the ways to get a scope polled.

use std::task::Waker;

use super::node::{Frame, Isolation, Unresolved, Wakes};
use super::{DropLater, Effects, Place, Resolution, ScopeKey, ScopeTree, Task, WakeTarget};

/// A scope whose poll has ended, as its frame knew it.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// `None`: it has no node.
    pub(crate) key: Option<ScopeKey>,
    /// How many scopes had handled a request before the poll.
    pub(crate) handled: u64,
    /// It had no node when the poll began. A node that it got in the poll is lost to it if the poll panics.
    pub(crate) is_new: bool,
}

impl<T: Task> ScopeTree<T> {
    /// A scope's poll begins. `node`: the one that it has, if that is here.
    #[inline]
    pub(crate) fn enter(&mut self, task: T::Id, node: Option<ScopeKey>, isolation: Isolation) {
        let mut known = node;
        if let Some(key) = node {
            match self.get_mut(key) {
                Some(node) => {
                    node.polling = true;
                    // It may have got its node while nothing had opened inside of it.
                    if !node.is_isolated(isolation) {
                        self.isolate_node(key, isolation);
                    }
                }
                None => known = None,
            }
        }
        self.frames.push(Frame {
            task,
            node: known,
            isolation,
            handled: self.handled,
            is_new: node.is_none(),
        });
    }

    /// A poll of several branches begins, of which none has a node.
    pub(crate) fn enter_branches(&mut self, task: T::Id) {
        self.frames.push(Frame {
            task,
            node: None,
            isolation: Isolation::Branch,
            handled: self.handled,
            is_new: true,
        });
    }

    /// Whether a scope has opened in what is polled, which had no node.
    pub(crate) fn has_opened(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.node.is_some())
    }

    /// Takes back the frame of several branches that are being polled, if it tells no more than that: none has a node,
    /// and no scope has handled a request meanwhile. Whose step it is.
    pub(crate) fn unframe_branches(&mut self) -> Option<T::Id> {
        let handled = self.handled;
        let is_blank = |frame: &mut Frame<T::Id>| frame.node.is_none() && frame.handled == handled;
        Some(self.frames.pop_if(is_blank)?.task)
    }

    /// The listener around the branch that is polled, and has a node.
    #[cold]
    pub(crate) fn listener_of_branch(&self) -> Option<ScopeKey> {
        self.get(self.frames.last()?.node?)?.parent
    }

    #[inline]
    fn isolate_node(&mut self, key: ScopeKey, isolation: Isolation) {
        match self.get_mut(key) {
            Some(node) if node.inside == Unresolved::NOTHING => node.isolate_node(isolation),
            _ => {
                self.change(key, |node| node.isolate_node(isolation));
            }
        }
    }

    /// [`enter`](Self::enter), for the frequent case of a scope that has a node and needs nothing before its poll. It
    /// is where it was polled last, and nothing was ever asked of it. `false`: it is not entered.
    #[inline]
    pub(crate) fn enter_calmly(&mut self, task: T::Id, key: ScopeKey, around: Place) -> bool {
        match self.get_mut(key) {
            Some(node) if node.is_calm_in(around) => node.polling = true,
            _ => return false,
        }
        self.frames.push(Frame {
            task,
            node: Some(key),
            isolation: Isolation::None,
            handled: self.handled,
            is_new: false,
        });
        true
    }

    /// Whether a scope is where it was polled last, as nearly always.
    #[inline]
    pub(crate) fn is_inside(&self, key: ScopeKey, around: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.parent == Some(around))
    }

    /// Whether an observed scope needs nothing before its poll, the frequent case. It is where it was polled last, and
    /// nothing was ever asked of it.
    #[inline]
    pub(crate) fn is_calm(&self, key: ScopeKey, around: Place) -> bool {
        self.get(key).is_some_and(|node| node.is_calm_in(around))
    }

    /// A scope waits that was polled with this waker. `is_own`: it is that of its task. `true` if that is all there is
    /// to see to: nothing was ever asked of the scope, and the waker needs no room or is the one from before.
    #[inline]
    pub(crate) fn pauses_calmly(&mut self, key: ScopeKey, waker: &Waker, is_own: bool) -> bool {
        let Some(node) = self.get_mut(key) else {
            return false;
        };
        node.polling = false;
        if node.cancel.is_some() {
            return false;
        }
        match node.wakes {
            Wakes::Nobody | Wakes::Task if is_own => {
                node.wakes = Wakes::Task;
                true
            }
            // The body of a group, say.
            Wakes::Waker(ref before) => !is_own && before.will_wake(waker),
            Wakes::Nobody | Wakes::Task | Wakes::Root(_) => false,
        }
    }

    /// A scope's poll ends. To be followed by [`pause`](Self::pause), by
    /// [`pauses_calmly`](Self::pauses_calmly) or, for one that is over, by [`remove`](Self::remove).
    #[inline]
    pub(crate) fn leave(&mut self) -> Left {
        let frame = self.frames.pop();
        debug_assert!(frame.is_some(), "polls are nested");
        match frame {
            Some(Frame {
                node: key,
                handled,
                is_new,
                ..
            }) => Left {
                key,
                handled,
                is_new,
            },
            None => Left {
                key: None,
                handled: self.handled,
                is_new: false,
            },
        }
    }

    /// A scope is not being polled any more.
    pub(crate) fn pause(&mut self, key: Option<ScopeKey>) {
        if let Some(node) = key.and_then(|key| self.get_mut(key)) {
            node.polling = false;
        }
    }

    /// The place of the scope that code here and now is in. `None`: it is the task itself. [`Place::NONE`]: the scope
    /// has no node. If it has one, then so have its enclosing scopes.
    #[inline]
    pub(crate) fn innermost_polled(&self, task: T::Id) -> Option<Place> {
        let frame = self.frames.last().filter(|frame| frame.task == task)?;
        Some(Place::of(frame.node))
    }

    /// Gives nodes to the scopes of this task that are being polled. The innermost.
    #[inline(never)]
    pub(crate) fn furnish_frames(&mut self, task: T::Id, root: ScopeKey) -> ScopeKey {
        // The scope of this task that is outermost among those without a node.
        let mine = |frame: &Frame<T::Id>| frame.task == task;
        let first = self
            .frames
            .iter()
            .rposition(|frame| !mine(frame))
            .map_or(0, |n| n + 1);
        let mut around = root;
        for n in first..self.frames.len() {
            around = match self.frames[n].node {
                Some(node) => node,
                None => {
                    if self.frames[n].isolation == Isolation::Branch {
                        let listener = self.insert(Some(around));
                        let opened = &mut self.nodes[listener.index as usize];
                        opened.polling = true;
                        opened.isolate_node(Isolation::Observed);
                        around = listener;
                    }
                    let node = self.insert(Some(around));
                    let opened = &mut self.nodes[node.index as usize];
                    opened.polling = true;
                    opened.isolate_node(self.frames[n].isolation);
                    self.frames[n].node = Some(node);
                    node
                }
            };
        }
        around
    }

    /// A scope is where it is polled: it moves there if it was elsewhere.
    #[cold]
    pub(crate) fn reparent(&mut self, key: ScopeKey, around: ScopeKey) -> Effects<T> {
        let Some(node) = self.get(key).filter(|node| node.parent != Some(around)) else {
            return Effects::NONE;
        };
        let (holding, delivered, before) =
            (node.state().holding, node.state().delivered, node.parent);
        let was_due = node.state().due.is_some();
        self.unlink(key);
        self.link(key, around);
        // It was put aside when it got the request, so the answer does not wait for it. A request that other scopes
        // have swallowed since is over for it.
        if delivered > 0
            && !self
                .upwards(around)
                .any(|node| node.state().open() >= delivered)
        {
            self.take_delivered(key);
        }
        // The scope that stood in the way of its deadline may be gone.
        let overdue = was_due.then(|| self.expire(key, false)).flatten();
        let mut effects = Effects::NONE;
        if holding > 0 {
            if self.is_unanswered(around, holding) {
                self.hold(Some(around), holding);
            }
            effects = self.resolve(before, holding, Resolution::Deferred);
        }
        effects.overdue.extend(overdue);
        effects
    }

    /// A scope was polled with its task's own waker. The old one is to be dropped outside.
    pub(crate) fn note_own_waker(&mut self, key: ScopeKey) -> Option<DropLater<T>> {
        let node = self.get_mut(key)?;
        if matches!(node.wakes, Wakes::Task | Wakes::Root(_)) {
            return None;
        }
        Some(DropLater(std::mem::replace(&mut node.wakes, Wakes::Task)))
    }

    /// Whether a scope was polled with a waker like this one last.
    pub(crate) fn has_waker(&self, key: ScopeKey, waker: &Waker) -> bool {
        match self.get(key).map(|node| &node.wakes) {
            Some(Wakes::Waker(old)) => old.will_wake(waker),
            Some(Wakes::Root(_)) | None => true,
            Some(Wakes::Nobody | Wakes::Task) => false,
        }
    }

    /// The waker that a scope was polled with last. The old one is to be dropped outside.
    pub(crate) fn set_waker(&mut self, key: ScopeKey, waker: Waker) -> Option<DropLater<T>> {
        let wakes = &mut self.get_mut(key)?.wakes;
        Some(DropLater(std::mem::replace(wakes, Wakes::Waker(waker))))
    }

    /// The task or waker that gets a scope polled. A waker is given away, because its clone would be foreign code. The
    /// next poll brings a new one.
    pub(super) fn waker_of(&mut self, key: ScopeKey) -> Option<WakeTarget<T>> {
        let node = self.get_mut(key)?;
        if node.polling {
            return None; // It looks again before its poll returns.
        }
        match std::mem::replace(&mut node.wakes, Wakes::Nobody) {
            Wakes::Nobody => None,
            Wakes::Waker(waker) => Some(WakeTarget::Waker(waker)),
            kept @ (Wakes::Task | Wakes::Root(_)) => {
                node.wakes = kept;
                self.task_of(key).map(WakeTarget::Task)
            }
        }
    }
}
