//! Wakers that use the primitive, or panic.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, promise};

use crate::hooked_waker::{Hooks, never_the_same};
use crate::{Boxed, Flag, boxed, panics, poll};

/// A grant arrives while the waker of a new waiter is cloned: the future must not wait.
#[test]
fn a_grant_while_a_waker_is_cloned_is_not_missed() {
    let lock: &Lock<u32> = Box::leak(Box::new(Lock::new(0)));
    let guard = lock.try_lock().unwrap();
    let waker = Hooks::on_clone(move || drop(guard));
    assert!(poll(&mut boxed(lock.lock()), &waker).is_ready());

    let semaphore = Rc::new(Semaphore::new(0));
    let hook = Rc::clone(&semaphore);
    let waker = Hooks::on_clone(move || hook.add_permits(1));
    assert!(poll(&mut boxed(Rc::clone(&semaphore).acquire_owned()), &waker).is_ready());

    let event = Rc::new(Event::new());
    let hook = Rc::clone(&event);
    let waker = Hooks::on_clone(move || hook.set());
    assert!(poll(&mut boxed(async move { event.wait().await }), &waker).is_ready());

    let barrier = Rc::new(Barrier::new(2));
    let hook = Rc::clone(&barrier);
    let other = Cell::new(None);
    let waker = Hooks::on_clone(move || {
        let mut wait = boxed(async move { hook.wait().await });
        assert!(poll(&mut wait, Waker::noop()).is_pending());
        other.set(Some(wait));
        std::mem::forget(other);
    });
    let waiting = Rc::clone(&barrier);
    assert!(poll(&mut boxed(async move { waiting.wait().await }), &waker).is_ready());

    let queue = Rc::new(Queue::new(1));
    let (getter, hook) = (Rc::clone(&queue), Rc::clone(&queue));
    let waker = Hooks::on_clone(move || hook.put_nowait(7).unwrap());
    let mut get = boxed(async move { getter.get().await });
    assert_eq!(poll(&mut get, &waker), Poll::Ready(Ok(7)));

    queue.put_nowait(8).unwrap();
    let (putter, hook) = (Rc::clone(&queue), Rc::clone(&queue));
    let waker = Hooks::on_clone(move || assert_eq!(hook.get_nowait(), Ok(8)));
    let mut put = boxed(async move { putter.put(9).await });
    assert_eq!(poll(&mut put, &waker), Poll::Ready(Ok(())));

    let (joiner, hook) = (Rc::clone(&queue), Rc::clone(&queue));
    let waker = Hooks::on_clone(move || {
        for _ in 0..3 {
            hook.task_done().unwrap();
        }
    });
    assert!(poll(&mut boxed(async move { joiner.join().await }), &waker).is_ready());

    let (set, future) = promise::<u32>();
    let waker = Hooks::on_clone(move || set.set_result(1).unwrap());
    assert!(matches!(
        poll(&mut boxed(future), &waker),
        Poll::Ready(Ok(1))
    ));

    let (set, future) = promise::<u32>();
    let waker = Hooks::on_clone(move || set.set_result(1).unwrap());
    assert!(matches!(
        poll(&mut boxed(future.shared()), &waker),
        Poll::Ready(Ok(1))
    ));
}

/// Another task polls the future, which drops the old waker, and the drop causes the grant: the new
/// task is woken.
#[test]
fn a_grant_while_an_old_waker_is_dropped_is_not_missed() {
    fn check<T: 'static>(mut future: Boxed<T>, hook: impl FnOnce() + 'static) {
        let waker = Hooks::on_drop(hook);
        assert!(poll(&mut future, &waker).is_pending());
        // The drop of the future's clone calls the hook.
        std::mem::forget(waker);
        let (flag, waker) = Flag::new();
        let polled = poll(&mut future, &waker);
        assert!(polled.is_ready() || flag.was_woken());
        assert!(polled.is_ready() || poll(&mut future, &waker).is_ready());
    }

    let semaphore = Rc::new(Semaphore::new(0));
    let hook = Rc::clone(&semaphore);
    check(boxed(semaphore.acquire_owned()), move || {
        hook.add_permits(1)
    });

    let event = Rc::new(Event::new());
    let hook = Rc::clone(&event);
    check(boxed(async move { event.wait().await }), move || hook.set());

    let queue = Rc::new(Queue::new(1));
    let hook = Rc::clone(&queue);
    check(boxed(async move { queue.get().await }), move || {
        hook.put_nowait(1).unwrap()
    });

    let (set, future) = promise::<u32>();
    check(boxed(future), move || set.set_result(1).unwrap());
}

/// The first waker that is woken drops the second waiter, clears the event, and waits again. The
/// other tasks that waited are released, and the new wait is not.
#[test]
fn a_waker_may_change_the_event_while_it_is_set() {
    let event = Rc::new(Event::new());
    let wait = |event: &Rc<Event>| {
        let event = Rc::clone(event);
        boxed(async move { event.wait().await })
    };
    let mut first = wait(&event);
    let second = Rc::new(Cell::new(Some(wait(&event))));
    let mut third = wait(&event);
    let (third_flag, third_waker) = Flag::new();
    let (late_flag, late_waker) = Flag::new();

    let hook = {
        let (event, second) = (Rc::clone(&event), Rc::clone(&second));
        move || {
            drop(second.take());
            event.clear();
            let mut late = boxed(async move {
                event.wait().await;
                event
            });
            assert!(poll(&mut late, &late_waker).is_pending());
            std::mem::forget(late);
        }
    };
    assert!(poll(&mut first, &Hooks::on_wake(hook)).is_pending());
    let mut waiting = second.take().unwrap();
    assert!(poll(&mut waiting, Waker::noop()).is_pending());
    second.set(Some(waiting));
    assert!(poll(&mut third, &third_waker).is_pending());

    event.set();
    assert!(!event.is_set());
    assert!(third_flag.was_woken() && !late_flag.was_woken());
    assert!(poll(&mut first, Waker::noop()).is_ready());
    assert!(poll(&mut third, Waker::noop()).is_ready());
    event.set();
    assert!(late_flag.was_woken());
}

/// A release wakes the next waiter, whose waker polls it at once: the value is not borrowed.
#[test]
fn a_guard_is_dropped_before_the_next_waiter_is_woken() {
    let lock: &Lock<u32> = Box::leak(Box::new(Lock::new(0)));
    let guard = lock.try_lock().unwrap();
    let next = Rc::new(Cell::new(Some(boxed(lock.lock()))));
    let ran = Rc::new(Cell::new(false));
    let waker = {
        let (next, ran) = (Rc::clone(&next), Rc::clone(&ran));
        Hooks::on_wake(move || {
            let mut next = next.take().unwrap();
            let Poll::Ready(mut value) = poll(&mut next, Waker::noop()) else {
                panic!("a waiter was woken without a grant");
            };
            *value += 1;
            ran.set(true);
        })
    };
    let mut waiting = next.take().unwrap();
    assert!(poll(&mut waiting, &waker).is_pending());
    next.set(Some(waiting));
    drop(guard);
    assert!(ran.get());
    assert!(!lock.locked());
}

/// Several waiters are woken together, and the first waker panics: the others are still woken.
#[test]
fn if_a_waker_panics_the_others_are_woken() {
    fn check<T: 'static>(mut wait: impl FnMut() -> Boxed<T>, wake: impl FnOnce()) {
        let mut futures = [wait(), wait(), wait()];
        let (second, second_waker) = Flag::new();
        let (third, third_waker) = Flag::new();
        let wakers = [
            Hooks::on_wake(|| panic!("in wake")),
            second_waker,
            third_waker,
        ];
        for (future, waker) in futures.iter_mut().zip(&wakers) {
            assert!(poll(future, waker).is_pending());
        }
        assert_eq!(panics(wake).as_deref(), Some("in wake"));
        assert!(second.was_woken() && third.was_woken());
        for mut future in futures {
            assert!(poll(&mut future, Waker::noop()).is_ready());
        }
    }

    let event = Rc::new(Event::new());
    check(
        || {
            let event = Rc::clone(&event);
            boxed(async move { event.wait().await })
        },
        || event.set(),
    );

    let semaphore = Rc::new(Semaphore::new(0));
    check(
        || boxed(Rc::clone(&semaphore).acquire_owned()),
        || semaphore.add_permits(3),
    );

    let condition: &Condition<Lock<()>> = Box::leak(Box::new(Condition::new(Lock::new(()))));
    check(
        || boxed(async { drop(condition.wait(condition.lock().await).await) }),
        || condition.notify_all(&condition.try_lock().unwrap()),
    );

    let barrier = Rc::new(Barrier::new(4));
    check(
        || {
            let barrier = Rc::clone(&barrier);
            boxed(async move { barrier.wait().await })
        },
        || barrier.abort(),
    );

    let queue = Rc::new(Queue::<u32>::new(0));
    check(
        || {
            let queue = Rc::clone(&queue);
            boxed(async move { queue.get().await })
        },
        || queue.shutdown(false),
    );

    let (set, future) = promise::<u32>();
    let future = future.shared();
    check(|| boxed(future.clone()), || set.set_result(1).unwrap());
}

/// `will_wake` may always return `false`, even for the same task: a wait still waits.
#[test]
fn a_waker_that_is_never_recognised() {
    fn check<T>(mut future: Boxed<T>) {
        let waker = never_the_same();
        assert!(!waker.will_wake(&waker.clone()));
        for _ in 0..3 {
            assert!(poll(&mut future, &waker).is_pending());
        }
    }

    let lock: &Lock<u32> = Box::leak(Box::new(Lock::new(0)));
    let _guard = lock.try_lock();
    check(boxed(lock.lock()));
    let event: &Event = Box::leak(Box::default());
    check(boxed(event.wait()));
    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(2)));
    check(boxed(barrier.wait()));
    let queue: &Queue<u32> = Box::leak(Box::new(Queue::new(1)));
    check(boxed(queue.get()));
    queue.put_nowait(1).unwrap();
    check(boxed(queue.put(2)));
    check(boxed(queue.join()));
    let (_set, future) = promise::<u32>();
    check(boxed(future));
    let (_set, future) = promise::<u32>();
    check(boxed(future.shared()));
}

/// A primitive keeps the waker of the last waiter, so that the same task waits again without a
/// clone. It keeps no other waker.
#[test]
fn one_waker_is_kept_and_no_more() {
    fn check<T: 'static>(wait: impl Fn() -> Boxed<T>, bring: impl Fn()) {
        let round = |waker: &Waker| {
            let mut future = wait();
            assert!(poll(&mut future, waker).is_pending());
            bring();
            assert!(poll(&mut future, Waker::noop()).is_ready());
        };
        let (first, first_waker) = Flag::new();
        let without = Arc::strong_count(&first);
        round(&first_waker);
        assert_eq!(Arc::strong_count(&first), without + 1, "the waker is kept");

        let mut again = wait();
        assert!(poll(&mut again, &first_waker).is_pending());
        assert_eq!(
            Arc::strong_count(&first),
            without + 1,
            "the waker is used again"
        );
        bring();
        assert!(poll(&mut again, Waker::noop()).is_ready());

        let (second, second_waker) = Flag::new();
        round(&second_waker);
        assert!(second.was_woken());
        assert_eq!(Arc::strong_count(&first), without, "another waker is kept");
        assert_eq!(Arc::strong_count(&second), without + 1);

        // The waker of a cancelled wait is not kept.
        let mut cancelled = wait();
        assert!(poll(&mut cancelled, &first_waker).is_pending());
        drop(cancelled);
        assert_eq!(Arc::strong_count(&first), without);
    }

    let semaphore = Rc::new(Semaphore::new(0));
    check(
        || {
            let semaphore = Rc::clone(&semaphore);
            boxed(async move { semaphore.acquire().await.forget() })
        },
        || semaphore.add_permits(1),
    );

    let event = Rc::new(Event::new());
    check(
        || {
            let event = Rc::clone(&event);
            boxed(async move { event.wait().await })
        },
        || {
            event.set();
            event.clear();
        },
    );

    let queue = Rc::new(Queue::new(1));
    check(
        || {
            let queue = Rc::clone(&queue);
            boxed(async move { queue.get().await })
        },
        || queue.put_nowait(1).unwrap(),
    );

    queue.put_nowait(0).unwrap();
    check(
        || {
            let queue = Rc::clone(&queue);
            boxed(async move { queue.put(1).await })
        },
        || assert!(queue.get_nowait().is_ok()),
    );
}

/// The kept waker of one task is not used for another task.
#[test]
fn a_kept_waker_wakes_no_other_task() {
    let event = Rc::new(Event::new());
    let wait = || {
        let event = Rc::clone(&event);
        boxed(async move { event.wait().await })
    };
    let (_first, first_waker) = Flag::new();
    let mut future = wait();
    assert!(poll(&mut future, &first_waker).is_pending());
    event.set();
    event.clear();
    assert!(poll(&mut future, &first_waker).is_ready());

    let (second, second_waker) = Flag::new();
    let mut future = wait();
    assert!(poll(&mut future, &second_waker).is_pending());
    event.set();
    assert!(second.was_woken());
}

/// A kept waker is replaced, and its drop uses the primitive.
#[test]
fn nothing_is_borrowed_while_a_kept_waker_is_dropped() {
    let queue = Rc::new(Queue::new(0));
    let get = || {
        let queue = Rc::clone(&queue);
        boxed(async move { queue.get().await })
    };
    let hook = Rc::clone(&queue);
    let waker = Hooks::on_drop(move || hook.put_nowait(3).unwrap());
    let mut first = get();
    assert!(poll(&mut first, &waker).is_pending());
    queue.put_nowait(1).unwrap();
    assert_eq!(poll(&mut first, &waker), Poll::Ready(Ok(1)));
    // The drop of the kept waker calls the hook.
    std::mem::forget(waker);

    let (_flag, other) = Flag::new();
    let mut second = get();
    assert!(poll(&mut second, &other).is_pending());
    queue.put_nowait(2).unwrap();
    assert_eq!(poll(&mut second, &other), Poll::Ready(Ok(2)));
    assert_eq!(queue.get_nowait(), Ok(3));
}

/// Another task polls a waiter, which is granted while the waker is cloned. So neither the clone
/// nor the waker that was kept before is needed. Both are dropped where nothing is borrowed.
#[test]
fn nothing_is_borrowed_while_a_new_waker_is_dropped() {
    fn check<T: 'static>(
        wait: impl Fn() -> Boxed<T>,
        bring: impl Fn() + Clone + 'static,
        look: impl FnOnce() + 'static,
    ) {
        // A first wait leaves a kept waker.
        let (_flag, before) = Flag::new();
        let mut first = wait();
        assert!(poll(&mut first, &before).is_pending());
        bring();
        assert!(poll(&mut first, &before).is_ready());

        let (_flag, other) = Flag::new();
        let mut second = wait();
        assert!(poll(&mut second, &other).is_pending());
        let looked = Rc::new(Cell::new(false));
        let note = Rc::clone(&looked);
        let waker = Hooks::on_clone_and_its_drop(bring, move || {
            look();
            note.set(true);
        });
        assert!(poll(&mut second, &waker).is_ready());
        assert!(looked.get());
    }

    let event: &Event = Box::leak(Box::default());
    check(
        || boxed(event.wait()),
        || {
            event.set();
            event.clear();
        },
        || assert_eq!(event.waiters(), 0),
    );

    let semaphore: &Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    check(
        || boxed(async { semaphore.acquire().await.forget() }),
        || semaphore.add_permits(1),
        || assert_eq!(semaphore.waiters(), 0),
    );

    let queue: &Queue<u32> = Box::leak(Box::new(Queue::new(1)));
    check(
        || boxed(queue.get()),
        || queue.put_nowait(1).unwrap(),
        || assert!(queue.getters() <= 1),
    );
    queue.put_nowait(0).unwrap();
    check(
        || boxed(queue.put(1)),
        || assert!(queue.get_nowait().is_ok()),
        || assert!(queue.putters() <= 1),
    );

    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(2)));
    check(
        || boxed(barrier.wait()),
        || assert!(poll(&mut boxed(barrier.wait()), Waker::noop()).is_ready()),
        || assert_eq!(barrier.n_waiting(), 0),
    );
}
