//! The figures of a worker, and the line with which it reports them to its parent.

use std::collections::BTreeMap;

/// The figures of one run, by the key of the column they belong to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Adds a figure.
    pub(crate) fn with(mut self, key: &str, value: f64) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    /// Adds the median of some times and their 99th percentile.
    pub(crate) fn with_quantiles(self, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        self.with("p50", quantile(&times, 0.5))
            .with("p99", quantile(&times, 0.99))
    }

    /// Adds the figures of another run.
    pub(crate) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied()
    }

    /// `key=value key=value`.
    pub(crate) fn to_line(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(" ")
    }

    /// Parses the figures of a line. `None` if a word of it is no figure.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut figures = Self::default();
        for word in line.split_whitespace() {
            let (key, value) = word.split_once('=')?;
            figures.0.insert(key.to_owned(), value.parse().ok()?);
        }
        Some(figures)
    }
}

/// The value below which `part` (0 to 1) of `sorted` lies.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    assert!(!sorted.is_empty(), "a quantile needs at least one value");
    let last = (sorted.len() - 1) as f64;
    sorted[(last * part).round() as usize]
}

/// The value in the middle of `values`, or half-way between the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    assert!(!sorted.is_empty(), "a median needs at least one value");
    let last = sorted.len() - 1;
    f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_what_was_written() {
        let figures = Figures::default().with("cpu", 31.25).with("late_p99", 1e6);
        assert_eq!(Figures::from_line(&figures.to_line()), Some(figures));
        assert_eq!(Figures::from_line("cpu=fast"), None);
    }

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[3.0, 1.0]), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.99), 5.0);
    }
}
