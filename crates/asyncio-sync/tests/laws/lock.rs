//! At most one task holds the lock, and tasks get it in the order of their requests.

use std::cell::Cell;
use std::rc::Rc;

use asyncio_sync::{Lock, OwnedLockGuard};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Lock,
    TryLock,
    Poll(usize),
    DropWait(usize),
    Release,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Lock),
        1 => Just(Step::TryLock),
        4 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::DropWait),
        4 => Just(Step::Release),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn one_at_a_time_in_order(steps in steps()) {
        let lock = Rc::new(Lock::new(0u32));
        let mut waiting: Vec<Waiting<OwnedLockGuard<u32>>> = Vec::new();
        let mut held: Option<OwnedLockGuard<u32>> = None;
        let mut admitted = 0;

        for (id, step) in (0u32..).zip(steps) {
            // The model of a lock: it is taken if a task holds it or waits for it.
            let owned = held.is_some() || !waiting.is_empty();
            let mut newly_held = None;
            match step {
                Step::Lock => match Waiting::begin(id, Rc::clone(&lock).lock_owned()) {
                    Ok(guard) => {
                        prop_assert!(!owned, "the task overtook another");
                        newly_held = Some(guard);
                    }
                    Err(wait) => {
                        prop_assert!(owned, "the task waits for a free lock");
                        waiting.push(wait);
                    }
                },
                Step::TryLock => {
                    newly_held = Rc::clone(&lock).try_lock_owned();
                    prop_assert_eq!(newly_held.is_some(), !owned);
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    newly_held = waiting[at].poll();
                    // Only the first waiter gets the lock, if no task holds it.
                    prop_assert_eq!(newly_held.is_some(), held.is_none() && at == 0);
                    if newly_held.is_some() {
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    waiting.remove(at);
                }
                Step::Release => held = None,
            }
            if let Some(mut guard) = newly_held {
                prop_assert!(held.is_none());
                prop_assert_eq!(*guard, admitted, "all guards give access to one value");
                *guard += 1;
                admitted += 1;
                held = Some(guard);
            }
            prop_assert_eq!(lock.locked(), held.is_some() || !waiting.is_empty());
            prop_assert_eq!(lock.waiters(), waiting.len());
            if held.is_none() && let Some(first) = waiting.first() {
                prop_assert!(first.was_woken(), "the lock is free, but the first waiter sleeps");
            }
        }
        drop((waiting, held));
        prop_assert!(!lock.locked());
        let seen = lock.try_lock().map(|value| *value);
        prop_assert_eq!(seen, Some(admitted));
    }
}

/// The same with running tasks: at most one task is inside at a time.
#[test]
fn exclusion_over_awaits() {
    let of = crate::shared::TestLoop::new();
    let (lock, inside) = (Rc::new(Lock::new(())), Rc::new(Cell::new(false)));
    let tasks: Vec<_> = (0..50)
        .map(|name: usize| {
            let (lock, inside) = (Rc::clone(&lock), Rc::clone(&inside));
            of.spawn(async move {
                for _ in 0..20 {
                    let _guard = lock.lock().await;
                    assert!(!inside.replace(true));
                    for _ in 0..name % 3 {
                        crate::shared::yield_now().await;
                    }
                    inside.set(false);
                }
            })
        })
        .collect();
    of.run();
    assert!(tasks.iter().all(crate::shared::Task::done));
}
