//! The values of the timers, each under an index, with a generation that makes its key unique.
//!
//! An index is used again for a later timer, in the next generation. When its generations are used
//! up, after 2³² − 1 timers, it is given up, so that no key ever comes back: this costs the memory
//! of one entry for every four thousand million timers.

use std::num::NonZeroU32;

use crate::key::TimerKey;
use crate::rings::MAX_ENTRIES;

enum Entry<T> {
    Occupied {
        generation: NonZeroU32,
        value: T,
    },
    /// Comes back in this generation.
    Vacant {
        generation: NonZeroU32,
        next_vacant: Option<u32>,
    },
    /// Has lived through all its generations.
    GivenUp,
}

/// The values, found by key.
pub(crate) struct Store<T> {
    entries: Vec<Entry<T>>,
    vacant: Option<u32>,
    len: usize,
}

impl<T> Store<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            vacant: None,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps a value, under the lowest index never used so far if none is vacant.
    ///
    /// # Panics
    ///
    /// If 32 bits do not suffice to count the entries.
    pub(crate) fn insert(&mut self, value: T) -> TimerKey {
        let key = match self.vacant {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                let Entry::Vacant {
                    generation,
                    next_vacant,
                } = *entry
                else {
                    unreachable!("the list of vacant entries leads to one that is not");
                };
                self.vacant = next_vacant;
                *entry = Entry::Occupied { generation, value };
                TimerKey { index, generation }
            }
            None => {
                let index = self.entries.len();
                assert!(
                    index < MAX_ENTRIES,
                    "a timer wheel holds at most {MAX_ENTRIES} timers"
                );
                let generation = NonZeroU32::MIN;
                self.entries.push(Entry::Occupied { generation, value });
                TimerKey {
                    index: index as u32,
                    generation,
                }
            }
        };
        self.len += 1;
        key
    }

    /// Gives a value back, unless its key is stale.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        self.get(key)?;
        self.remove_at(key.index)
    }

    /// Gives back the value at an index, if there is one.
    pub(crate) fn remove_at(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let Entry::Occupied { generation, .. } = *entry else {
            return None;
        };
        let left_behind = match generation.checked_add(1) {
            Some(generation) => {
                let next_vacant = self.vacant.replace(index);
                Entry::Vacant {
                    generation,
                    next_vacant,
                }
            }
            None => Entry::GivenUp,
        };
        self.len -= 1;
        match std::mem::replace(entry, left_behind) {
            Entry::Occupied { value, .. } => Some(value),
            Entry::Vacant { .. } | Entry::GivenUp => None,
        }
    }

    pub(crate) fn get(&self, key: TimerKey) -> Option<&T> {
        match self.entries.get(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_in_its_next_generation() {
        let mut store = Store::new();
        let first = store.insert("first");
        assert_eq!(store.remove(first), Some("first"));
        let second = store.insert("second");

        assert_eq!(second.index, first.index);
        assert_eq!(store.get(first), None);
        assert_eq!(store.remove(first), None);
        assert_eq!(store.get(second), Some(&"second"));
    }

    #[test]
    fn an_index_whose_generations_are_used_up_is_given_up() {
        let mut store = Store::new();
        let index = store.insert("first of all").index;
        store.entries[0] = Entry::Occupied {
            generation: NonZeroU32::MAX,
            value: "last of all",
        };
        let last = TimerKey {
            index,
            generation: NonZeroU32::MAX,
        };
        assert_eq!(store.remove(last), Some("last of all"));

        let next = store.insert("elsewhere");
        assert_ne!(next.index, index);
        assert_eq!(store.remove(last), None);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn an_entry_of_sixteen_bytes_takes_twenty_four() {
        assert_eq!(size_of::<Entry<[u64; 2]>>(), 24);
        assert_eq!(size_of::<Entry<std::task::Waker>>(), 24);
    }
}
