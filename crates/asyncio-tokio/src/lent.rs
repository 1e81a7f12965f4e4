//! A future that borrows, lent to code that takes only futures without borrows.
//!
//! - **O1** The future is in the slot, or taken out of it by a poll or a drop that is under way. [`lend`] empties the
//!   slot before it returns or unwinds.
//! - **O2** A slot is used on one thread. So a poll or a drop that takes the future out while `lend` runs is called by
//!   `lend`, and ends before it. Afterwards the slot is empty.
//!
//! So nothing uses the future after `lend`, whatever becomes of the [`Lent`].
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

type Borrowing<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

type Slot = Rc<Cell<Option<Borrowing<'static>>>>;

/// Calls `borrower` with the future. Drops the future when `borrower` has returned or unwinds, unless it was dropped
/// before.
pub(crate) fn lend<'a, R>(
    future: impl Future<Output = ()> + 'a,
    borrower: impl FnOnce(Lent) -> R,
) -> R {
    let future: Borrowing<'a> = Box::pin(future);
    // SAFETY: only the lifetime changes. `'a` outlives this call, and nothing uses the future after it (O1, O2).
    let future = unsafe { mem::transmute::<Borrowing<'a>, Borrowing<'static>>(future) };
    let loan = Loan(Rc::new(Cell::new(Some(future))));
    borrower(Lent(loan.0.clone()))
}

/// Ends with [`lend`].
struct Loan(Slot);

impl Drop for Loan {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// The future, until [`lend`] ends. It is dropped with this, if that comes first.
pub(crate) struct Lent(Slot);

impl Future for Lent {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut future = self.0.take().expect("the future is there until it ends");
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            self.0.set(Some(future));
        }
        polled
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, poll_fn};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use asyncio_testkit::Trace;

    fn poll(lent: &mut Lent) -> Poll<()> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(lent).poll(&mut cx)
    }

    /// A future that waits, and notes when it is dropped.
    async fn waits(trace: &Trace) {
        let _dropped = trace.on_drop("the future is dropped");
        pending::<()>().await;
    }

    #[test]
    fn a_borrow_is_used_while_it_is_lent() {
        let mut count = 0;
        let counting = poll_fn(|_| {
            count += 1;
            if count < 3 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        let polls = lend(counting, |mut lent| {
            (0..).take_while(|_| poll(&mut lent).is_pending()).count()
        });
        assert_eq!((polls, count), (2, 3));
    }

    // Proves O1, O2.
    #[test]
    fn a_future_that_is_forgotten_is_dropped_at_the_end() {
        let trace = Trace::default();
        lend(waits(&trace), |mut lent| {
            assert!(poll(&mut lent).is_pending());
            mem::forget(lent);
            trace.note("the borrower returns");
        });
        trace.note("the loan is over");
        let ends = [
            "the borrower returns",
            "the future is dropped",
            "the loan is over",
        ];
        assert_eq!(trace.take(), ends);
    }

    // Proves O1, O2.
    #[test]
    fn a_future_that_is_kept_is_gone() {
        let trace = Trace::default();
        let mut kept = lend(waits(&trace), |mut lent| {
            assert!(poll(&mut lent).is_pending());
            lent
        });
        assert_eq!(trace.take(), ["the future is dropped"]);
        assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut kept))).is_err());
    }

    #[test]
    fn a_future_ends_with_its_borrower() {
        let trace = Trace::default();
        lend(waits(&trace), |mut lent| {
            assert!(poll(&mut lent).is_pending());
            drop(lent);
            trace.note("the borrower returns");
        });
        assert_eq!(
            trace.take(),
            ["the future is dropped", "the borrower returns"]
        );
    }

    // Proves O1, O2.
    #[test]
    fn a_panic_of_the_borrower_or_of_a_poll_drops_the_future() {
        let trace = Trace::default();
        let caught = |panics: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        caught(&|| {
            lend(waits(&trace), |mut lent| {
                assert!(poll(&mut lent).is_pending());
                mem::forget(lent);
                resume_unwind(Box::new("a panic"));
            })
        });
        caught(&|| {
            let panics = async {
                let _dropped = trace.on_drop("the future is dropped");
                resume_unwind(Box::new("a panic"));
            };
            lend(panics, |mut lent| assert!(poll(&mut lent).is_ready()));
        });
        assert_eq!(trace.take(), ["the future is dropped"; 2]);
    }
}
