//! The tasks that wait for one event, and are all woken by it.
//!
//! - A [`WaitUntil`] has a place in the list while it waits, and takes it back when it is dropped. So a wait that loses
//!   a race leaves no waker behind.
//! - Code that polls has no place. When many of its wakers pile up, all are woken, and those that still wait poll
//!   again.
//! - Nothing is borrowed while a waker is cloned, woken or dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use asyncio_task::StepBack;

/// The maximum number of wakers without a place.
const MOST_POLLERS: usize = 16;

/// Wakers, each once.
#[derive(Debug, Default)]
pub(crate) struct WakerList(RefCell<Wakers>);

#[derive(Debug, Default)]
struct Wakers {
    next_place: u64,
    waiting: BTreeMap<u64, Waker>,
    pollers: Vec<Waker>,
}

impl WakerList {
    /// Waits until `check` gives something. It checks again after each [`wake_all`](Self::wake_all). It draws on the
    /// budget of ready awaits.
    pub(crate) fn wait_until<T, F: FnMut() -> Option<T>>(&self, check: F) -> WaitUntil<'_, F> {
        WaitUntil {
            list: self,
            check,
            place: None,
            step_back: StepBack::new(),
        }
    }

    /// Ready with what `check` gives. While it gives nothing, `waker` is woken by [`wake_all`](Self::wake_all).
    pub(crate) fn poll_until<T>(
        &self,
        waker: &Waker,
        mut check: impl FnMut() -> Option<T>,
    ) -> Poll<T> {
        if let Some(value) = check() {
            return Poll::Ready(value);
        }
        // Cloning a waker runs user code, which may do what is waited for. So check once more.
        let waker = waker.clone();
        if let Some(value) = check() {
            return Poll::Ready(value);
        }
        let mut wakers = self.0.borrow_mut();
        if wakers.pollers.iter().any(|known| known.will_wake(&waker)) {
            drop(wakers);
            drop(waker);
            return Poll::Pending;
        }
        let too_many = match wakers.pollers.len() >= MOST_POLLERS {
            true => mem::take(&mut wakers.pollers),
            false => Vec::new(),
        };
        wakers.pollers.push(waker);
        drop(wakers);
        wake_each(too_many);
        Poll::Pending
    }

    /// Wakes all, and leaves none. Those with a place keep it.
    pub(crate) fn wake_all(&self) {
        let wakers = {
            let mut wakers = self.0.borrow_mut();
            if wakers.waiting.is_empty() && wakers.pollers.is_empty() {
                return;
            }
            let waiting = mem::take(&mut wakers.waiting);
            let pollers = mem::take(&mut wakers.pollers);
            waiting.into_values().chain(pollers)
        };
        wake_each(wakers);
    }
}

/// Wakes each. A panic of one goes on when all were woken.
fn wake_each(wakers: impl IntoIterator<Item = Waker>) {
    let mut panic = None;
    for waker in wakers {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            panic.get_or_insert(payload);
        }
    }
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// Draws on the budget of ready awaits, for code that polls again and again.
pub(crate) fn poll_step_back(step_back: &mut StepBack, cx: &mut Context<'_>) -> Poll<()> {
    ready!(Pin::new(&mut *step_back).poll(cx));
    *step_back = StepBack::new();
    Poll::Ready(())
}

/// The future of [`WakerList::wait_until`].
pub(crate) struct WaitUntil<'a, F> {
    list: &'a WakerList,
    check: F,
    place: Option<u64>,
    step_back: StepBack,
}

// No field is ever pinned.
impl<F> Unpin for WaitUntil<'_, F> {}

impl<T, F: FnMut() -> Option<T>> Future for WaitUntil<'_, F> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.step_back).poll(cx));
        if let Some(value) = (this.check)() {
            return Poll::Ready(value);
        }
        // Cloning a waker runs user code, which may do what is waited for. So check once more.
        let waker = cx.waker().clone();
        if let Some(value) = (this.check)() {
            return Poll::Ready(value);
        }
        let replaced = {
            let mut wakers = this.list.0.borrow_mut();
            let next_place = &mut wakers.next_place;
            let place = *this.place.get_or_insert_with(|| {
                *next_place += 1;
                *next_place
            });
            wakers.waiting.insert(place, waker)
        };
        drop(replaced);
        Poll::Pending
    }
}

impl<F> Drop for WaitUntil<'_, F> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.list.0.borrow_mut().waiting.remove(&place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Counts(AtomicUsize);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }

    fn len(list: &WakerList) -> usize {
        let wakers = list.0.borrow();
        wakers.waiting.len() + wakers.pollers.len()
    }

    #[test]
    fn a_dropped_wait_leaves_no_waker() {
        let list = WakerList::default();
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..100 {
            let mut waiting = list.wait_until(|| None::<()>);
            assert!(Pin::new(&mut waiting).poll(cx).is_pending());
            assert_eq!(len(&list), 1);
        }
        assert_eq!(len(&list), 0);
    }

    #[test]
    fn pollers_that_pile_up_are_woken() {
        let list = WakerList::default();
        let counts: Vec<_> = (0..100).map(|_| Arc::<Counts>::default()).collect();
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(list.poll_until(&waker, || None::<()>).is_pending());
            assert!(list.poll_until(&waker, || None::<()>).is_pending());
            assert!(len(&list) <= MOST_POLLERS);
        }
        list.wake_all();
        assert!(
            counts
                .iter()
                .all(|count| count.0.load(Ordering::Relaxed) == 1)
        );
    }

    #[test]
    fn the_panic_of_a_waker_keeps_no_other_from_being_woken() {
        let list = WakerList::default();
        let (ready, count) = (Cell::new(false), Arc::<Counts>::default());
        let wakers = [
            Waker::from(count.clone()),
            Arc::new(Panics).into(),
            Arc::new(Panics).into(),
            Waker::from(count.clone()),
        ];
        let mut waits: Vec<_> = wakers
            .iter()
            .map(|_| list.wait_until(|| ready.get().then_some(())))
            .collect();
        for (wait, waker) in waits.iter_mut().zip(&wakers) {
            let poll = Pin::new(wait).poll(&mut Context::from_waker(waker));
            assert!(poll.is_pending());
        }
        ready.set(true);
        assert!(catch_unwind(AssertUnwindSafe(|| list.wake_all())).is_err());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(len(&list), 0);
    }
}
