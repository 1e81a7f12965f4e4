//! Permits are conserved, and granted strictly in order.

use std::collections::VecDeque;
use std::rc::Rc;

use asyncio_sync::{OwnedSemaphorePermit, Semaphore};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Acquire(usize),
    TryAcquire(usize),
    Poll(usize),
    PollElsewhere(usize),
    DropWait(usize),
    Release(usize),
    Add(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4usize).prop_map(Step::Acquire),
        1 => (0..4usize).prop_map(Step::TryAcquire),
        3 => any::<usize>().prop_map(Step::Poll),
        1 => any::<usize>().prop_map(Step::PollElsewhere),
        2 => any::<usize>().prop_map(Step::DropWait),
        4 => any::<usize>().prop_map(Step::Release),
        1 => (0..3usize).prop_map(Step::Add),
    ];
    proptest::collection::vec(step, 0..120)
}

/// The model of a semaphore.
#[derive(Debug, Default)]
struct Model {
    free: usize,
    /// The waiters, each with the number of permits.
    waiting: VecDeque<(u32, usize)>,
    /// The granted waiters that have not run since.
    granted: Vec<(u32, usize)>,
}

impl Model {
    /// Acquires permits. Returns whether the task need not wait.
    fn acquire(&mut self, id: u32, count: usize) -> bool {
        let at_once = (count == 0 || self.granted.is_empty()) && self.try_acquire(count);
        if !at_once {
            self.waiting.push_back((id, count));
            // It may be granted at once, but runs after the waiters before it.
            self.release(0);
        }
        at_once
    }

    fn try_acquire(&mut self, count: usize) -> bool {
        let at_once = count == 0 || self.waiting.is_empty() && count <= self.free;
        if at_once {
            self.free -= count;
        }
        at_once
    }

    fn release(&mut self, count: usize) {
        self.free += count;
        while let Some(&(id, count)) = self.waiting.front()
            && count <= self.free
        {
            self.free -= count;
            self.waiting.pop_front();
            self.granted.push((id, count));
        }
    }

    /// Runs waiter `id`. Returns whether it was granted.
    fn run(&mut self, id: u32) -> bool {
        let at = self.granted.iter().position(|&(granted, _)| granted == id);
        at.map(|at| self.granted.remove(at)).is_some()
    }

    fn cancel(&mut self, id: u32) {
        if let Some(at) = self.granted.iter().position(|&(granted, _)| granted == id) {
            let (_, count) = self.granted.remove(at);
            self.release(count);
        } else {
            self.waiting.retain(|&(waiting, _)| waiting != id);
            self.release(0);
        }
    }
}

proptest! {
    #[test]
    fn permits_are_conserved_and_no_task_overtakes(start in 0..4usize, steps in steps()) {
        let semaphore = Rc::new(Semaphore::new(start));
        let mut model = Model { free: start, ..Model::default() };
        let mut waiting: Vec<Waiting<OwnedSemaphorePermit>> = Vec::new();
        let mut held: Vec<OwnedSemaphorePermit> = Vec::new();
        let mut total = start;

        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Acquire(count) => {
                    let acquire = Rc::clone(&semaphore).acquire_many_owned(count);
                    let began = Waiting::begin(id, acquire);
                    prop_assert_eq!(began.is_ok(), model.acquire(id, count));
                    match began {
                        Ok(permit) => held.push(permit),
                        Err(wait) => waiting.push(wait),
                    }
                }
                Step::TryAcquire(count) => {
                    let permit = Rc::clone(&semaphore).try_acquire_many_owned(count);
                    prop_assert_eq!(permit.is_some(), model.try_acquire(count));
                    held.extend(permit);
                }
                Step::Poll(choice) | Step::PollElsewhere(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let polled = match step {
                        Step::Poll(_) => waiting[at].poll(),
                        _ => waiting[at].poll_elsewhere(),
                    };
                    prop_assert_eq!(polled.is_some(), model.run(waiting[at].id));
                    if let Some(permit) = polled {
                        held.push(permit);
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    model.cancel(waiting.remove(at).id);
                }
                Step::Release(choice) => {
                    let Some(at) = pick(&held, choice) else { continue };
                    model.release(held.remove(at).count());
                }
                Step::Add(count) => {
                    semaphore.add_permits(count);
                    model.release(count);
                    total += count;
                }
            }

            prop_assert_eq!(semaphore.available_permits(), model.free);
            prop_assert_eq!(semaphore.waiters(), waiting.len());
            let granted: usize = model.granted.iter().map(|&(_, count)| count).sum();
            let taken: usize = held.iter().map(OwnedSemaphorePermit::count).sum();
            prop_assert_eq!(model.free + granted + taken, total);
            // Each granted waiter was woken. A waiter that moved to another task was granted after
            // that task had polled it.
            for wait in &waiting {
                if model.granted.iter().any(|&(id, _)| id == wait.id) {
                    prop_assert!(wait.was_woken());
                }
            }
        }

        // After all permits are released, none is lost.
        waiting.clear();
        held.clear();
        prop_assert_eq!(semaphore.available_permits(), total);
        prop_assert_eq!(semaphore.waiters(), 0);
    }
}
