//! Setting an event releases exactly the tasks that wait at that moment.

use std::rc::Rc;

use asyncio_sync::Event;
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Wait,
    Set,
    Clear,
    Poll(usize),
    DropWait(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Wait),
        1 => Just(Step::Set),
        1 => Just(Step::Clear),
        4 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::DropWait),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn set_releases_the_waiting_tasks(steps in steps()) {
        let event = Rc::new(Event::new());
        let mut set = false;
        // The waits, and whether each was released.
        let mut waiting: Vec<(bool, Waiting<()>)> = Vec::new();

        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Wait => {
                    let waiter = Rc::clone(&event);
                    let began = Waiting::begin(id, async move { waiter.wait().await });
                    prop_assert_eq!(began.is_ok(), set);
                    waiting.extend(began.err().map(|wait| (false, wait)));
                }
                Step::Set => {
                    event.set();
                    set = true;
                    waiting.iter_mut().for_each(|(released, _)| *released = true);
                }
                Step::Clear => {
                    event.clear();
                    set = false;
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let (released, wait) = &mut waiting[at];
                    let ready = wait.poll().is_some();
                    prop_assert_eq!(ready, *released);
                    if ready {
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    waiting.remove(at);
                }
            }
            prop_assert_eq!(event.is_set(), set);
            prop_assert_eq!(event.waiters(), waiting.len());
            for (released, wait) in &waiting {
                prop_assert_eq!(wait.was_woken(), *released);
            }
        }
    }
}
