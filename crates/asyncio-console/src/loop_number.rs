//! The numbers of loops, by which tasks of several loops have different numbers in one console.
//!
//! Each loop counts its tasks from 1. The first loop that is shown is loop 0, and its tasks keep their numbers, which
//! are those of reports. The tasks of loop 2 begin at 2,000,000,000,001.

#[cfg(feature = "tracing")]
use std::collections::HashMap;
#[cfg(feature = "tracing")]
use std::sync::{Mutex, PoisonError};

/// The loop of a task: the address of its inbox, and its generation there. No two loops of a process have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopKey {
    /// The address, which a later loop may have as well.
    pub address: usize,
    /// The number of the loop among those of this address.
    pub generation: u16,
}

/// The distance between the numbers of two loops.
#[cfg(feature = "tracing")]
const APART: u64 = 1_000_000_000_000;

/// The numbers that were given out: for each address, that of its last loop.
#[cfg(feature = "tracing")]
#[derive(Default)]
struct Numbers {
    given: u64,
    last: HashMap<usize, (u16, u64)>,
}

#[cfg(feature = "tracing")]
static NUMBERS: Mutex<Option<Numbers>> = Mutex::new(None);

#[cfg(feature = "tracing")]
impl Numbers {
    fn of(&mut self, key: LoopKey) -> u64 {
        match self.last.get(&key.address) {
            Some((generation, number)) if *generation == key.generation => *number,
            _ => {
                let number = self.given;
                self.given += 1;
                self.last.insert(key.address, (key.generation, number));
                number
            }
        }
    }
}

#[cfg(feature = "tracing")]
impl LoopKey {
    /// The number of the loop, from 0 in the order in which loops are first shown.
    pub(crate) fn number(self) -> u64 {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get_or_insert_default().of(self)
    }
}

/// The number of a task in the process, from its number on its loop.
#[cfg(feature = "tracing")]
pub(crate) fn in_process(loop_number: u64, task: u64) -> u64 {
    loop_number.wrapping_mul(APART).wrapping_add(task)
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use super::*;

    #[test]
    fn a_later_loop_with_the_same_inbox_has_another_number() {
        let mut numbers = Numbers::default();
        let key = |address, generation| LoopKey {
            address,
            generation,
        };
        let asked = [
            key(1, 0),
            key(2, 0),
            key(1, 0),
            key(1, 1),
            key(2, 0),
            key(1, 1),
        ];
        assert_eq!(asked.map(|key| numbers.of(key)), [0, 1, 0, 2, 1, 2]);
        assert_eq!(numbers.last.len(), 2);
    }

    #[test]
    fn tasks_of_the_first_loop_keep_their_numbers() {
        assert_eq!([in_process(0, 7), in_process(2, 7)], [7, 2_000_000_000_007]);
    }
}
