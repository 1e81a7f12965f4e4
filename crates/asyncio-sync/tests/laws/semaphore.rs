//! Permits are conserved and handed out strictly in order.

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

/// Who has what, in the simplest words.
#[derive(Debug, Default)]
struct Model {
    free: usize,
    /// Who waits, and for how many.
    line: VecDeque<(u32, usize)>,
    /// Who was given permits and has not run yet.
    given: Vec<(u32, usize)>,
}

impl Model {
    /// Whether who comes now has its permits at once.
    fn acquire(&mut self, id: u32, count: usize) -> bool {
        let at_once = (count == 0 || self.given.is_empty()) && self.try_acquire(count);
        if !at_once {
            self.line.push_back((id, count));
            // It may be given its permits at once, but has its turn after those who were before it.
            self.release(0);
        }
        at_once
    }

    fn try_acquire(&mut self, count: usize) -> bool {
        let at_once = count == 0 || self.line.is_empty() && count <= self.free;
        if at_once {
            self.free -= count;
        }
        at_once
    }

    fn release(&mut self, count: usize) {
        self.free += count;
        while let Some(&(id, count)) = self.line.front()
            && count <= self.free
        {
            self.free -= count;
            self.line.pop_front();
            self.given.push((id, count));
        }
    }

    /// Whether `id` was given its permits; if so, it takes them.
    fn run(&mut self, id: u32) -> bool {
        let at = self.given.iter().position(|&(given, _)| given == id);
        at.map(|at| self.given.remove(at)).is_some()
    }

    fn give_up(&mut self, id: u32) {
        if let Some(at) = self.given.iter().position(|&(given, _)| given == id) {
            let (_, count) = self.given.remove(at);
            self.release(count);
        } else {
            self.line.retain(|&(waiting, _)| waiting != id);
            self.release(0);
        }
    }
}

proptest! {
    #[test]
    fn permits_are_conserved_and_nobody_overtakes(start in 0..4usize, steps in steps()) {
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
                    model.give_up(waiting.remove(at).id);
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
            let given: usize = model.given.iter().map(|&(_, count)| count).sum();
            let taken: usize = held.iter().map(OwnedSemaphorePermit::count).sum();
            prop_assert_eq!(model.free + given + taken, total);
            // Who was given something knows it, unless it moved to another task meanwhile; then that
            // one found out when it polled.
            for wait in &waiting {
                if model.given.iter().any(|&(id, _)| id == wait.id) {
                    prop_assert!(wait.was_woken());
                }
            }
        }

        // When all is given back, nothing is lost.
        waiting.clear();
        held.clear();
        prop_assert_eq!(semaphore.available_permits(), total);
        prop_assert_eq!(semaphore.waiters(), 0);
    }
}
