//! A receiver of a watch channel sees the latest value, once, and no change is lost.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_sync::{WatchClosed, WatchReceiver, WatchSender, watch};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Set(u8),
    SetIfChanged(u8),
    Subscribe,
    CloneReceiver(usize),
    Get(usize),
    Wait(usize),
    Poll(usize),
    DropWait(usize),
    DropReceiver(usize),
    CloneSender,
    DropSender,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4u8).prop_map(Step::Set),
        2 => (0..4u8).prop_map(Step::SetIfChanged),
        2 => Just(Step::Subscribe),
        1 => any::<usize>().prop_map(Step::CloneReceiver),
        2 => any::<usize>().prop_map(Step::Get),
        6 => any::<usize>().prop_map(Step::Wait),
        6 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::DropWait),
        1 => any::<usize>().prop_map(Step::DropReceiver),
        1 => Just(Step::CloneSender),
        1 => Just(Step::DropSender),
    ];
    proptest::collection::vec(step, 0..120)
}

type Shared = Rc<RefCell<WatchReceiver<u8>>>;

/// A receiver, whether it has something to see, and its wait.
struct Reader {
    receiver: Shared,
    is_behind: bool,
    wait: Option<Waiting<Result<u8, WatchClosed>>>,
}

// One task uses a receiver at a time, which the steps see to.
#[allow(clippy::await_holding_refcell_ref)]
async fn changed(receiver: Shared) -> Result<u8, WatchClosed> {
    receiver.borrow_mut().changed().await
}

proptest! {
    #[test]
    fn each_change_is_seen_once_by_each_receiver(steps in steps()) {
        let (sender, receiver) = watch(0);
        let mut senders: Vec<WatchSender<u8>> = vec![sender];
        let mut value = 0;
        let reader = |receiver, is_behind| Reader {
            receiver: Rc::new(RefCell::new(receiver)),
            is_behind,
            wait: None,
        };
        let mut readers = vec![reader(receiver, false)];

        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Set(new) => {
                    let Some(sender) = senders.first() else { continue };
                    prop_assert_eq!(sender.replace(new), value);
                    value = new;
                    readers.iter_mut().for_each(|reader| reader.is_behind = true);
                }
                Step::SetIfChanged(new) => {
                    let Some(sender) = senders.first() else { continue };
                    let differs = sender.set_if_changed(new);
                    prop_assert_eq!(differs, new != value);
                    value = new;
                    readers.iter_mut().for_each(|reader| reader.is_behind |= differs);
                }
                Step::Subscribe => {
                    let Some(sender) = senders.first() else { continue };
                    readers.push(reader(sender.subscribe(), false));
                }
                Step::CloneReceiver(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let Ok(original) = readers[at].receiver.try_borrow() else { continue };
                    let copy = original.clone();
                    drop(original);
                    let is_behind = readers[at].is_behind;
                    readers.push(reader(copy, is_behind));
                }
                Step::Get(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let one = &mut readers[at];
                    let Ok(mut receiver) = one.receiver.try_borrow_mut() else { continue };
                    prop_assert_eq!(receiver.has_changed(), one.is_behind);
                    prop_assert_eq!(receiver.get(), value);
                    one.is_behind = false;
                }
                Step::Wait(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let one = &mut readers[at];
                    if one.wait.is_some() {
                        continue;
                    }
                    match Waiting::begin(id, changed(one.receiver.clone())) {
                        Ok(Ok(seen)) => {
                            prop_assert!(one.is_behind);
                            prop_assert_eq!(seen, value);
                            one.is_behind = false;
                        }
                        Ok(Err(WatchClosed)) => prop_assert!(senders.is_empty() && !one.is_behind),
                        Err(wait) => {
                            prop_assert!(!one.is_behind && !senders.is_empty());
                            one.wait = Some(wait);
                        }
                    }
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let one = &mut readers[at];
                    let Some(wait) = &mut one.wait else { continue };
                    let over = one.is_behind || senders.is_empty();
                    prop_assert_eq!(wait.was_woken(), over);
                    let outcome = wait.poll();
                    prop_assert_eq!(outcome.is_some(), over);
                    if let Some(outcome) = outcome {
                        let expected = if one.is_behind { Ok(value) } else { Err(WatchClosed) };
                        prop_assert_eq!(outcome, expected);
                        one.is_behind = false;
                        one.wait = None;
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    readers[at].wait = None;
                }
                Step::DropReceiver(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    readers.remove(at);
                }
                Step::CloneSender => senders.extend(senders.first().cloned()),
                Step::DropSender => drop(senders.pop()),
            }
            if let Some(sender) = senders.first() {
                prop_assert_eq!(sender.get(), value);
                prop_assert_eq!(sender.receivers(), readers.len());
            }
        }
    }
}
