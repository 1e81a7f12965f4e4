//! Biased reference counting: the references to a cell are counted in plain memory on the owner's thread, and
//! atomically on all others.
//!
//! A locked operation costs as much as the rest of a wait. Nearly every reference is made and given up on the thread of
//! the task's owner. So there are two counts, and that thread has one of them for itself (Choi, Shull and Torrellas,
//! "Biased Reference Counting", PACT 2018; PEP 703):
//!
//! ```text
//!                    owner's thread                     another thread
//!  anchored          local ± 1                          remote ± 1
//!  the last anchor   the sum is seen to be 0: free      -
//!                    else merge: remote += local − BIAS
//!  merged            remote ± 1; from 1 to 0: free      remote ± 1; from 1 to 0: free
//! ```
//!
//! A reference may be counted on one side and given up on the other. An example is a waker that is dropped on another
//! thread than it was made on, or that comes back with a message. So each count may rise and fall without end, and only
//! their sum says anything. It need not be asked for while the cell is *anchored*. There are two anchors: the reference
//! of the owner, or for a child of its child set, and that of the handle. They never leave the thread, and are counted
//! apart.
//!
//! - **N1** The local count is for the owner's thread only (C3 in `cell/mod.rs`), so it is plain. Code that knows it is
//!   on that thread uses it, whether its loop runs or not. All other code uses the remote count.
//! - **N2** While there is an anchor, `local + remote − BIAS` is the number of the other references, and the cell is
//!   not freed. The local count is flushed to the remote one before it leaves ±2¹³ of zero. So the remote count is
//!   never as low as 1. Other threads have one rule, to free at the step from 1 to 0. It does not apply, though they
//!   know nothing of anchors.
//! - **N3** When the last anchor goes and the sum is not seen to be 0, one exchange adds the local count and takes BIAS
//!   away. From then on the remote count alone is the number of references, for every thread. The exchange that takes
//!   it to 0, which may be this one, frees. The local count says `MERGED` before that, for afterwards the cell may be
//!   gone.
//! - **N4** That look at the sum only loads the remote count, and the value may be old. But if the sum is 0, there is
//!   no reference, and never will be. So a task without a waker at its end needs no exchange from birth to end.
//!   *Definition.* S is the set of references created before the load: on the owner's thread in program order, and in
//!   the remote count at or before the loaded value in its modification order. *Lemma 1.* If the release of a reference
//!   is counted in the sum, so is its creation: creation happens before release. *Lemma 2.* If r ∈ S was released by
//!   then and r′ was cloned from r, then r′ ∈ S. The clone happens before the release of r, so by coherence it is
//!   counted by then as well. *Claim.* If the sum is 0, each reference in S was released by then (lemma 1), as the
//!   anchors were. Each other reference would be the first of a chain of clones that begins at an anchor or in S, and
//!   is in S (lemma 2). So there is none.
//! - **N5** References are given up by `Release`, the merge is one, and the thread that frees does so behind an
//!   `Acquire` fence. So the other threads' uses of their references come before. Each reads the remote count at the
//!   end of a chain of exchanges, because nothing else writes it.

use crate::sync::{AtomicU32, Cell, Ordering};

/// The last two bits of the local count are the number of anchors.
const ANCHOR: u16 = 1;
const ANCHORS: u16 = 0b11;
/// The others are the number of references, from zero up and down.
const ONE: u16 = 0b100;
const ZERO: u16 = 1 << 15;
/// The local count of a cell without anchors.
const MERGED: u16 = 0;
/// Between these limits the count changes without a further check.
const LOW: u16 = 1 << 12;
const HIGH: u16 = u16::MAX - LOW;

/// The bias, which keeps the remote count away from zero while there are anchors (N2).
const BIAS: u32 = 1 << 31;
/// The highest number of references. Beyond it the count could wrap, so the process ends.
const MOST: u32 = BIAS + (1 << 30);

/// The count of the owner's thread.
pub(crate) struct LocalCount(Cell<u16>);

/// The count of the other threads; after the merge, of all threads.
pub(crate) struct RemoteCount(AtomicU32);

/// The counts of a new cell: two anchors, no other references.
#[inline]
pub(super) fn anchored() -> (LocalCount, RemoteCount) {
    let local = LocalCount(Cell::new(ZERO + 2 * ANCHOR));
    (local, RemoteCount(AtomicU32::new(BIAS)))
}

#[inline]
fn is_ordinary(n: u16) -> bool {
    n.wrapping_sub(LOW) < HIGH - LOW
}

/// How many references a local count stands for: to be added, as it wraps if there are fewer than none.
#[inline]
fn amount(n: u16) -> u32 {
    u32::from(n / ONE).wrapping_sub(u32::from(ZERO / ONE))
}

impl LocalCount {
    /// Another reference.
    #[inline]
    pub(super) fn retain(&self, remote: &RemoteCount) {
        let n = self.0.get();
        if is_ordinary(n) {
            self.0.set(n + ONE);
        } else {
            self.retain_otherwise(remote);
        }
    }

    #[cold]
    fn retain_otherwise(&self, remote: &RemoteCount) {
        if self.0.get() == MERGED {
            return remote.retain();
        }
        self.flush_into(remote);
        self.retain(remote);
    }

    /// A reference is given up. `true`: the cell is to be freed; `false`: it may be gone.
    #[inline]
    #[must_use]
    pub(super) fn release(&self, remote: &RemoteCount) -> bool {
        let n = self.0.get();
        if !is_ordinary(n) {
            return self.release_otherwise(remote);
        }
        self.0.set(n - ONE);
        false
    }

    #[cold]
    fn release_otherwise(&self, remote: &RemoteCount) -> bool {
        if self.0.get() == MERGED {
            return remote.release();
        }
        self.flush_into(remote);
        self.release(remote)
    }

    /// An anchor goes. `true`: the cell is to be freed; `false`: it may be gone.
    #[inline]
    #[must_use]
    pub(super) fn release_anchor(&self, remote: &RemoteCount) -> bool {
        let n = self.0.get() - ANCHOR;
        if n & ANCHORS != 0 {
            self.0.set(n);
            return false;
        }
        // N4; the free has the fence (N5).
        let seen = remote.0.load(Ordering::Relaxed);
        seen.wrapping_add(amount(n)) == BIAS || self.merge(remote, n)
    }

    /// N3.
    #[cold]
    fn merge(&self, remote: &RemoteCount, n: u16) -> bool {
        self.0.set(MERGED);
        let change = amount(n).wrapping_sub(BIAS);
        let before = remote.0.fetch_add(change, Ordering::Release);
        before.wrapping_add(change) == 0
    }

    /// The remote count takes over what is counted here (N2).
    fn flush_into(&self, remote: &RemoteCount) {
        let n = self.0.get();
        self.0.set(ZERO | (n & ANCHORS));
        let before = remote.0.fetch_add(amount(n), Ordering::Relaxed);
        guard(before.wrapping_add(amount(n)));
    }

    /// Touches the count, as freeing the cell does, for the model checker to see.
    #[cfg(all(test, loom))]
    pub(super) fn touch(&self) {
        self.0.set(self.0.get());
    }
}

impl RemoteCount {
    /// Another reference.
    #[inline]
    pub(super) fn retain(&self) {
        // Relaxed, as for `Arc`: a new reference is made from one that exists.
        guard(self.0.fetch_add(1, Ordering::Relaxed));
    }

    /// A reference is given up. `true`: the cell is to be freed; `false`: it may be gone.
    #[inline]
    #[must_use]
    pub(super) fn release(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Release) == 1
    }
}

#[inline]
fn guard(references: u32) {
    if references > MOST {
        too_many();
    }
}

#[cold]
fn too_many() {
    #[cfg(test)]
    panic!("too many references");
    #[cfg(not(test))]
    std::process::abort();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// The same numbers each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005) + 1;
            (self.0 >> 33) % n
        }
    }

    /// Both counts, and how many references there really are.
    struct Counted {
        local: LocalCount,
        remote: RemoteCount,
        anchors: u32,
        others: u32,
    }

    impl Counted {
        fn new() -> Self {
            let (local, remote) = anchored();
            Self {
                local,
                remote,
                anchors: 2,
                others: 0,
            }
        }

        fn retain(&mut self, at_home: bool) {
            self.others += 1;
            if at_home {
                self.local.retain(&self.remote);
            } else {
                self.remote.retain();
            }
        }

        /// Whether that was the last.
        fn release(&mut self, at_home: bool) -> bool {
            self.others -= 1;
            let freed = if at_home {
                self.local.release(&self.remote)
            } else {
                self.remote.release()
            };
            self.check(freed)
        }

        fn release_anchor(&mut self) -> bool {
            self.anchors -= 1;
            let freed = self.local.release_anchor(&self.remote);
            self.check(freed)
        }

        fn check(&self, freed: bool) -> bool {
            assert_eq!(freed, self.anchors + self.others == 0);
            freed
        }
    }

    #[test]
    fn the_last_one_frees_wherever_each_was_made_and_given_up() {
        let mut dice = Dice(1);
        for round in 0..4000 {
            let mut counted = Counted::new();
            let (made, given_up) = (dice.below(5), dice.below(5)); // of 4, at local
            let anchors_go = if round % 2 == 0 { 8 } else { 200 };
            loop {
                let some = counted.others > 0;
                let last = match dice.below(anchors_go) {
                    0 if counted.anchors > 0 => counted.release_anchor(),
                    n if n % 2 == 0 && (counted.anchors > 0 || some) => {
                        counted.retain(!some || dice.below(4) < made);
                        false
                    }
                    _ if some => counted.release(dice.below(4) < given_up),
                    _ => false,
                };
                if last {
                    break;
                }
                // To an end some time.
                if counted.anchors == 0 && dice.below(20) == 0 {
                    while counted.others > 1 {
                        assert!(!counted.release(dice.below(4) < given_up));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_always_made_here_and_given_up_there_wears_nothing_out() {
        for made_at_home in [true, false] {
            for anchors in [1, 0] {
                let mut counted = Counted::new();
                counted.retain(true);
                for _ in anchors..2 {
                    assert!(!counted.release_anchor());
                }
                for _ in 0..100_000 {
                    counted.retain(made_at_home);
                    assert!(!counted.release(!made_at_home));
                }
                assert_eq!(counted.release(!made_at_home), anchors == 0);
                for _ in 0..anchors {
                    assert!(counted.release_anchor());
                }
            }
        }
    }

    /// A wrapped count would free what is in use.
    #[test]
    fn references_that_are_made_and_never_given_up_end_the_process() {
        for at_home in [true, false] {
            for anchors in [2, 0] {
                let mut counted = Counted::new();
                counted.retain(true);
                for _ in anchors..2 {
                    assert!(!counted.release_anchor());
                }
                let so_far = MOST - 100_000;
                *counted.remote.0.get_mut() = so_far;
                let forgotten = catch_unwind(AssertUnwindSafe(|| {
                    (0..200_000).for_each(|_| counted.retain(at_home));
                }));
                assert!(forgotten.is_err(), "at local: {at_home}, {anchors} anchors");
            }
        }
    }
}
