//! Many readers or one writer hold the lock, in the order of their requests.

use asyncio_sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Read,
    Write,
    Try,
    Poll(usize),
    DropWait(usize),
    Release(usize),
    Downgrade(usize),
}

enum Guard {
    Read(RwLockReadGuard<'static, u32>),
    Write(RwLockWriteGuard<'static, u32>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Read),
        2 => Just(Step::Write),
        1 => Just(Step::Try),
        4 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::DropWait),
        4 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Downgrade),
    ];
    proptest::collection::vec(step, 0..120)
}

/// Whether the first `at + 1` waiters may hold the lock together with the guards in `inside`.
fn may_enter(inside: &[Guard], waiting: &[(bool, Waiting<Guard>)], at: usize) -> bool {
    let writers = inside
        .iter()
        .filter(|guard| matches!(guard, Guard::Write(_)));
    let in_line = &waiting[..=at];
    let wanted_writers = in_line.iter().filter(|(writes, _)| *writes).count();
    match writers.count() + wanted_writers {
        0 => true,
        1 => inside.len() + in_line.len() == 1,
        _ => false,
    }
}

proptest! {
    #[test]
    fn many_readers_or_one_writer_in_order(steps in steps()) {
        // Leaked, so that guards have no lifetime.
        let lock: &'static RwLock<u32> = Box::leak(Box::new(RwLock::new(0)));
        let mut waiting: Vec<(bool, Waiting<Guard>)> = Vec::new();
        let mut inside: Vec<Guard> = Vec::new();

        for (id, step) in (0u32..).zip(steps) {
            let alone = inside.is_empty() && waiting.is_empty();
            // Waiting readers without a writer before them have been granted access.
            let readable = inside.iter().all(|guard| matches!(guard, Guard::Read(_)))
                && waiting.iter().all(|(writes, _)| !writes);
            // Granted readers that have not run since run first.
            let at_once = readable && waiting.is_empty();
            match step {
                Step::Read => match Waiting::begin(id, async { Guard::Read(lock.read().await) }) {
                    Ok(guard) => {
                        prop_assert!(at_once);
                        inside.push(guard);
                    }
                    Err(wait) => {
                        prop_assert!(!at_once);
                        waiting.push((false, wait));
                    }
                },
                Step::Write => match Waiting::begin(id, async { Guard::Write(lock.write().await) }) {
                    Ok(guard) => {
                        prop_assert!(alone);
                        inside.push(guard);
                    }
                    Err(wait) => {
                        prop_assert!(!alone);
                        waiting.push((true, wait));
                    }
                },
                Step::Try => {
                    prop_assert_eq!(lock.try_read().is_some(), readable);
                    prop_assert_eq!(lock.try_write().is_some(), alone);
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let may_enter = may_enter(&inside, &waiting, at);
                    let guard = waiting[at].1.poll();
                    prop_assert_eq!(guard.is_some(), may_enter);
                    if let Some(guard) = guard {
                        waiting.remove(at);
                        inside.push(guard);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    waiting.remove(at);
                }
                Step::Release(choice) => {
                    let Some(at) = pick(&inside, choice) else { continue };
                    inside.remove(at);
                }
                Step::Downgrade(choice) => {
                    let Some(at) = pick(&inside, choice) else { continue };
                    let guard = match inside.remove(at) {
                        Guard::Write(mut guard) => {
                            *guard += 1;
                            let value = *guard;
                            let guard = RwLockWriteGuard::downgrade(guard);
                            prop_assert_eq!(*guard, value);
                            guard
                        }
                        Guard::Read(guard) => guard,
                    };
                    inside.push(Guard::Read(guard));
                }
            }
            prop_assert_eq!(lock.waiters(), waiting.len());
            for at in 0..waiting.len() {
                if may_enter(&inside, &waiting, at) {
                    prop_assert!(waiting[at].1.was_woken());
                }
            }
        }
        drop((waiting, inside));
        prop_assert!(lock.try_write().is_some());
    }
}
