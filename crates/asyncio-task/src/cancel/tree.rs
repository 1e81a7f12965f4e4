//! The nodes of the tree: coming, going, and which encloses which.

use std::fmt;
use std::marker::PhantomData;

use super::allowance::Allowance;
use super::key::Generation;
use super::node::{Frame, Links, Node, Unresolved, Wakes};
use super::slab::Slab;
use super::{DropLater, Place, Request, ScopeKey, Task};

/// The cancel scopes of one loop, whose tasks are `T`.
pub(crate) struct ScopeTree<T: Task> {
    pub(super) nodes: Slab<Node<T>>,
    /// The scopes whose polls are under way, the innermost last.
    pub(super) frames: Vec<Frame<T::Id>>,
    pub(super) last_request: Request,
    /// The request that deadlines of one moment make together; 0: none yet. The next delivery ends the moment.
    pub(super) of_this_moment: Request,
    /// Counts scopes that open, so that earlier scopes differ from later ones.
    pub(super) opened: u64,
    /// Counts scopes that handled a request.
    pub(super) handled: u64,
    pub(super) allowance: Allowance,
}

/// Whether a scope was removed.
pub(crate) enum Removal<T> {
    Done(DropLater<T>),
    /// It is here: something was asked of it.
    Asked,
}

impl<T: Task> Default for ScopeTree<T> {
    fn default() -> Self {
        Self {
            nodes: Slab::default(),
            frames: Vec::new(),
            last_request: 0,
            of_this_moment: 0,
            opened: 0,
            handled: 0,
            allowance: Allowance::default(),
        }
    }
}

impl<T: Task> ScopeTree<T> {
    pub(super) fn get(&self, key: ScopeKey) -> Option<&Node<T>> {
        let node = self.nodes.get(key.index as usize)?;
        (node.generation == Some(key.generation)).then_some(node)
    }

    pub(super) fn get_mut(&mut self, key: ScopeKey) -> Option<&mut Node<T>> {
        let node = self.nodes.get_mut(key.index as usize)?;
        (node.generation == Some(key.generation)).then_some(node)
    }

    pub(super) fn key_of(&self, index: u32) -> ScopeKey {
        let generation = self.nodes[index as usize].generation;
        ScopeKey {
            index,
            generation: generation.expect("a linked node is in use"),
            local: PhantomData,
        }
    }

    /// The scope at a place.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> Option<ScopeKey> {
        let generation = self.nodes.get(place.0 as usize)?.generation?;
        Some(ScopeKey {
            index: place.0,
            generation,
            local: PhantomData,
        })
    }

    pub(crate) fn contains(&self, key: ScopeKey) -> bool {
        self.get(key).is_some()
    }

    /// How many scopes are here.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A new scope inside of `parent`, or inside of none if that is gone.
    pub(crate) fn insert(&mut self, parent: Option<ScopeKey>) -> ScopeKey {
        self.insert_in(self.place_of(parent))
    }

    /// A new scope inside of the one at that place. Inside of none, if there is none.
    pub(crate) fn insert_in(&mut self, around: Place) -> ScopeKey {
        let generation = Generation::next();
        // The slab has fewer than 2³² places.
        let index = self.nodes.insert() as u32;
        self.opened += 1;
        let opened_at = self.opened;
        let (parent, next) = self.put_first(index, around);
        let node = &mut self.nodes[index as usize];
        node.generation = Some(generation);
        node.opened_at = opened_at;
        (node.parent, node.next) = (parent, next);
        ScopeKey {
            index,
            generation,
            local: PhantomData,
        }
    }

    /// A scope that stands for something which ends in its own time.
    pub(crate) fn insert_observed(&mut self, around: Place) -> ScopeKey {
        let key = self.insert_in(around);
        self.nodes[key.index as usize].observed = true;
        key
    }

    pub(super) fn link(&mut self, key: ScopeKey, parent: ScopeKey) {
        let around = self.place_of(Some(parent));
        let (parent, next) = self.put_first(key.index, around);
        let node = &mut self.nodes[key.index as usize];
        (node.parent, node.next) = (parent, next);
        let share = self.nodes[key.index as usize].share();
        self.recount(parent, Unresolved::NOTHING, share);
    }

    /// The place of a scope, if that is here.
    fn place_of(&self, key: Option<ScopeKey>) -> Place {
        Place::of(key.filter(|&key| self.contains(key)))
    }

    /// Makes a scope the first of those inside of the one at that place. Gives what it has to note: its parent, if
    /// there is one, and the next one.
    #[inline]
    fn put_first(&mut self, index: u32, around: Place) -> (Option<ScopeKey>, Option<u32>) {
        let Some(node) = self.nodes.get_mut(around.0 as usize) else {
            return (None, None);
        };
        let Some(generation) = node.generation else {
            return (None, None);
        };
        let next = node.first_child.replace(index);
        if let Some(next) = next {
            self.nodes[next as usize].previous = Some(index);
        }
        let parent = ScopeKey {
            index: around.0,
            generation,
            local: PhantomData,
        };
        (Some(parent), next)
    }

    pub(super) fn unlink(&mut self, key: ScopeKey) {
        let node = &mut self.nodes[key.index as usize];
        let (share, links) = (node.share(), node.take_links());
        self.recount(links.parent, share, Unresolved::NOTHING);
        self.close_gap(links);
    }

    /// Connects the neighbours of a scope that has left its place.
    #[inline]
    pub(super) fn close_gap(&mut self, left: Links) {
        if let Some(next) = left.next {
            self.nodes[next as usize].previous = left.previous;
        }
        match (left.previous, left.parent) {
            (Some(previous), _) => self.nodes[previous as usize].next = left.next,
            (None, Some(parent)) => self.nodes[parent.index as usize].first_child = left.next,
            (None, None) => {}
        }
    }

    /// A scope is over: what is inside of it has no enclosing scope until it is polled again. The result is
    /// to be dropped when the tree is not borrowed any more.
    pub(crate) fn remove(&mut self, key: ScopeKey) -> Option<DropLater<T>> {
        let node = self.get(key)?;
        let (has_children, is_asked) = (node.first_child.is_some(), node.cancel.is_some());
        if has_children {
            self.let_children_go(key);
        }
        if is_asked {
            self.forget_asked(key);
        }
        Some(self.take_out(key.index))
    }

    /// [`remove`](Self::remove), unless something was ever asked of the scope. Nearly always, nothing was.
    #[inline]
    pub(crate) fn remove_unasked(&mut self, key: ScopeKey) -> Removal<T> {
        match self.get(key) {
            Some(node) if node.cancel.is_some() => Removal::Asked,
            Some(node) if node.first_child.is_none() => Removal::Done(self.take_out(key.index)),
            Some(_) => {
                self.let_children_go(key);
                Removal::Done(self.take_out(key.index))
            }
            None => Removal::Done(DropLater(Wakes::Nobody)),
        }
    }

    /// The same, for the scope at a place.
    #[inline]
    pub(crate) fn remove_unasked_at(&mut self, place: Place) -> Option<DropLater<T>> {
        match self.remove_unasked(self.at(place)?) {
            Removal::Done(rest) => Some(rest),
            Removal::Asked => None,
        }
    }

    /// Takes out a scope of which nothing is asked, and in which there is none.
    fn take_out(&mut self, index: u32) -> DropLater<T> {
        let node = &mut self.nodes[index as usize];
        node.generation = None;
        node.polling = false;
        node.observed = false;
        node.shielded = false;
        let links = node.take_links();
        let wakes = std::mem::replace(&mut node.wakes, Wakes::Nobody);
        self.close_gap(links);
        self.nodes.remove(index as usize);
        DropLater(wakes)
    }

    /// Forgets the requests to a scope that is over.
    #[cold]
    pub(super) fn forget_asked(&mut self, key: ScopeKey) {
        self.change(key, |node| {
            node.cancel = None;
            node.inside = Unresolved::NOTHING;
            node.leftover = false;
            node.dropping = false;
        });
    }

    pub(super) fn let_children_go(&mut self, key: ScopeKey) {
        while let Some(child) = self.nodes[key.index as usize].first_child {
            let child = self.key_of(child);
            self.unlink(child);
        }
    }

    /// The root of a task.
    pub(crate) fn insert_root(&mut self, task: T) -> ScopeKey {
        let root = self.insert(None);
        self.nodes[root.index as usize].wakes = Wakes::Root(task);
        root
    }

    /// The task that a scope belongs to; `None` if it has not been polled since the enclosing scope went.
    pub(crate) fn task_of(&self, key: ScopeKey) -> Option<T> {
        let mut node = self.get(key)?;
        while let Some(parent) = node.parent {
            node = self.get(parent)?;
        }
        match &node.wakes {
            Wakes::Root(task) => Some(task.clone()),
            _ => None,
        }
    }

    /// A scope and its enclosing scopes, as far as requests come in from there.
    pub(super) fn upwards(&self, key: ScopeKey) -> impl Iterator<Item = &Node<T>> {
        let mut next = Some(key);
        std::iter::from_fn(move || {
            let node = self.get(next?)?;
            next = node.parent.filter(|&parent| !self.is_observed(parent));
            Some(node)
        })
    }

    pub(super) fn is_observed(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.observed)
    }
}

impl<T: Task> fmt::Debug for ScopeTree<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeTree({} scopes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its place in the slab goes to another scope, which keeps its own scopes.
    #[test]
    fn a_scope_that_is_over_lets_the_scopes_inside_go() {
        let mut tree = ScopeTree::<u32>::default();
        let root = tree.insert_root(7);
        let over = tree.insert(Some(root));
        let parked = tree.insert(Some(over));
        drop(tree.remove_unasked(over));
        let next = tree.insert(Some(root));
        assert_eq!(next.index, over.index);
        let inside = tree.insert(Some(next));
        assert!(tree.get(parked).is_some_and(|node| node.parent.is_none()));
        drop(tree.remove(parked));
        let first = tree.get(next).and_then(|node| node.first_child);
        assert_eq!(first, Some(inside.index));
    }
}
