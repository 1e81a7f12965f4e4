//! One figure of one runtime, round by round.

use crate::figures::median;

/// The values of a figure, one for each round. `None` for a round that failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    rounds: Vec<Option<f64>>,
    known: Vec<f64>,
}

impl Series {
    /// A series, unless no round gave a value.
    pub(crate) fn new(rounds: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let rounds: Vec<Option<f64>> = rounds.into_iter().collect();
        let mut known: Vec<f64> = rounds.iter().flatten().copied().collect();
        known.sort_by(f64::total_cmp);
        (!known.is_empty()).then_some(Self { rounds, known })
    }

    pub(crate) fn least(&self) -> f64 {
        self.known[0]
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.known)
    }

    pub(crate) fn most(&self) -> f64 {
        self.known[self.known.len() - 1]
    }

    /// The ratio of this series to the other: the median of the rounds' ratios. A disturbance of a round disturbs both
    /// of its runs alike, so this is steadier than the ratio of two medians.
    pub(crate) fn ratio(&self, other: &Self) -> Option<f64> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> = pairs
            .filter_map(|(mine, theirs)| Some((*mine)? / (*theirs)?))
            .collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_round_does_not_move_the_ratio() {
        let ours = Series::new([Some(10.0), Some(30.0), Some(10.0), None]).unwrap();
        let theirs = Series::new([Some(20.0), Some(60.0), None, Some(1.0)]).unwrap();
        assert_eq!(ours.ratio(&theirs), Some(0.5));
        assert_eq!(
            (ours.least(), ours.median(), ours.most()),
            (10.0, 10.0, 30.0)
        );
        assert_eq!(Series::new([None, None]), None);
    }
}
