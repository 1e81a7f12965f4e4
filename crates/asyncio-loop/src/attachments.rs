//! Values that crates above this one keep with a loop, and that end after it, such as its default thread pool.
//!
//! The loop knows nothing of them but that they have to be closed. A loop has one value of each type.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A value that is kept with a loop and is closed after it.
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
///     fn close(&self, _patience: Duration) {
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
    /// Called once when the loop has closed: its tasks have ended, its handles refuse, and no other thread
    /// waits for it any more. `patience` says how long this thread may now wait for other threads: for five minutes, as
    /// in asyncio, or for less, if the loop was closed [within](crate::EventLoop::close_within) a time. It is zero where
    /// another loop runs on this thread.
    fn close(&self, patience: Duration);
}

/// How long closing a loop waits for what is attached to it, as in asyncio.
const PATIENCE: Duration = Duration::from_secs(300);

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

    pub(crate) fn put<A: Attachment>(&self, attachment: A) -> Rc<A> {
        // `Default` is foreign code and may have attached one itself: the first one stays.
        if let Some(first) = self.find() {
            return first;
        }
        let attachment = Rc::new(attachment);
        self.0.borrow_mut().push(attachment.clone());
        attachment
    }

    /// Closes all of them, in the order in which they came. A panic in one of them goes to `on_panic` and keeps no
    /// other one from being closed.
    pub(crate) fn close(
        self,
        may_block: bool,
        end: Option<Instant>,
        on_panic: impl Fn(Box<dyn Any + Send>),
    ) {
        for attachment in self.0.into_inner() {
            let patience = match end {
                _ if !may_block => Duration::ZERO,
                None => PATIENCE,
                Some(end) => end.saturating_duration_since(Instant::now()),
            };
            let close = || attachment.close(patience);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(close)) {
                on_panic(payload);
            }
        }
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachments({})", self.0.borrow().len())
    }
}
