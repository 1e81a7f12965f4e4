//! A line: jobs in the order of their numbers. Any of them may leave it.
//!
//! Nearly every job comes last and leaves first. So a line is a ring, and a job that leaves from its middle leaves an
//! empty place behind. Empty places go when they are the first or the last, or when most places are empty.

use std::collections::VecDeque;

/// Jobs in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Line<T> {
    /// By number. The first place and the last one are not empty.
    places: VecDeque<(u64, Option<T>)>,
    /// The number of places that are not empty.
    jobs: usize,
}

/// The number of places that an empty line keeps. It frees the memory of further ones.
const KEPT: usize = 1 << 10;

impl<T> Line<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.jobs
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs == 0
    }

    /// Takes in a job, under a number that this line has never had.
    pub(crate) fn insert(&mut self, number: u64, job: T) {
        self.jobs += 1;
        match self.places.back() {
            // A job of a share, which had to wait for its turn in that share.
            Some((last, _)) if *last > number => {
                let place = self.places.partition_point(|(other, _)| *other < number);
                self.places.insert(place, (number, Some(job)));
            }
            _ => self.places.push_back((number, Some(job))),
        }
    }

    /// The job with the lowest number.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, T)> {
        let (number, job) = self.places.pop_front()?;
        let job = job.expect("the first place is not empty");
        self.jobs -= 1;
        self.tidy();
        Some((number, job))
    }

    /// The job with this number.
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let place = self
            .places
            .binary_search_by_key(&number, |(number, _)| *number);
        let job = self.places[place.ok()?].1.take()?;
        self.jobs -= 1;
        self.tidy();
        Some(job)
    }

    /// All jobs, in their order.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|(_, job)| job)
    }

    /// Gives up the places that are empty and not needed.
    #[inline]
    fn tidy(&mut self) {
        if self.places.len() > self.jobs {
            self.tidy_gaps();
        }
        if self.jobs == 0 && self.places.capacity() > KEPT {
            self.places = VecDeque::new();
        }
    }

    #[cold]
    fn tidy_gaps(&mut self) {
        if self.places.len() / 2 > self.jobs {
            // As many have left since the last time.
            self.places.retain(|(_, job)| job.is_some());
            return;
        }
        while self.places.front().is_some_and(|(_, job)| job.is_none()) {
            self.places.pop_front();
        }
        while self.places.back().is_some_and(|(_, job)| job.is_none()) {
            self.places.pop_back();
        }
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            jobs: 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Numbers below `limit`, the same in each run.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        move |limit| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        }
    }

    #[test]
    fn it_is_a_map_in_the_order_of_numbers() {
        for seed in 0..200 {
            let mut below = numbers(seed);
            let (mut line, mut model) = (Line::default(), BTreeMap::new());
            // Numbers that wait in a share, and come later than higher ones.
            let mut held = Vec::new();
            // Some runs come and go, others fill the line and have most jobs leave from its middle.
            let (most_come, most_leave) = (below(6) + 1, below(6) + 1);
            for number in 0..300_u64 {
                match below(most_come + most_leave + 2) {
                    0 => held.push(number),
                    1 if !held.is_empty() => {
                        let held = held.swap_remove(below(held.len() as u64) as usize);
                        line.insert(held, held);
                        model.insert(held, held);
                    }
                    n if n < most_come + 2 => {
                        line.insert(number, number);
                        model.insert(number, number);
                    }
                    _ if below(2) == 0 => assert_eq!(line.pop_first(), model.pop_first()),
                    _ => {
                        let number = below(number + 1);
                        assert_eq!(line.remove(number), model.remove(&number));
                    }
                }
                assert_eq!(
                    (line.len(), line.is_empty()),
                    (model.len(), model.is_empty())
                );
                assert!(
                    line.places.len() <= 2 * line.len() + 1,
                    "seed {seed}: {line:?}"
                );
            }
            let left: Vec<_> = line.into_values().collect();
            assert_eq!(left, model.into_values().collect::<Vec<_>>());
        }
    }

    #[test]
    fn it_gives_the_memory_of_a_crowd_back() {
        let mut line = Line::default();
        (0..100_000).for_each(|number| line.insert(number, ()));
        while line.pop_first().is_some() {}
        assert_eq!(line.places.capacity(), 0);
    }

    #[test]
    fn it_keeps_the_memory_of_a_few() {
        let mut line = Line::default();
        (0..KEPT as u64).for_each(|number| line.insert(number, ()));
        let capacity = line.places.capacity();
        assert_eq!(capacity, KEPT, "a ring grows by doubling");
        while line.pop_first().is_some() {}
        assert_eq!(line.places.capacity(), capacity);
    }

    #[test]
    fn a_crowd_that_leaves_from_the_middle_leaves_few_places() {
        let mut line = Line::default();
        (0..100_000).for_each(|number| line.insert(number, ()));
        (1..100_000).rev().for_each(|number| {
            line.remove(number);
        });
        assert!(line.places.len() <= 3, "{} places", line.places.len());
        assert_eq!(line.pop_first(), Some((0, ())));
    }
}
