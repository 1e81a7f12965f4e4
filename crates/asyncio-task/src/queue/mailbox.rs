//! The mailbox of a thread's tasks: the one place where other threads reach them.
//!
//! ```text
//!  another thread                                the owner's thread
//!  post: lock, push, unlock                      about to park: AWAKE ─► PARKED, or find NOTIFIED
//!        park word: NOTIFIED, unless it is       after a wait:  ──► AWAKE
//!        if it was PARKED: unpark                each turn:     NOTIFIED ─► AWAKE, then empty it
//! ```
//!
//! - **M1** A letter is in the box before the park word says so, and the owner clears the word before
//!   it empties the box. So a letter is seen in this turn or announces itself for the next. (The lock
//!   orders the letters, and what was written before them; the word needs no more than to be exchanged.)
//! - **M2** Posting never waits for the owner: the box is unbounded, and the lock is held for a push or
//!   a swap of two vectors, never across anyone's code.
//! - **M3** Only a parked owner is unparked, once: whoever takes the word from PARKED does it. A burst
//!   costs one system call, and the owner never signals itself.
//! - **M4** Mailboxes are never freed. They are leased, and a lease has a generation that is never used
//!   again: what was posted under an old generation is refused, so wakers and handles may outlive
//!   everything they pointed at. A process has as many mailboxes as it ever had loops at one time,
//!   and one more for each 2¹⁶ loops that had the same.
//!
//! A task refers to its mailbox, never to its loop.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::cell::cell_ref::ForeignRef;
use crate::discard::discard;
use crate::sync::{AtomicU8, Mutex, Ordering};

/// The owner is running and will look at its mailbox by itself.
const AWAKE: u8 = 0;
/// The owner waits for the operating system.
const PARKED: u8 = 1;
/// There is mail.
const NOTIFIED: u8 = 2;

/// Something that gets a parked thread going again, from any thread.
pub(crate) type Unpark = Arc<dyn Fn() + Send + Sync>;

/// What threads send each other.
pub(crate) enum Letter {
    /// A task was woken.
    Wake(ForeignRef),
    /// A task has to end: it was to take a step, and nobody will run it.
    End(ForeignRef),
    /// Something is to be called on the owner's thread. From where it was posted.
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wake(_) => "Wake",
            Self::End(_) => "End",
            Self::Call(..) => "Call",
        })
    }
}

/// See the head of this file.
pub(crate) struct Mailbox {
    word: AtomicU8,
    inner: Mutex<Inner>,
    /// How many cells were freed that refer to it.
    #[cfg(all(test, loom))]
    pub(crate) freed: loom::sync::atomic::AtomicUsize,
}

struct Inner {
    /// The generation of the present lease, or of the coming one if `unpark` is `None`.
    generation: u16,
    letters: Vec<Letter>,
    unpark: Option<Unpark>,
}

/// Mailboxes that nobody leases at the moment.
#[cfg(not(loom))]
static FREE: std::sync::Mutex<Vec<&'static Mailbox>> = std::sync::Mutex::new(Vec::new());

impl Mailbox {
    fn new() -> Self {
        Self {
            word: AtomicU8::new(AWAKE),
            inner: Mutex::new(Inner {
                generation: 0,
                letters: Vec::new(),
                unpark: None,
            }),
            #[cfg(all(test, loom))]
            freed: loom::sync::atomic::AtomicUsize::new(0),
        }
    }

    #[cfg(not(loom))]
    fn unleased() -> &'static Self {
        let free = FREE.lock().unwrap_or_else(|e| e.into_inner()).pop();
        free.unwrap_or_else(|| Box::leak(Box::new(Self::new())))
    }

    #[cfg(loom)]
    fn unleased() -> &'static Self {
        Box::leak(Box::new(Self::new()))
    }

    fn inner<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        // Nothing that runs under this lock can panic, so a poisoned one is as good as any.
        look(&mut self.inner.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// The owner of a task: a mailbox and one of its leases. No two owners are equal, past or future (M4).
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) mailbox: &'static Mailbox,
    pub(crate) generation: u16,
}

impl PartialEq for Owner {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.mailbox, other.mailbox) && self.generation == other.generation
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:p}, {})", self.mailbox, self.generation)
    }
}

impl Owner {
    /// Posts a letter and unparks the owner if it is parked. Gives the letter back if the owner is gone.
    pub(crate) fn post(self, letter: Letter) -> Result<(), Letter> {
        self.mailbox.inner(|inner| {
            if inner.generation != self.generation || inner.unpark.is_none() {
                return Err(letter);
            }
            inner.letters.push(letter);
            Ok(())
        })?;
        self.announce();
        Ok(())
    }

    fn announce(self) {
        let word = &self.mailbox.word;
        // If the word says NOTIFIED, the owner has yet to clear it and to look (M1): the lock that was
        // taken to post orders this load behind the clearing that precedes the owner's last look.
        if word.load(Ordering::Relaxed) == NOTIFIED {
            return;
        }
        if word.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            // M3. A lease that ended meanwhile has no unpark any more, or a later lease is woken for
            // nothing, which it does not mind.
            let unpark = self.mailbox.inner(|inner| inner.unpark.clone());
            if let Some(unpark) = unpark {
                unpark();
            }
        }
    }
}

/// The owner's side of a mailbox, for as long as its tasks live.
pub(crate) struct Lease {
    owner: Owner,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(f)
    }
}

impl Lease {
    /// Takes a mailbox. `unpark` is called from other threads when there is mail for a parked owner.
    pub(crate) fn new(unpark: Unpark) -> Self {
        Self::of(Mailbox::unleased(), unpark)
    }

    /// Takes this mailbox, which nobody leases.
    pub(crate) fn of(mailbox: &'static Mailbox, unpark: Unpark) -> Self {
        // A swap, not a store: so a late announcement of the last lease is before it, and seen, or after it.
        mailbox.word.swap(AWAKE, Ordering::AcqRel);
        let generation = mailbox.inner(|inner| {
            inner.unpark = Some(unpark);
            inner.generation
        });
        Self {
            owner: Owner {
                mailbox,
                generation,
            },
        }
    }

    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether there is mail. One relaxed load.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        self.owner.mailbox.word.load(Ordering::Relaxed) != AWAKE
    }

    /// Empties the box into `letters`.
    pub(crate) fn take(&self, letters: &mut Vec<Letter>) {
        debug_assert!(letters.is_empty());
        self.owner.mailbox.word.swap(AWAKE, Ordering::AcqRel); // M1: first the word, then the box
        self.owner
            .mailbox
            .inner(|inner| std::mem::swap(&mut inner.letters, letters));
    }

    /// Says that the owner is about to wait. `false` if there is mail, and waiting would miss it.
    pub(crate) fn park(&self) -> bool {
        let word = &self.owner.mailbox.word;
        word.compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Says that the owner waits no longer. Mail that came meanwhile stays announced.
    pub(crate) fn unpark(&self) {
        let word = &self.owner.mailbox.word;
        let _ = word.compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// Ends the lease: from now on posting is refused. Gives what was still in the box, and what would have
    /// unparked the owner.
    fn end(&self) -> (Vec<Letter>, Option<Unpark>) {
        let (letters, unpark, reusable) = self.owner.mailbox.inner(|inner| {
            let next = inner.generation.checked_add(1);
            inner.generation = next.unwrap_or(u16::MAX);
            (
                std::mem::take(&mut inner.letters),
                inner.unpark.take(),
                next.is_some(),
            )
        });
        #[cfg(not(loom))]
        if reusable {
            // After 2¹⁶ leases a mailbox retires, so that no generation comes twice.
            FREE.lock()
                .unwrap_or_else(|e| e.into_inner())
                .push(self.owner.mailbox);
        }
        let _ = reusable;
        (letters, unpark)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Outside the lock, and one by one: these are closures of others.
        let (letters, unpark) = self.end();
        for letter in letters {
            discard(|| drop(letter));
        }
        discard(|| drop(unpark));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    /// `waker.rs` compares owners to know its thread, so no two loops may have equal ones.
    #[test]
    fn a_mailbox_retires_before_a_generation_comes_twice() {
        static MAILBOX: LazyLock<Mailbox> = LazyLock::new(Mailbox::new);
        let mailbox: &'static Mailbox = &MAILBOX;
        let take_from_free = || {
            let mut free = FREE.lock().unwrap();
            let place = free.iter().position(|free| std::ptr::eq(*free, mailbox));
            place.map(|place| free.swap_remove(place)).is_some()
        };
        for n in 0..=u16::MAX {
            let lease = Lease::of(mailbox, Arc::new(|| ()));
            assert_eq!(lease.owner().generation, n);
            drop(lease);
            assert_eq!(take_from_free(), n < u16::MAX, "after lease {n}");
        }
    }
}
