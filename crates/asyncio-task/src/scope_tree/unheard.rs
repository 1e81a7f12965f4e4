//! How many scopes were told and have not acted.
//!
//! A request that was swallowed is answered once nobody who was told is left to be heard. Each scope counts the
//! scopes inside that were told, so that the question costs one look, however many scopes are there.
//!
//! A scope counts in those around it up to the first opaque one, that one included: requests from outside do not
//! enter there, so what is told inside is of no concern further out. Each change of the count walks that way.

use super::{Request, ScopeKey, ScopeTree};

/// How many scopes inside there may be for debug builds to check the count.
#[cfg(debug_assertions)]
const SMALL: usize = 32;

impl ScopeTree {
    /// Whether anybody inside was told and has not acted.
    pub(super) fn has_unheard(&self, key: ScopeKey) -> bool {
        #[cfg(debug_assertions)]
        self.check_unheard(key);
        self.get(key).is_some_and(|node| node.told_inside > 0)
    }

    /// Takes from a scope the request that it was told of; 0 if there is none.
    pub(super) fn take_told(&mut self, key: ScopeKey) -> Request {
        let Some(node) = self.get_mut(key).filter(|node| node.told > 0) else {
            return 0;
        };
        let told = std::mem::take(&mut node.told);
        let parent = node.parent;
        self.discount_unheard(parent, 1);
        told
    }

    /// How many a scope adds to the count of the one around it.
    pub(super) fn unheard_share(&self, key: ScopeKey) -> u32 {
        self.get(key).map_or(0, |node| {
            let inside = if node.opaque { 0 } else { node.told_inside };
            inside + u32::from(node.told > 0)
        })
    }

    /// So many more were told inside of a scope.
    pub(super) fn count_unheard(&mut self, around: Option<ScopeKey>, more: u32) {
        self.change_unheard(around, more, |count, more| count + more);
    }

    /// So many fewer are left to be heard inside of a scope.
    pub(super) fn discount_unheard(&mut self, around: Option<ScopeKey>, fewer: u32) {
        self.change_unheard(around, fewer, |count, fewer| count - fewer);
    }

    fn change_unheard(
        &mut self,
        around: Option<ScopeKey>,
        by: u32,
        change: impl Fn(u32, u32) -> u32,
    ) {
        let mut next = around.filter(|_| by > 0);
        while let Some(node) = next.and_then(|key| self.get_mut(key)) {
            node.told_inside = change(node.told_inside, by);
            next = node.parent.filter(|_| !node.opaque);
        }
    }

    /// A scope becomes opaque: those around it do not count what is inside any more.
    #[cold]
    pub(super) fn enclose_unheard(&mut self, key: ScopeKey) {
        if let Some(node) = self.get(key).filter(|node| !node.opaque) {
            let (parent, inside) = (node.parent, node.told_inside);
            self.discount_unheard(parent, inside);
        }
    }

    #[cfg(debug_assertions)]
    fn check_unheard(&self, key: ScopeKey) {
        if !self.contains(key) {
            return;
        }
        let (mut to_do, mut unheard, mut seen) = (vec![key], 0, 0);
        while let Some(key) = to_do.pop() {
            let mut next = self.nodes[key.index as usize].first_child;
            while let Some(child) = next {
                seen += 1;
                if seen > SMALL {
                    return;
                }
                let node = &self.nodes[child as usize];
                next = node.next;
                unheard += u32::from(node.told > 0);
                if !node.opaque {
                    to_do.push(self.key_of(child));
                }
            }
        }
        assert_eq!(self.nodes[key.index as usize].told_inside, unheard);
    }
}
