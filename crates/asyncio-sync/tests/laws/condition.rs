//! No notification is lost: it reaches the first waiter or, if that is dropped before it has the
//! lock again, the next waiter.

use std::rc::Rc;

use asyncio_sync::{Condition, Lock, LockGuard};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Wait,
    Notify(usize),
    NotifyAll,
    Poll(usize),
    DropWait(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Wait),
        2 => (0..4usize).prop_map(Step::Notify),
        1 => Just(Step::NotifyAll),
        5 => any::<usize>().prop_map(Step::Poll),
        3 => any::<usize>().prop_map(Step::DropWait),
    ];
    proptest::collection::vec(step, 0..120)
}

type Cond = &'static Condition<Lock<()>>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Asleep,
    Notified,
}

proptest! {
    #[test]
    fn notifications_reach_the_first_and_pass_on(steps in steps()) {
        let condition: Cond = Box::leak(Box::new(Condition::new(Lock::new(()))));
        let mut waiting: Vec<(Stage, Waiting<LockGuard<'static, ()>>)> = Vec::new();
        let first_asleep = |waiting: &[(Stage, Waiting<_>)]| {
            waiting.iter().position(|(stage, _)| *stage == Stage::Asleep)
        };

        // The lock is free between the steps: each returned guard is dropped at once.
        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Wait => {
                    let guard = condition.try_lock().unwrap();
                    let Err(wait) = Waiting::begin(id, condition.wait(guard)) else {
                        panic!("a wait was ready at its first poll");
                    };
                    waiting.push((Stage::Asleep, wait));
                    prop_assert!(!condition.locked());
                }
                Step::Notify(count) => {
                    condition.notify(&condition.try_lock().unwrap(), count);
                    for _ in 0..count {
                        if let Some(at) = first_asleep(&waiting) {
                            waiting[at].0 = Stage::Notified;
                        }
                    }
                }
                Step::NotifyAll => {
                    condition.notify_all(&condition.try_lock().unwrap());
                    waiting.iter_mut().for_each(|(stage, _)| *stage = Stage::Notified);
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let (stage, wait) = &mut waiting[at];
                    let guard = wait.poll();
                    prop_assert_eq!(guard.is_some(), *stage == Stage::Notified);
                    if guard.is_some() {
                        prop_assert!(condition.locked());
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let (stage, wait) = waiting.remove(at);
                    drop(wait);
                    if stage == Stage::Notified && let Some(next) = first_asleep(&waiting) {
                        waiting[next].0 = Stage::Notified;
                    }
                }
            }
            prop_assert!(!condition.locked());
            prop_assert_eq!(condition.waiters(), waiting.len());
            for (stage, wait) in &waiting {
                prop_assert_eq!(wait.was_woken(), *stage == Stage::Notified);
            }
        }
    }

    /// Consumers are cancelled at any time, also while they take the lock again. Each item that was
    /// put with a notification is consumed while a consumer is left.
    #[test]
    fn no_item_is_left_while_a_consumer_waits(
        cancelled in proptest::collection::vec(0..6usize, 0..5),
        turns in proptest::collection::vec(0..4usize, 5),
    ) {
        let of = crate::shared::TestLoop::new();
        let condition = Rc::new(Condition::new(Lock::new(0u32)));
        let consumers: Vec<_> = (0..6)
            .map(|_| {
                let condition = Rc::clone(&condition);
                of.spawn(async move {
                    let items = condition.lock().await;
                    let mut items = condition.wait_for(items, |items| *items > 0).await;
                    *items -= 1;
                    // Other consumers wait for the lock meanwhile, and are cancelled there.
                    crate::shared::yield_now().await;
                })
            })
            .collect();
        of.run();
        for (turns, cancelled) in turns.into_iter().zip(cancelled) {
            let condition = Rc::clone(&condition);
            of.spawn(async move {
                let mut items = condition.lock().await;
                *items += 1;
                condition.notify(&items, 1);
            });
            of.ticks(turns);
            consumers[cancelled].cancel();
        }
        of.run();
        let left = *condition.try_lock().expect("the lock is free");
        let waits = consumers.iter().any(crate::shared::Task::pending);
        prop_assert!(left == 0 || !waits, "{left} items are left, and a consumer waits");
    }
}
