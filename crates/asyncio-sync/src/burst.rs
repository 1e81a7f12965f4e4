//! How a list of values comes down again after a burst.

/// The capacity to shrink to, if a burst has left far more than needed.
#[inline]
pub(crate) fn shrink_target(len: usize, capacity: usize) -> Option<usize> {
    const MIN_CAPACITY: usize = 1 << 12;
    (capacity > MIN_CAPACITY && len < capacity / 8).then(|| MIN_CAPACITY.max(2 * len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_freed_when_less_than_an_eighth_is_used() {
        const LEAST: usize = 1 << 12;
        assert_eq!(shrink_target(0, LEAST), None, "small lists keep theirs");
        assert_eq!(shrink_target(2 * LEAST, 16 * LEAST), None, "an eighth");
        assert_eq!(
            shrink_target(2 * LEAST - 1, 16 * LEAST),
            Some(4 * LEAST - 2)
        );
        assert_eq!(shrink_target(1, 16 * LEAST), Some(LEAST));
    }
}
