//! Values that upper crates store in a loop and that end after it, such as its default thread pool.
//!
//! The loop only knows that it must close them. A loop has one value of each type.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A value that is stored in a loop and is closed after it.
///
/// ```
/// use std::cell::Cell;
/// use std::time::Duration;
/// use asyncio_loop::{Attachment, attached};
///
/// #[derive(Default)]
/// struct Visits(Cell<u32>);
///
/// impl Attachment for Visits {
///     fn close(&self, _timeout: Duration) {
///         println!("{} visits", self.0.get());
///     }
/// }
///
/// asyncio_loop::run(async {
///     for _ in 0..2 {
///         let visits = attached::<Visits>().unwrap();
///         visits.0.set(visits.0.get() + 1);
///     }
///     assert_eq!(attached::<Visits>().unwrap().0.get(), 2);
/// }); // prints "2 visits"
/// ```
pub trait Attachment: Any {
    /// Closes the value. Called once when the loop has closed: its tasks have ended, its handles
    /// return errors, and no other thread waits for it. `timeout` is how long this thread may wait
    /// for other threads: five minutes, as in asyncio, or less after
    /// [`close_within`](crate::EventLoop::close_within). It is zero if another loop runs on this
    /// thread.
    fn close(&self, timeout: Duration);

    /// Closes the value without blocking the thread, for a loop [that a host turns](crate::EventLoop::turn). Called
    /// in place of [`close`](Self::close), at the same point, and again after some milliseconds until it returns
    /// true. The default calls `close` with a `timeout` of zero, once.
    fn has_closed(&self) -> bool {
        self.close(Duration::ZERO);
        true
    }
}

/// How long closing a loop waits for its attachments, as in asyncio.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(300);

/// The attachments of one loop.
#[derive(Default)]
pub(crate) struct Attachments(RefCell<Vec<Rc<dyn Attachment>>>);

impl Attachments {
    pub(crate) fn find<A: Attachment>(&self) -> Option<Rc<A>> {
        let all = self.0.borrow();
        all.iter().find_map(|attachment| {
            let attachment: Rc<dyn Any> = attachment.clone();
            attachment.downcast().ok()
        })
    }

    pub(crate) fn insert<A: Attachment>(&self, attachment: A) -> Rc<A> {
        // `Default` is foreign code and may have attached a value itself: the first value stays.
        if let Some(first) = self.find() {
            return first;
        }
        let attachment = Rc::new(attachment);
        self.0.borrow_mut().push(attachment.clone());
        attachment
    }

    /// Closes all attachments, in the order in which they were added. A panic goes to `on_panic`,
    /// and the others are closed nevertheless.
    pub(crate) fn close(
        self,
        may_block: bool,
        end: Option<Instant>,
        on_panic: impl Fn(Box<dyn Any + Send>),
    ) {
        for attachment in self.0.into_inner() {
            let timeout = match end {
                _ if !may_block => Duration::ZERO,
                None => CLOSE_TIMEOUT,
                Some(end) => end.saturating_duration_since(Instant::now()),
            };
            let close = || attachment.close(timeout);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(close)) {
                on_panic(payload);
            }
        }
    }
}

/// The attachments of a closed loop that have not closed themselves yet, and are not waited for by the thread.
#[derive(Default)]
pub(crate) struct ClosingAttachments(Vec<Rc<dyn Attachment>>);

impl Attachments {
    /// Begins to close all attachments without blocking the thread.
    pub(crate) fn begin_close(self) -> ClosingAttachments {
        ClosingAttachments(self.0.into_inner())
    }
}

impl ClosingAttachments {
    /// Whether all have closed. A panic goes to `on_panic`, and the attachment counts as closed.
    pub(crate) fn have_closed(&mut self, on_panic: impl Fn(Box<dyn Any + Send>)) -> bool {
        while let Some(first) = self.0.first() {
            match catch_unwind(AssertUnwindSafe(|| first.has_closed())) {
                Ok(false) => return false,
                Ok(true) => {}
                Err(payload) => on_panic(payload),
            }
            self.0.remove(0);
        }
        true
    }

    /// Stops waiting for those that are left.
    pub(crate) fn abandon(self, on_panic: impl Fn(Box<dyn Any + Send>)) {
        let left = Attachments(RefCell::new(self.0));
        left.close(false, None, on_panic);
    }
}

impl fmt::Debug for ClosingAttachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClosingAttachments({})", self.0.len())
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachments({})", self.0.borrow().len())
    }
}
