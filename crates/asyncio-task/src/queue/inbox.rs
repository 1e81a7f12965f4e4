//! The inbox of a thread's tasks: the one place where other threads reach them.
//!
//! ```text
//!  another thread                                the owner's thread
//!  post: lock, push,                             about to park: AWAKE ─► PARKED, or find NOTIFIED
//!        park word: NOTIFIED, unless it is,      after a wait:  ──► AWAKE
//!        unlock; if it was PARKED: unpark        each turn:     NOTIFIED ─► AWAKE, then empty it
//! ```
//!
//! - **M1** A message is in the box before the park word says so, and the owner clears the word before
//!   it empties the box. So a message is seen in this turn or announces itself for the next. (The lock
//!   orders the messages, and what was written before them; the word needs no more than to be exchanged.)
//! - **M2** Posting never waits for the owner. The box is unbounded, and the lock is held for a push or a swap of two
//!   vectors, never across foreign code.
//! - **M3** Only a parked owner is unparked, once: the thread that takes the word from PARKED does it. A burst
//!   costs one system call, and the owner never signals itself. The word is taken under the lock, so it is that of the
//!   lease under which the message was posted.
//! - **M4** Inboxes are never freed. They are leased (`owner.rs`), to one loop at a time, and the number of a lease
//!   never comes twice. A message of an old number is refused, so wakers and handles may outlive their tasks and loops.
//!   A process has as many inboxes as it ever had loops at one time, and one more for each 2¹⁶ loops that had the same.
//! - **M5** The owner may refuse calls before its lease ends. A call that was posted before is in the box, and the
//!   owner takes it; a later one goes back to its sender. Wake-ups are taken until the end.
//! - **M6** Before that the owner may hold calls back. Then a sender learns that it is far ahead, and pauses. So the
//!   calls that the owner takes last are few, although the box is unbounded.
//!
//! A task refers to its inbox, never to its loop.

use std::sync::Arc;

use crate::cell::owner::{self, Leased, Site};
use crate::discard::discard;
use crate::sync::{AtomicU8, Mutex, Ordering};

/// The owner is running and will look at its inbox by itself.
const AWAKE: u8 = 0;
/// The owner waits for the operating system.
const PARKED: u8 = 1;
/// There are messages.
const NOTIFIED: u8 = 2;

/// Something that gets a parked thread going again, from any thread.
pub(crate) type Unpark = Arc<dyn Fn() + Send + Sync>;

/// A message from one thread to another. The drop of a message may run foreign code.
pub(crate) trait Posted: Send + Sized + 'static {
    /// The inboxes for such messages that have no lease at the moment.
    #[cfg(not(loom))]
    fn free() -> &'static Free<Self>;
}

/// The owner of a task: an inbox and one of its leases.
pub(crate) type Owner<M> = owner::Owner<Inbox<M>>;

/// The owner's side of an inbox, for as long as its tasks live.
pub(crate) type Lease<M> = owner::Lease<Inbox<M>>;

/// Inboxes without a lease.
#[cfg(not(loom))]
pub(crate) struct Free<M: Posted>(std::sync::Mutex<Vec<&'static Site<Inbox<M>>>>);

#[cfg(not(loom))]
impl<M: Posted> Free<M> {
    pub(crate) const fn new() -> Self {
        Self(std::sync::Mutex::new(Vec::new()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<&'static Site<Inbox<M>>>> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// The inbox of one loop.
pub(crate) struct Inbox<M: Posted> {
    word: AtomicU8,
    inner: Mutex<Inner<M>>,
    /// How many cells were freed that refer to it.
    #[cfg(all(test, loom))]
    pub(crate) freed: loom::sync::atomic::AtomicUsize,
}

/// How the calls of other threads are taken in this lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Taken,
    /// M6
    HeldBack,
    /// M5
    Refused,
}

/// A sender is far ahead of its owner if so many messages are in the box.
const FAR_AHEAD: usize = 1 << 12;

/// How far a sender is ahead of an owner that holds calls back (M6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    Short,
    Far,
}

struct Inner<M> {
    /// The number of the present lease.
    lease: Option<u16>,
    messages: Vec<M>,
    calls: Calls,
    unpark: Option<Unpark>,
}

impl<M> Inner<M> {
    /// Announces the message that was pushed. Returns the closure to be called for it, if the owner is parked (M3).
    #[inline]
    fn announce(&self, word: &AtomicU8) -> Option<Unpark> {
        // If the word says NOTIFIED, the owner has yet to clear it and to look (M1). The lock orders this load after
        // the clearing before the owner's last look.
        if word.load(Ordering::Relaxed) == NOTIFIED {
            return None;
        }
        match word.swap(NOTIFIED, Ordering::AcqRel) {
            PARKED => self.unpark.clone(),
            _ => None,
        }
    }
}

impl<M: Posted> Inbox<M> {
    fn new() -> Self {
        Self {
            word: AtomicU8::new(AWAKE),
            inner: Mutex::new(Inner {
                lease: None,
                messages: Vec::new(),
                calls: Calls::Taken,
                unpark: None,
            }),
            #[cfg(all(test, loom))]
            freed: loom::sync::atomic::AtomicUsize::new(0),
        }
    }

    #[cfg(not(loom))]
    fn unleased() -> &'static Site<Self> {
        let free = M::free().lock().pop();
        free.unwrap_or_else(|| Box::leak(Box::new(Site::new(Self::new()))))
    }

    #[cfg(loom)]
    fn unleased() -> &'static Site<Self> {
        Box::leak(Box::new(Site::new(Self::new())))
    }

    /// Counts a cell that was freed, for the model checker. Relaxed, so that it orders nothing.
    #[cfg(all(test, loom))]
    pub(crate) fn note_free(&self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    fn inner<R>(&self, look: impl FnOnce(&mut Inner<M>) -> R) -> R {
        // Nothing that runs under this lock can panic, so a poisoned one is as good as any.
        look(&mut self.inner.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

impl<M: Posted> Owner<M> {
    #[inline]
    fn inbox(self) -> &'static Inbox<M> {
        &self.site().content
    }

    /// Posts a message and unparks the owner if it is parked. Gives the message back if the owner is gone.
    pub(crate) fn post(self, message: M) -> Result<(), M> {
        self.post_if(message, |_| true)
    }

    /// The same for a call. Gives it back as well if the owner refuses calls (M5).
    pub(crate) fn post_call(self, call: M) -> Result<Lead, M> {
        let mut lead = Lead::Short;
        self.post_if(call, |inner| {
            if inner.calls == Calls::HeldBack && inner.messages.len() >= FAR_AHEAD {
                lead = Lead::Far;
            }
            inner.calls != Calls::Refused
        })?;
        Ok(lead)
    }

    #[inline]
    fn post_if(self, message: M, accepts: impl FnOnce(&Inner<M>) -> bool) -> Result<(), M> {
        let inbox = self.inbox();
        let unpark = inbox.inner(|inner| {
            if inner.lease != Some(self.number()) || !accepts(inner) {
                return Err(message);
            }
            inner.messages.push(message);
            Ok(inner.announce(&inbox.word))
        })?;
        // Foreign code, so without the lock.
        if let Some(unpark) = unpark {
            unpark();
        }
        Ok(())
    }
}

impl<M: Posted> Lease<M> {
    /// Takes an inbox. `unpark` is called from other threads when there are messages for a parked owner.
    pub(crate) fn new(unpark: Unpark) -> Self {
        Self::of(Inbox::unleased(), unpark)
    }

    /// [`of`](Self::of), for the model checker.
    #[cfg(all(test, loom))]
    pub(crate) fn again(site: &'static Site<Inbox<M>>, unpark: Unpark) -> Self {
        Self::of(site, unpark)
    }

    /// Takes this inbox.
    ///
    /// # Panics
    ///
    /// If it has a lease, or has had its last one (M4).
    fn of(site: &'static Site<Inbox<M>>, unpark: Unpark) -> Self {
        let mut unpark = Some(unpark); // it is foreign: not dropped under the lock
        let lease = site.content.inner(|inner| {
            if inner.lease.is_some() {
                return None;
            }
            let lease = site.lease()?;
            // The last announcement of an earlier lease was made under this lock, so none comes later.
            site.content.word.store(AWAKE, Ordering::Relaxed);
            inner.unpark = unpark.take();
            inner.calls = Calls::Taken;
            inner.lease = Some(lease.owner().number());
            Some(lease)
        });
        lease.expect("an inbox has one lease at a time")
    }

    fn inbox(&self) -> &'static Inbox<M> {
        self.owner().inbox()
    }

    /// Whether there are messages. One relaxed load.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.inbox().word.load(Ordering::Relaxed) != AWAKE
    }

    /// Empties the box into `messages`.
    pub(crate) fn take(&self, messages: &mut Vec<M>) {
        debug_assert!(messages.is_empty());
        self.inbox().word.swap(AWAKE, Ordering::AcqRel); // M1: first the word, then the box
        self.inbox()
            .inner(|inner| std::mem::swap(&mut inner.messages, messages));
    }

    /// Holds calls back from now on (M6).
    pub(crate) fn hold_calls_back(&self) {
        let hold_back = |inner: &mut Inner<M>| inner.calls = Calls::HeldBack;
        self.inbox().inner(hold_back);
    }

    /// Refuses calls from now on (M5).
    pub(crate) fn refuse_calls(&self) {
        let refuse = |inner: &mut Inner<M>| inner.calls = Calls::Refused;
        self.inbox().inner(refuse);
    }

    /// Says that the owner is about to wait. `false` if there are messages, and waiting would miss them.
    pub(crate) fn park(&self) -> bool {
        let word = &self.inbox().word;
        word.compare_exchange(AWAKE, PARKED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Says that the owner waits no longer. A message that came meanwhile stays announced.
    pub(crate) fn unpark(&self) {
        let word = &self.inbox().word;
        let _ = word.compare_exchange(PARKED, AWAKE, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl<M: Posted> Leased for Inbox<M> {
    /// From now on posting is refused.
    fn end(owner: Owner<M>) {
        let (messages, unpark) = owner.inbox().inner(|inner| {
            inner.lease = None;
            (std::mem::take(&mut inner.messages), inner.unpark.take())
        });
        #[cfg(not(loom))]
        if !owner.is_last() {
            M::free().lock().push(owner.site());
        }
        // Outside the lock, and one by one: these are foreign closures.
        for message in messages {
            discard(|| drop(message));
        }
        discard(|| drop(unpark));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::AssertUnwindSafe;

    /// Nothing is sent.
    struct Nothing;

    impl Posted for Nothing {
        fn free() -> &'static Free<Self> {
            static FREE: Free<Nothing> = Free::new();
            &FREE
        }
    }

    #[test]
    fn an_inbox_retires_after_its_last_lease() {
        let inbox: &'static Site<Inbox<Nothing>> = Box::leak(Box::new(Site::new(Inbox::new())));
        let take_from_free = || {
            let mut free = Nothing::free().lock();
            let place = free.iter().position(|free| std::ptr::eq(*free, inbox));
            place.map(|place| free.swap_remove(place)).is_some()
        };
        for n in 0..=u16::MAX {
            drop(Lease::of(inbox, Arc::new(|| ())));
            assert_eq!(take_from_free(), n < u16::MAX, "after lease {n}");
        }
        let again = std::panic::catch_unwind(|| Lease::of(inbox, Arc::new(|| ())));
        assert!(again.is_err(), "it has had its last lease");
    }

    // Proves M4.
    #[test]
    fn an_inbox_has_one_lease_at_a_time() {
        let inbox: &'static Site<Inbox<Nothing>> = Box::leak(Box::new(Site::new(Inbox::new())));
        let first = Lease::of(inbox, Arc::new(|| ()));
        let second =
            std::panic::catch_unwind(AssertUnwindSafe(|| Lease::of(inbox, Arc::new(|| ()))));
        assert!(second.is_err());
        // The first one is as it was.
        assert!(first.owner().post(Nothing).is_ok());
        let owner = first.owner();
        drop(first);
        let next = Lease::of(inbox, Arc::new(|| ()));
        assert_ne!(next.owner(), owner);
    }

    // Proves M5.
    #[test]
    fn an_owner_that_refuses_calls_keeps_earlier_ones_and_takes_wake_ups() {
        let inbox = Box::leak(Box::new(Site::new(Inbox::<Nothing>::new())));
        let lease = Lease::of(inbox, Arc::new(|| ()));
        let owner = lease.owner();
        assert!(owner.post_call(Nothing).is_ok());
        lease.refuse_calls();
        assert!(owner.post_call(Nothing).is_err());
        assert!(owner.post(Nothing).is_ok());
        let mut messages = Vec::new();
        lease.take(&mut messages);
        assert_eq!(messages.len(), 2);
        // A later lease takes calls again.
        drop(lease);
        assert!(owner.post(Nothing).is_err());
        let lease = Lease::of(inbox, Arc::new(|| ()));
        assert!(lease.owner().post_call(Nothing).is_ok());
    }

    // Proves M6.
    #[test]
    fn a_sender_learns_that_it_is_far_ahead_of_an_owner_that_holds_calls_back() {
        let inbox = Box::leak(Box::new(Site::new(Inbox::<Nothing>::new())));
        let lease = Lease::of(inbox, Arc::new(|| ()));
        let post = || lease.owner().post_call(Nothing).ok();
        let posts = |n| (0..n).all(|_| post() == Some(Lead::Short));
        assert!(posts(2 * FAR_AHEAD));
        lease.hold_calls_back();
        assert_eq!(post(), Some(Lead::Far));
        lease.take(&mut Vec::new());
        assert!(posts(FAR_AHEAD));
        assert_eq!(post(), Some(Lead::Far));
        lease.refuse_calls();
        assert_eq!(post(), None);
    }
}
