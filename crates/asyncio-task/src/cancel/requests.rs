//! The open requests to cancel one scope: a record each, with its number, its origin and its message.
//!
//! Nearly always there is one. A later request does not replace an earlier one whose tokens live on. When the later one
//! is answered, the earlier one is still open, with its message.
//!
//! The memory is bounded by the open tokens in the task, not by the number of requests. Two records must stay apart
//! only if a number that a token may have lies between them. Neighbours without such a *mark* between them are merged,
//! and counted.

use std::sync::Arc;

use super::Origin;
use super::Request;

/// The open requests to one scope.
pub(super) struct OpenRequests {
    last: Option<Record>,
    /// Those before the last one, in ascending order.
    earlier: Vec<Record>,
    /// How many earlier records there may be before neighbours are merged.
    room: usize,
}

/// Requests that no mark tells apart.
#[derive(Debug)]
struct Record {
    number: Request,
    origin: Origin,
    /// The last message that was given with them.
    message: Option<Arc<str>>,
    count: usize,
}

/// So many records are not worth a search for marks.
const FEW: usize = 16;

impl OpenRequests {
    pub(super) const NONE: Self = Self {
        last: None,
        earlier: Vec::new(),
        room: FEW,
    };

    /// The number of the last one; 0 if there is none.
    #[inline]
    pub(super) fn last(&self) -> Request {
        self.last.as_ref().map_or(0, |last| last.number)
    }

    /// The origin of the last one, which is the newest of all.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.last.as_ref().map(|last| last.origin)
    }

    /// Adds a request, whose number is higher than those of all before.
    pub(super) fn push(&mut self, number: Request, origin: Origin, message: Option<Arc<str>>) {
        let record = Record {
            number,
            origin,
            message,
            count: 1,
        };
        if let Some(before) = self.last.replace(record) {
            self.earlier.push(before);
        }
    }

    /// The last one was made so many times more.
    pub(super) fn count_again(&mut self, times: usize) {
        if let Some(last) = &mut self.last {
            last.count = last.count.saturating_add(times);
        }
    }

    pub(super) fn count(&self) -> usize {
        let counts = self.newest_first().map(|record| record.count);
        counts.fold(0, usize::saturating_add)
    }

    fn newest_first(&self) -> impl Iterator<Item = &Record> {
        self.last.iter().chain(self.earlier.iter().rev())
    }

    /// The number of the last one up to this; 0 if there is none.
    pub(super) fn up_to(&self, request: Request) -> Request {
        let mut numbers = self.newest_first().map(|record| record.number);
        numbers.find(|&number| number <= request).unwrap_or(0)
    }

    /// The last message of the requests after `spared`, up to `request`.
    pub(super) fn message(&self, spared: Request, request: Request) -> Option<Arc<str>> {
        let mut asked = self
            .newest_first()
            .filter(|record| spared < record.number && record.number <= request);
        asked.find_map(|record| record.message.clone())
    }

    /// Takes out the requests after `spared`, up to `answered`.
    pub(super) fn answer(&mut self, spared: Request, answered: Request) {
        let is_open = |record: &Record| record.number <= spared || record.number > answered;
        self.earlier.retain(is_open);
        if self.last.as_ref().is_some_and(|last| !is_open(last)) {
            self.last = self.earlier.pop();
        }
    }

    /// Whether [`merge`](Self::merge) is due.
    pub(super) fn is_full(&self) -> bool {
        self.earlier.len() > self.room.max(FEW)
    }

    /// Merges neighbours that none of the marks tells apart. `effort`: how long the search for the marks took,
    /// in scopes. The next one is not due before there are as many records, so that a request costs no more
    /// than a step on average.
    pub(super) fn merge(&mut self, mut marks: Vec<Request>, effort: usize) {
        marks.sort_unstable();
        let mut marks = marks.into_iter().peekable();
        self.earlier.dedup_by(|later, record| {
            // `dedup_by` asks in ascending order, so the marks below are behind all that follow.
            while marks.next_if(|&mark| mark < record.number).is_some() {}
            let apart = marks.peek().is_some_and(|&mark| mark < later.number);
            if !apart {
                record.number = later.number;
                record.origin = later.origin;
                record.message = later.message.take().or(record.message.take());
                record.count = record.count.saturating_add(later.count);
            }
            !apart
        });
        self.earlier.shrink_to(FEW);
        self.room = (2 * self.earlier.len()).max(effort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(requests: impl IntoIterator<Item = Request>) -> OpenRequests {
        let mut open = OpenRequests::NONE;
        for number in requests {
            open.push(number, Origin::of(number), Some(number.to_string().into()));
        }
        open
    }

    #[test]
    fn neighbours_without_a_mark_between_them_become_one_and_are_counted() {
        let mut open = with(1..=101);
        assert!(open.is_full());
        open.merge(Vec::new(), 0);
        assert_eq!((open.earlier.len(), open.count()), (1, 101));
        open.answer(0, 99);
        assert_eq!(open.count(), 101); // the last of them is open, so all are taken to be
        open.answer(0, 100);
        assert_eq!((open.count(), open.last()), (1, 101));
    }

    #[test]
    fn a_mark_keeps_apart_what_its_token_answers_or_spares() {
        for mark in 0..=11 {
            for token in 0..=11 {
                let (mut merged, mut plain) = (with(1..=11), with(1..=11));
                merged.merge(vec![token, mark], 0);
                merged.answer(mark, token);
                plain.answer(mark, token);
                assert_eq!(merged.count(), plain.count(), "{mark}, {token}");
                assert_eq!(merged.last(), plain.last(), "{mark}, {token}");
            }
        }
    }

    #[test]
    fn an_earlier_one_is_the_last_again_when_the_later_ones_are_answered() {
        let mut open = with([3, 5, 8]);
        open.answer(3, 8);
        assert_eq!((open.last(), open.count()), (3, 1));
        assert_eq!(open.origin(), Some(Origin::of(3)));
        assert_eq!(open.message(0, 8).as_deref(), Some("3"));
        open.answer(0, 3);
        assert_eq!((open.last(), open.count()), (0, 0));
    }

    #[test]
    fn the_last_message_that_was_given_counts() {
        let mut open = with([3, 5]);
        open.push(8, Origin::of(8), None);
        assert_eq!(open.message(0, 8).as_deref(), Some("5"));
        assert_eq!(open.message(5, 8).as_deref(), None);
        assert_eq!(open.message(0, 4).as_deref(), Some("3"));
    }

    #[test]
    fn one_that_was_made_many_times_is_one_record() {
        let mut open = with([3]);
        open.count_again(999);
        assert_eq!((open.earlier.len(), open.count()), (0, 1_000));
        open.answer(2, 3);
        assert_eq!(open.count(), 0);
    }

    #[test]
    fn the_search_for_marks_is_not_repeated_for_fewer_requests_than_it_cost() {
        let mut open = with(1..=20);
        open.merge(Vec::new(), 50);
        let more = |open: &mut OpenRequests, n| open.push(n, Origin::of(n), None);
        (21..=69).for_each(|n| more(&mut open, n));
        assert!(!open.is_full());
        (70..=72).for_each(|n| more(&mut open, n));
        assert!(open.is_full());
    }
    #[test]
    fn records_that_marks_keep_apart_double_before_the_next_search() {
        let mut open = with(1..=20);
        open.merge((1..=20).collect(), 0);
        assert_eq!(open.earlier.len(), 19);
        let more = |open: &mut OpenRequests, n| open.push(n, Origin::of(n), None);
        (21..=39).for_each(|n| more(&mut open, n));
        assert!(!open.is_full());
        more(&mut open, 40);
        assert!(open.is_full());
    }
}
