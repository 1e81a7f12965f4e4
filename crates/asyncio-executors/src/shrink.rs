//! Queues that give their memory back after a burst.

use std::collections::VecDeque;

/// So many places are kept in any case.
const FEW: usize = 4096;

/// Gives memory back if a queue uses less than an eighth of its places. To be called when an entry has left.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > FEW && queue.len() < queue.capacity() / 8 {
        queue.shrink_to(FEW.max(2 * queue.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_twice_its_entries_once_seven_eighths_are_free() {
        let mut queue: VecDeque<usize> = VecDeque::with_capacity(100_000);
        let room = queue.capacity();
        queue.extend(0..room / 8);
        shrink(&mut queue);
        assert_eq!(queue.capacity(), room);
        queue.pop_front();
        shrink(&mut queue);
        assert!((2 * queue.len()..room / 2).contains(&queue.capacity()));
        queue.clear();
        shrink(&mut queue);
        assert!((FEW..2 * FEW).contains(&queue.capacity()));
    }
}
