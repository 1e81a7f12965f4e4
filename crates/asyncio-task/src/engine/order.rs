//! The order of a batch of ready tasks, shuffled by a seed, so that tests find code that relies on one.

use std::cell::Cell;

/// A small generator of pseudo-random numbers: splitmix64 (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", OOPSLA 2014). The same seed gives the same order everywhere.
#[derive(Debug)]
pub(crate) struct Order {
    state: Cell<u64>,
}

impl Order {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: Cell::new(seed),
        }
    }

    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of splitmix64 for a seed, as in its reference implementation.
    #[test]
    fn a_seed_gives_the_same_numbers_everywhere() {
        let order = Order::new(1_234_567);
        let numbers = [(); 5].map(|()| order.next());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, expected);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
        let numbers = |seed| {
            let order = Order::new(seed);
            (0..20).map(|_| order.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn numbers_are_below_their_bound_and_reach_all_below_it() {
        let order = Order::new(1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[order.below(5)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 100), "{seen:?}");
    }
}
