//! The rounds of a barrier never mix, and each wait ends.

use std::rc::Rc;

use asyncio_sync::{Barrier, BrokenBarrier};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Wait,
    Poll(usize),
    DropWait(usize),
    Reset,
    Abort,
}

fn steps(breaks: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        60 => Just(Step::Wait),
        60 => any::<usize>().prop_map(Step::Poll),
        20 => any::<usize>().prop_map(Step::DropWait),
        breaks => Just(Step::Reset),
        breaks => Just(Step::Abort),
    ];
    proptest::collection::vec(step, 0..150)
}

type Outcome = Result<usize, BrokenBarrier>;

fn wait(barrier: &Rc<Barrier>, id: u32) -> Result<Outcome, Waiting<Outcome>> {
    let barrier = Rc::clone(barrier);
    Waiting::begin(id, async move { barrier.wait().await })
}

proptest! {
    /// Without resets, the n-th round is the n-th group of `parties` tasks, in order of arrival and
    /// without cancelled tasks. Each task gets its index in the group.
    #[test]
    fn rounds_are_full_and_in_order(parties in 1..5usize, steps in steps(0)) {
        let barrier = Rc::new(Barrier::new(parties));
        // The tasks in no round, in order, and the tasks of a complete round with their indices.
        let mut outside: Vec<Waiting<Outcome>> = Vec::new();
        let mut leaving: Vec<(usize, Waiting<Outcome>)> = Vec::new();
        // Completes the next round, if the last task of the current round has left.
        let complete = |outside: &mut Vec<Waiting<Outcome>>, leaving: &mut Vec<_>| {
            if leaving.is_empty() && outside.len() >= parties {
                leaving.extend(outside.drain(..parties).enumerate());
            }
        };

        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Wait => {
                    // An arriving task begins the next round, if the current round has ended.
                    complete(&mut outside, &mut leaving);
                    let last = leaving.is_empty() && outside.len() + 1 == parties;
                    match wait(&barrier, id) {
                        Ok(outcome) => {
                            prop_assert!(last);
                            prop_assert_eq!(outcome, Ok(parties - 1));
                            leaving.extend(outside.drain(..).enumerate());
                        }
                        Err(wait) => {
                            prop_assert!(!last);
                            outside.push(wait);
                        }
                    }
                }
                Step::Poll(choice) => {
                    complete(&mut outside, &mut leaving);
                    let Some(at) = choice.checked_rem(outside.len() + leaving.len()) else { continue };
                    if let Some(at) = at.checked_sub(outside.len()) {
                        let (index, mut wait) = leaving.remove(at);
                        prop_assert_eq!(wait.poll(), Some(Ok(index)));
                    } else {
                        prop_assert_eq!(outside[at].poll(), None);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = choice.checked_rem(outside.len() + leaving.len()) else { continue };
                    match at.checked_sub(outside.len()) {
                        Some(at) => drop(leaving.remove(at)),
                        None => {
                            outside.remove(at);
                            // It may have been the task that was woken to begin the next round.
                            complete(&mut outside, &mut leaving);
                        }
                    }
                }
                Step::Reset | Step::Abort => unreachable!("`steps(0)` has no resets and aborts"),
            }
            prop_assert!(!barrier.broken());
            // All tasks of a complete round were woken. If the next round could begin, one of its
            // tasks was woken.
            if !leaving.is_empty() {
                prop_assert!(leaving.iter().all(|(_, wait)| wait.was_woken()));
            } else if outside.len() >= parties {
                prop_assert!(outside.iter().any(Waiting::was_woken));
            }
        }
    }

    /// With resets and aborts, each wait ends, and after a reset the barrier works as a new one.
    #[test]
    fn each_wait_ends(parties in 1..5usize, steps in steps(10)) {
        let barrier = Rc::new(Barrier::new(parties));
        let mut waiting: Vec<Waiting<Outcome>> = Vec::new();
        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Wait => match wait(&barrier, id) {
                    Ok(Err(BrokenBarrier)) => prop_assert!(barrier.broken()),
                    Ok(Ok(index)) => prop_assert_eq!(index, parties - 1),
                    Err(wait) => {
                        prop_assert!(!barrier.broken());
                        waiting.push(wait);
                    }
                },
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    if let Some(outcome) = waiting[at].poll() {
                        prop_assert!(outcome.is_ok_and(|index| index < parties) || outcome.is_err());
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    waiting.remove(at);
                }
                Step::Reset => barrier.reset(),
                Step::Abort => {
                    barrier.abort();
                    prop_assert!(waiting.iter().all(Waiting::was_woken));
                }
            }
            if barrier.broken() {
                prop_assert_eq!(barrier.n_waiting(), 0);
            }
        }
        barrier.abort();
        for mut wait in waiting.drain(..) {
            prop_assert_eq!(wait.poll(), Some(Err(BrokenBarrier)));
        }
        barrier.reset();
        prop_assert!(!barrier.broken());
        let mut round: Vec<_> = (0..parties).map(|id| wait(&barrier, id as u32)).collect();
        prop_assert_eq!(round.pop().unwrap().ok(), Some(Ok(parties - 1)));
        for (index, wait) in round.into_iter().enumerate() {
            prop_assert_eq!(wait.err().unwrap().poll(), Some(Ok(index)));
        }
    }
}
