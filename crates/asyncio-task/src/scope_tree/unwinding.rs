//! Which code unwinds, and how it is made to.

use super::{LetGo, Request, ScopeKey, ScopeTree, Wakes};

impl ScopeTree {
    /// Whether code in `here` is going to be dropped: a scope around it unwinds, this one included, or waits with that
    /// for others who clean up. An opaque scope in between passes that on, unless it keeps requests out.
    pub(crate) fn is_unwinding(&self, here: ScopeKey) -> bool {
        let mut next = Some(here);
        while let Some(node) = next.and_then(|key| self.get(key)) {
            if node.resumed > 0 {
                return true;
            }
            next = node.parent.filter(|_| !node.shut);
        }
        false
    }

    /// Makes a scope unwind although no token held it.
    pub(crate) fn resume(&mut self, key: ScopeKey, request: Request) -> LetGo {
        let births = self.births;
        let resumed = self.change(key, |node| {
            node.resumed = node.resumed.max(request);
            node.resumed_at = births;
        });
        match resumed {
            Some(()) => self.unwind(key),
            None => LetGo::default(),
        }
    }

    /// The same, for a request that begins here.
    pub(crate) fn unwind_anew(&mut self, key: ScopeKey) -> LetGo {
        let request = self.next_request();
        self.resume(key, request)
    }

    pub(super) fn unwind(&mut self, key: ScopeKey) -> LetGo {
        // A scope around that is being polled polls it once more.
        self.acts += 1;
        match self.get(key).map(|node| &node.wakes) {
            Some(Wakes::Root(task)) => LetGo {
                unwinds: Some(*task),
                ..LetGo::default()
            },
            _ => LetGo {
                wake: self.waker_of(key),
                ..LetGo::default()
            },
        }
    }
}
