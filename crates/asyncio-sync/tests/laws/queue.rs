//! Items are conserved, come out in the order of their queue, and go to the first waiting task.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::rc::Rc;

use asyncio_sync::{
    BaseQueue, Discipline, Fifo, GetNowaitError, Lifo, PutError, PutNowaitError, QueueShutDown,
    QueueSlot, Smallest,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::{Waiting, pick};

/// An item that is compared only by its key, so that items can be equal.
#[derive(Debug, Clone, Copy)]
struct Piece {
    key: u8,
    arrival: u32,
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Piece {}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    PutNowait(u8),
    Get,
    GetNowait,
    Reserve,
    UseSlot(usize, u8),
    DropSlot(usize),
    PollPutter(usize),
    PollGetter(usize),
    MoveGetter(usize),
    DropPutter(usize),
    DropGetter(usize),
    TaskDone,
    Join,
    PollJoiner(usize),
    Shutdown(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => (0..4u8).prop_map(Step::Put),
        20 => (0..4u8).prop_map(Step::PutNowait),
        40 => Just(Step::Get),
        20 => Just(Step::GetNowait),
        20 => Just(Step::Reserve),
        20 => (any::<usize>(), 0..4u8).prop_map(|(at, key)| Step::UseSlot(at, key)),
        10 => any::<usize>().prop_map(Step::DropSlot),
        40 => any::<usize>().prop_map(Step::PollPutter),
        40 => any::<usize>().prop_map(Step::PollGetter),
        10 => any::<usize>().prop_map(Step::MoveGetter),
        20 => any::<usize>().prop_map(Step::DropPutter),
        20 => any::<usize>().prop_map(Step::DropGetter),
        30 => Just(Step::TaskDone),
        10 => Just(Step::Join),
        10 => any::<usize>().prop_map(Step::PollJoiner),
        1 => any::<bool>().prop_map(Step::Shutdown),
    ];
    proptest::collection::vec(step, 0..200)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Reserved,
    Refused,
}

/// The model of a queue.
struct Model {
    maxsize: usize,
    items: Vec<Piece>,
    /// The index of the next item.
    next: fn(&[Piece]) -> usize,
    unfinished: usize,
    shut_down: bool,
    getters: Vec<State>,
    /// With those that wait for a slot.
    putters: Vec<State>,
    /// The number of slots that are held.
    slots: usize,
    /// For each joiner, whether it was released.
    joiners: Vec<bool>,
}

fn count(all: &[State], state: State) -> usize {
    all.iter().filter(|&&one| one == state).count()
}

impl Model {
    fn available(&self) -> usize {
        self.items.len() - count(&self.getters, State::Reserved)
    }

    fn has_room(&self) -> bool {
        let taken = self.items.len() + count(&self.putters, State::Reserved) + self.slots;
        self.maxsize == 0 || taken < self.maxsize
    }

    fn put(&mut self, item: Piece) {
        self.items.push(item);
        self.unfinished += 1;
        self.update_waiters();
    }

    fn get(&mut self) -> Piece {
        let item = self.items.remove((self.next)(&self.items));
        self.update_waiters();
        item
    }

    /// Reserves items and slots for the first waiters. After a shutdown, refuses waiters.
    fn update_waiters(&mut self) {
        if self.shut_down {
            self.putters.fill(State::Refused);
            let waits = self
                .getters
                .iter_mut()
                .filter(|getter| **getter == State::Waits);
            waits.for_each(|getter| *getter = State::Refused);
            if self.items.is_empty() {
                self.getters.fill(State::Refused);
            }
            return;
        }
        while self.available() > 0
            && let Some(first) = self
                .getters
                .iter_mut()
                .find(|getter| **getter == State::Waits)
        {
            *first = State::Reserved;
        }
        while self.has_room()
            && let Some(first) = self
                .putters
                .iter_mut()
                .find(|putter| **putter == State::Waits)
        {
            *first = State::Reserved;
        }
    }

    fn release_joiners_if_finished(&mut self) {
        if self.unfinished == 0 {
            self.joiners.fill(true);
        }
    }
}

type Getter = Waiting<Result<Piece, QueueShutDown>>;
type Putter = Waiting<Result<(), PutError<Piece>>>;
type Reserver<D> = Waiting<Result<QueueSlot<'static, D>, PutError<()>>>;

/// A task that waits for a slot.
enum WaitsForSlot<D: Discipline + 'static> {
    Put(Piece, Putter),
    Reserve(Reserver<D>),
}

impl<D: Discipline + 'static> WaitsForSlot<D> {
    fn was_woken(&self) -> bool {
        match self {
            Self::Put(_, wait) => wait.was_woken(),
            Self::Reserve(wait) => wait.was_woken(),
        }
    }
}

fn check<D>(
    maxsize: usize,
    steps: Vec<Step>,
    next: fn(&[Piece]) -> usize,
) -> Result<(), TestCaseError>
where
    D: Discipline<Item = Piece> + Debug + 'static,
{
    // Leaked, as slots borrow it.
    let queue: &'static Rc<_> = Box::leak(Box::new(Rc::new(BaseQueue::<D>::new(maxsize))));
    let mut model = Model {
        maxsize,
        items: Vec::new(),
        next,
        unfinished: 0,
        shut_down: false,
        getters: Vec::new(),
        putters: Vec::new(),
        slots: 0,
        joiners: Vec::new(),
    };
    // In the same order as in the model.
    let mut getters: Vec<Getter> = Vec::new();
    let mut putters: Vec<WaitsForSlot<D>> = Vec::new();
    let mut slots: Vec<QueueSlot<'static, D>> = Vec::new();
    let mut joiners: Vec<Waiting<()>> = Vec::new();
    // Equal items are distinguished by their arrival.
    let arrival = |item: Result<Piece, QueueShutDown>| item.map(|item| item.arrival);

    for (id, step) in (0u32..).zip(steps) {
        match step {
            Step::Put(key) => {
                let item = Piece { key, arrival: id };
                let putter = Rc::clone(queue);
                match Waiting::begin(id, async move { putter.put(item).await }) {
                    Ok(Ok(())) => {
                        prop_assert!(!model.shut_down && model.has_room());
                        model.put(item);
                    }
                    Ok(Err(PutError(back))) => {
                        prop_assert!(model.shut_down);
                        prop_assert_eq!(back.arrival, id);
                    }
                    Err(wait) => {
                        prop_assert!(!model.shut_down && !model.has_room());
                        putters.push(WaitsForSlot::Put(item, wait));
                        model.putters.push(State::Waits);
                    }
                }
            }
            Step::PutNowait(key) => {
                let item = Piece { key, arrival: id };
                match queue.put_nowait(item) {
                    Ok(()) => {
                        prop_assert!(!model.shut_down && model.has_room());
                        model.put(item);
                    }
                    Err(PutNowaitError::QueueShutDown(_)) => prop_assert!(model.shut_down),
                    Err(PutNowaitError::QueueFull(back)) => {
                        prop_assert!(!model.shut_down && !model.has_room());
                        prop_assert_eq!(back.arrival, id);
                    }
                }
            }
            Step::Get => {
                let getter = Rc::clone(queue);
                match Waiting::begin(id, async move { getter.get().await }) {
                    Ok(Ok(item)) => {
                        prop_assert!(model.available() > 0);
                        prop_assert_eq!(item.arrival, model.get().arrival);
                    }
                    Ok(Err(QueueShutDown)) => {
                        prop_assert!(model.shut_down && model.available() == 0);
                    }
                    Err(wait) => {
                        prop_assert!(!model.shut_down && model.available() == 0);
                        getters.push(wait);
                        model.getters.push(State::Waits);
                    }
                }
            }
            Step::GetNowait => match queue.get_nowait() {
                Ok(item) => {
                    prop_assert!(model.available() > 0);
                    prop_assert_eq!(item.arrival, model.get().arrival);
                }
                Err(error) => {
                    prop_assert_eq!(model.available(), 0);
                    let shut_down = error == GetNowaitError::QueueShutDown;
                    prop_assert_eq!(shut_down, model.shut_down);
                }
            },
            Step::PollPutter(choice) => {
                let Some(at) = pick(&putters, choice) else {
                    continue;
                };
                let state = model.putters[at];
                let put = match &mut putters[at] {
                    WaitsForSlot::Put(item, wait) => {
                        let polled = wait.poll();
                        match state {
                            State::Waits => prop_assert_eq!(polled, None),
                            State::Reserved => prop_assert_eq!(polled, Some(Ok(()))),
                            State::Refused => prop_assert!(matches!(polled, Some(Err(_)))),
                        }
                        Some(*item)
                    }
                    WaitsForSlot::Reserve(wait) => {
                        match (state, wait.poll()) {
                            (State::Waits, None) | (State::Refused, Some(Err(PutError(())))) => {}
                            (State::Reserved, Some(Ok(slot))) => slots.push(slot),
                            (_, polled) => prop_assert!(false, "{state:?}, but {polled:?}"),
                        }
                        None
                    }
                };
                if state == State::Waits {
                    continue;
                }
                putters.remove(at);
                model.putters.remove(at);
                match put {
                    _ if state == State::Refused => {}
                    Some(item) => model.put(item),
                    None => model.slots += 1,
                }
            }
            Step::Reserve => match Waiting::begin(id, queue.reserve()) {
                Ok(Ok(slot)) => {
                    prop_assert!(!model.shut_down && model.has_room());
                    slots.push(slot);
                    model.slots += 1;
                }
                Ok(Err(PutError(()))) => prop_assert!(model.shut_down),
                Err(wait) => {
                    prop_assert!(!model.shut_down && !model.has_room());
                    putters.push(WaitsForSlot::Reserve(wait));
                    model.putters.push(State::Waits);
                }
            },
            Step::UseSlot(choice, key) => {
                let Some(at) = pick(&slots, choice) else {
                    continue;
                };
                let item = Piece { key, arrival: id };
                let put = slots.remove(at).put(item);
                model.slots -= 1;
                match put {
                    Ok(()) => {
                        prop_assert!(!model.shut_down);
                        model.put(item);
                    }
                    Err(PutError(back)) => {
                        prop_assert!(model.shut_down);
                        prop_assert_eq!(back.arrival, id);
                    }
                }
            }
            Step::DropSlot(choice) => {
                let Some(at) = pick(&slots, choice) else {
                    continue;
                };
                drop(slots.remove(at));
                model.slots -= 1;
                model.update_waiters();
            }
            Step::PollGetter(choice) | Step::MoveGetter(choice) => {
                let Some(at) = pick(&getters, choice) else {
                    continue;
                };
                let polled = match step {
                    Step::PollGetter(_) => getters[at].poll(),
                    _ => getters[at].poll_elsewhere(),
                };
                let polled = polled.map(arrival);
                match model.getters[at] {
                    State::Waits => {
                        prop_assert_eq!(polled, None);
                        continue;
                    }
                    State::Reserved => {
                        model.getters.remove(at);
                        prop_assert_eq!(polled, Some(Ok(model.get().arrival)));
                    }
                    State::Refused => {
                        model.getters.remove(at);
                        // A getter with a reservation may have left its item.
                        let left = (model.available() > 0).then(|| model.get().arrival);
                        prop_assert_eq!(polled, Some(left.ok_or(QueueShutDown)));
                    }
                }
                getters.remove(at);
            }
            Step::DropPutter(choice) => {
                let Some(at) = pick(&putters, choice) else {
                    continue;
                };
                putters.remove(at);
                model.putters.remove(at);
                model.update_waiters();
            }
            Step::DropGetter(choice) => {
                let Some(at) = pick(&getters, choice) else {
                    continue;
                };
                getters.remove(at);
                model.getters.remove(at);
                model.update_waiters();
            }
            Step::TaskDone => {
                prop_assert_eq!(queue.task_done().is_ok(), model.unfinished > 0);
                if model.unfinished > 0 {
                    model.unfinished -= 1;
                    model.release_joiners_if_finished();
                }
            }
            Step::Join => {
                let joiner = Rc::clone(queue);
                let began = Waiting::begin(id, async move { joiner.join().await });
                prop_assert_eq!(began.is_ok(), model.unfinished == 0);
                if let Err(wait) = began {
                    joiners.push(wait);
                    model.joiners.push(false);
                }
            }
            Step::PollJoiner(choice) => {
                let Some(at) = pick(&joiners, choice) else {
                    continue;
                };
                let returned = joiners[at].poll().is_some();
                prop_assert_eq!(returned, model.joiners[at]);
                if returned {
                    joiners.remove(at);
                    model.joiners.remove(at);
                }
            }
            Step::Shutdown(immediate) => {
                queue.shutdown(immediate);
                model.shut_down = true;
                if immediate {
                    model.unfinished = model.unfinished.saturating_sub(model.items.len());
                    model.items.clear();
                    model.release_joiners_if_finished();
                }
                model.update_waiters();
            }
        }

        prop_assert_eq!(queue.qsize(), model.available());
        prop_assert_eq!(queue.empty(), model.available() == 0);
        prop_assert!(model.shut_down || queue.full() != model.has_room());
        prop_assert_eq!(queue.unfinished_tasks(), model.unfinished);
        prop_assert_eq!(queue.getters(), getters.len());
        prop_assert_eq!(queue.putters(), putters.len());
        for (wait, state) in getters.iter().zip(&model.getters) {
            prop_assert_eq!(wait.was_woken(), *state != State::Waits);
        }
        for (wait, state) in putters.iter().zip(&model.putters) {
            prop_assert_eq!(wait.was_woken(), *state != State::Waits);
        }
        for (wait, released) in joiners.iter().zip(&model.joiners) {
            prop_assert_eq!(wait.was_woken(), *released);
        }
    }

    // After all waiters are dropped, the remaining items come out in order.
    drop((getters, putters, slots));
    model.getters.clear();
    model.putters.clear();
    model.slots = 0;
    while let Ok(item) = queue.get_nowait() {
        prop_assert_eq!(item.arrival, model.get().arrival);
    }
    prop_assert!(model.items.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn first_in_first_out(maxsize in 0..4usize, steps in steps()) {
        check::<Fifo<Piece>>(maxsize, steps, |_| 0)?;
    }

    #[test]
    fn last_in_first_out(maxsize in 0..4usize, steps in steps()) {
        check::<Lifo<Piece>>(maxsize, steps, |items| items.len() - 1)?;
    }

    #[test]
    fn smallest_first(maxsize in 0..4usize, steps in steps()) {
        check::<Smallest<Piece>>(maxsize, steps, |items| {
            let smallest = (0..items.len()).min_by_key(|&at| (items[at].key, at));
            smallest.expect("the model has an item")
        })?;
    }

    /// Compares a large heap with a sort.
    #[test]
    fn smallest_first_of_many(keys in proptest::collection::vec(0..50u8, 0..300)) {
        let queue = BaseQueue::<Smallest<Piece>>::new(0);
        for (arrival, &key) in (0u32..).zip(&keys) {
            queue.put_nowait(Piece { key, arrival }).unwrap();
        }
        let mut expected: Vec<_> = keys.into_iter().zip(0u32..).collect();
        expected.sort_unstable();
        let out: Vec<_> = std::iter::from_fn(|| queue.get_nowait().ok())
            .map(|piece| (piece.key, piece.arrival))
            .collect();
        prop_assert_eq!(out, expected);
    }
}
