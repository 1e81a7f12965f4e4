//! Each receiver of a broadcast gets each value in order, or is told how many it has lost.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use asyncio_sync::{BroadcastError, BroadcastReceiver, BroadcastSender, broadcast};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Send,
    Subscribe,
    CloneReceiver(usize),
    RecvNowait(usize),
    Recv(usize),
    Poll(usize),
    DropWait(usize),
    DropReceiver(usize),
    CloneSender,
    DropSender,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Send),
        2 => Just(Step::Subscribe),
        1 => any::<usize>().prop_map(Step::CloneReceiver),
        6 => any::<usize>().prop_map(Step::RecvNowait),
        6 => any::<usize>().prop_map(Step::Recv),
        6 => any::<usize>().prop_map(Step::Poll),
        2 => any::<usize>().prop_map(Step::DropWait),
        2 => any::<usize>().prop_map(Step::DropReceiver),
        1 => Just(Step::CloneSender),
        1 => Just(Step::DropSender),
    ];
    proptest::collection::vec(step, 0..150)
}

/// A value whose copies are counted.
#[derive(Debug, Clone)]
struct Value {
    id: u32,
    _alive: Rc<()>,
}

type Received = Result<u32, BroadcastError>;
type Shared = Rc<RefCell<BroadcastReceiver<Value>>>;

/// A receiver, what it has to receive, and its wait.
struct Reader {
    receiver: Shared,
    values: VecDeque<u32>,
    lost: u64,
    wait: Option<Waiting<Received>>,
}

impl Reader {
    fn new(receiver: BroadcastReceiver<Value>, values: VecDeque<u32>, lost: u64) -> Self {
        Self {
            receiver: Rc::new(RefCell::new(receiver)),
            values,
            lost,
            wait: None,
        }
    }

    /// The result of a receive; `None`: it waits.
    fn receive(&mut self, is_closed: bool) -> Option<Received> {
        if self.lost > 0 {
            return Some(Err(BroadcastError::Lagged(std::mem::take(&mut self.lost))));
        }
        let closed = is_closed.then_some(Err(BroadcastError::Closed));
        self.values.pop_front().map(Ok).or(closed)
    }
}

// One task uses a receiver at a time, which the steps see to.
#[allow(clippy::await_holding_refcell_ref)]
async fn recv(receiver: Shared) -> Received {
    let received = receiver.borrow_mut().recv().await;
    received.map(|value| value.id)
}

proptest! {
    #[test]
    fn each_receiver_gets_each_value_or_is_told(capacity in 1..5usize, steps in steps()) {
        let (sender, receiver) = broadcast(capacity);
        let mut senders: Vec<BroadcastSender<Value>> = vec![sender];
        let mut readers = vec![Reader::new(receiver, VecDeque::new(), 0)];
        let alive = Rc::new(());

        for (id, step) in (0u32..).zip(steps) {
            let is_closed = senders.is_empty();
            match step {
                Step::Send => {
                    let Some(sender) = senders.first() else { continue };
                    let sent = sender.send(Value { id, _alive: alive.clone() });
                    prop_assert_eq!(sent.ok(), (!readers.is_empty()).then_some(readers.len()));
                    // The ring has room for the last values only, whoever needs the others.
                    for reader in &mut readers {
                        reader.values.push_back(id);
                        if reader.values.len() > capacity {
                            reader.values.pop_front();
                            reader.lost += 1;
                        }
                    }
                }
                Step::Subscribe => {
                    let Some(sender) = senders.first() else { continue };
                    readers.push(Reader::new(sender.subscribe(), VecDeque::new(), 0));
                }
                Step::CloneReceiver(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let Ok(original) = readers[at].receiver.try_borrow() else { continue };
                    let copy = original.clone();
                    drop(original);
                    let (values, lost) = (readers[at].values.clone(), readers[at].lost);
                    readers.push(Reader::new(copy, values, lost));
                }
                Step::RecvNowait(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    if readers[at].wait.is_some() {
                        continue;
                    }
                    let receiver = readers[at].receiver.clone();
                    let received = receiver.borrow_mut().recv_nowait();
                    let received = received.map(|received| received.map(|value| value.id));
                    prop_assert_eq!(received, readers[at].receive(is_closed));
                }
                Step::Recv(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    if readers[at].wait.is_some() {
                        continue;
                    }
                    let expected = readers[at].receive(is_closed);
                    match Waiting::begin(id, recv(readers[at].receiver.clone())) {
                        Ok(received) => prop_assert_eq!(Some(received), expected),
                        Err(wait) => {
                            prop_assert_eq!(expected, None);
                            readers[at].wait = Some(wait);
                        }
                    }
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&readers, choice) else { continue };
                    let Some(mut wait) = readers[at].wait.take() else { continue };
                    let expected = readers[at].receive(is_closed);
                    prop_assert_eq!(wait.was_woken(), expected.is_some());
                    let received = wait.poll();
                    prop_assert_eq!(&received, &expected);
                    readers[at].wait = received.is_none().then_some(wait);
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
            // A value that nobody has to receive is gone, and there is one copy of each other.
            let kept = readers.iter().map(|reader| reader.values.len()).max().unwrap_or(0);
            prop_assert_eq!(Rc::strong_count(&alive) - 1, kept);
            if let Some(sender) = senders.first() {
                prop_assert_eq!(sender.len(), kept);
                prop_assert_eq!(sender.receivers(), readers.len());
            }
        }
    }
}
