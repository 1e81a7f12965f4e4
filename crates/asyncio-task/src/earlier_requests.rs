//! The open requests to cancel a task that came before its last one, counted.
//!
//! Only `cancelling` needs them. A swallowed token answers those up to its own number, unless an earlier token
//! spares them. So two requests have to be told apart only if a number that a token may have lies between them:
//! neighbours without such a *mark* between them are merged. The memory is bounded by what is open in the task,
//! not by the number of requests.

use crate::scope_tree::Request;

/// The requests before the last one, in ascending order.
#[derive(Default)]
pub(crate) struct EarlierRequests {
    batches: Vec<Batch>,
    /// How many batches there may be before neighbours are merged.
    room: usize,
}

/// Requests that no mark tells apart.
struct Batch {
    last: Request,
    count: usize,
}

/// So many batches are not worth a search for marks.
const FEW: usize = 16;

impl EarlierRequests {
    pub(crate) const NONE: Self = Self {
        batches: Vec::new(),
        room: FEW,
    };

    /// Adds `count` requests, the last of which has this number. It is not lower than those before.
    pub(crate) fn push(&mut self, last: Request, count: usize) {
        match self.batches.last_mut() {
            Some(batch) if batch.last == last => batch.count = batch.count.saturating_add(count),
            _ => self.batches.push(Batch { last, count }),
        }
    }

    pub(crate) fn count(&self) -> usize {
        let counts = self.batches.iter().map(|batch| batch.count);
        counts.fold(0, usize::saturating_add)
    }

    /// Takes out the requests after `spared`, up to `answered`.
    pub(crate) fn answer(&mut self, spared: Request, answered: Request) {
        self.batches
            .retain(|batch| batch.last <= spared || batch.last > answered);
    }

    /// Whether [`merge`](Self::merge) is due.
    pub(crate) fn is_full(&self) -> bool {
        self.batches.len() > self.room.max(FEW)
    }

    /// Merges neighbours that none of the marks tells apart. `effort`: how long the search for the marks took,
    /// in scopes. The next one is not due before there are as many batches, so that a request costs no more
    /// than a step on average.
    pub(crate) fn merge(&mut self, mut marks: Vec<Request>, effort: usize) {
        marks.sort_unstable();
        let mut marks = marks.into_iter().peekable();
        self.batches.dedup_by(|later, batch| {
            // `dedup_by` asks in ascending order, so the marks below are behind all that follow.
            while marks.next_if(|&mark| mark < batch.last).is_some() {}
            let apart = marks.peek().is_some_and(|&mark| mark < later.last);
            if !apart {
                batch.last = later.last;
                batch.count = batch.count.saturating_add(later.count);
            }
            !apart
        });
        self.batches.shrink_to(FEW);
        self.room = (2 * self.batches.len()).max(effort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(requests: impl IntoIterator<Item = Request>) -> EarlierRequests {
        let mut earlier = EarlierRequests::default();
        requests.into_iter().for_each(|n| earlier.push(n, 1));
        earlier
    }

    #[test]
    fn neighbours_without_a_mark_between_them_become_one_and_are_counted() {
        let mut earlier = with(1..=100);
        assert!(earlier.is_full());
        earlier.merge(Vec::new(), 0);
        assert_eq!((earlier.batches.len(), earlier.count()), (1, 100));
        earlier.answer(0, 99);
        assert_eq!(earlier.count(), 100); // the last of them is open, so all are taken to be
        earlier.answer(0, 100);
        assert_eq!(earlier.count(), 0);
    }

    #[test]
    fn a_mark_keeps_apart_what_its_token_answers_or_spares() {
        for mark in 0..=11 {
            for token in 0..=11 {
                let (mut merged, mut plain) = (with(1..=10), with(1..=10));
                merged.merge(vec![token, mark], 0);
                merged.answer(mark, token);
                plain.answer(mark, token);
                assert_eq!(merged.count(), plain.count(), "{mark}, {token}");
            }
        }
    }

    #[test]
    fn many_of_one_number_are_one_batch() {
        let mut earlier = with([3; 1_000]);
        assert_eq!((earlier.batches.len(), earlier.count()), (1, 1_000));
        earlier.answer(2, 3);
        assert_eq!(earlier.count(), 0);
    }

    #[test]
    fn the_search_for_marks_is_not_repeated_for_fewer_requests_than_it_cost() {
        let mut earlier = with(1..=20);
        earlier.merge(Vec::new(), 50);
        (21..=69).for_each(|n| earlier.push(n, 1));
        assert!(!earlier.is_full());
        (70..=71).for_each(|n| earlier.push(n, 1));
        assert!(earlier.is_full());
    }
}
