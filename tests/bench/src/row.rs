//! A line of the summary: one figure for each family of runtimes.

use crate::comparison::Results;
use crate::runtimes::{self, FLOOR, GUEST, OURS};
use crate::series::Series;
use crate::workload::{Better, Column, Workload};

/// One line of the summary: a figure by family of runtimes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) column: Column,
    pub(crate) families: Vec<Family>,
}

/// A runtime, or several kinds of one.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// The figure of the best kind.
    pub(crate) best: Option<Series>,
}

impl Row {
    pub(crate) fn new(results: &Results, workload: &Workload, column: &Column) -> Self {
        let best_of = |name: &'static str| Family {
            name,
            best: runtimes::ALL
                .iter()
                .filter(|runtime| runtime.family == name)
                .filter_map(|runtime| results.cell(workload, runtime.name))
                .filter(|cell| !cell.unfair())
                .filter_map(|cell| cell.series(column))
                .reduce(|a, b| if is_as_good(column, &a, &b) { a } else { b }),
        };
        Self {
            column: *column,
            families: families().into_iter().map(best_of).collect(),
        }
    }

    pub(crate) fn of(&self, family: &str) -> Option<&Series> {
        self.families
            .iter()
            .find(|f| f.name == family)?
            .best
            .as_ref()
    }

    /// The best of the other runtimes, and its name.
    pub(crate) fn best_peer(&self) -> Option<(&'static str, &Series)> {
        let peers = self.families.iter();
        let peers = peers.filter(|family| ![OURS, GUEST, FLOOR].contains(&family.name));
        let peers = peers.filter_map(|family| Some((family.name, family.best.as_ref()?)));
        peers.reduce(|a, b| {
            if is_as_good(&self.column, a.1, b.1) {
                a
            } else {
                b
            }
        })
    }

    /// The family that is better than ours by more than this factor.
    pub(crate) fn ahead_by(&self, factor: f64) -> Option<(&'static str, &Series)> {
        let ours = self.of(OURS)?.median();
        let is_ahead = |theirs: f64| match self.column.better {
            Better::Less => ours > theirs * factor,
            Better::More => theirs > ours * factor,
        };
        self.best_peer().filter(|(_, best)| is_ahead(best.median()))
    }

    /// Whether it has no figure.
    pub(crate) fn is_empty(&self) -> bool {
        self.families.iter().all(|family| family.best.is_none())
    }

    /// The ratio of ours to `to`, as text.
    pub(crate) fn ratio(&self, to: Option<&Series>) -> String {
        shown_ratio(self.of(OURS), to)
    }
}

/// The ratio of two figures, if both are known.
pub(crate) fn shown_ratio(of: Option<&Series>, to: Option<&Series>) -> String {
    let ratio = of.zip(to).and_then(|(of, to)| of.ratio(to));
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Whether `a` is at least as good as `b`.
fn is_as_good(column: &Column, a: &Series, b: &Series) -> bool {
    match column.better {
        Better::Less => a.median() <= b.median(),
        Better::More => a.median() >= b.median(),
    }
}

/// The families, each once, in order.
pub(crate) fn families() -> Vec<&'static str> {
    let mut families = Vec::new();
    for runtime in runtimes::ALL {
        if !families.contains(&runtime.family) {
            families.push(runtime.family);
        }
    }
    families
}

/// Formats a figure with about three significant digits.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if v >= 100_000.0 => format!("{:.0} k", v / 1e3),
        v if v >= 10_000.0 => format!("{:.1} k", v / 1e3),
        v if v >= 1_000.0 => format!("{},{:03}", v as u64 / 1_000, v as u64 % 1_000),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// Formats a figure that may be far below one.
pub(crate) fn small_figure(value: f64) -> String {
    if value >= 10.0 {
        figure(value)
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Cell;
    use crate::figures::Figures;
    use crate::workloads;

    fn results(figures: &[(&str, f64)]) -> Results {
        let cell = |(name, cpu): &(&str, f64)| Cell {
            runtime: *runtimes::ALL
                .iter()
                .find(|r| r.name == *name)
                .expect("a runtime"),
            workload: workloads::ALL[0],
            rounds: vec![Some(Figures::default().with("cpu", *cpu))],
            counts: None,
        };
        Results {
            cells: figures.iter().map(cell).collect(),
        }
    }

    #[test]
    fn a_family_stands_with_its_best_kind() {
        let results = results(&[
            ("tokio-local", 150.0),
            ("tokio-set", 120.0),
            ("floor", 20.0),
        ]);
        let row = Row::new(&results, &workloads::ALL[0], &Column::CPU);
        assert_eq!(row.of("tokio").unwrap().median(), 120.0);
        // The floor is no peer.
        assert_eq!(row.best_peer().unwrap().1.median(), 120.0);
        assert!(row.of("smol").is_none());
    }

    #[test]
    fn a_family_of_several_kinds_is_one_column() {
        let families = families();
        for (at, family) in families.iter().enumerate() {
            assert!(!families[..at].contains(family), "{family} twice");
        }
    }

    #[test]
    fn ours_as_a_guest_is_no_peer_of_ours() {
        let results = results(&[("ours", 50.0), ("guest", 20.0), ("smol", 100.0)]);
        let row = Row::new(&results, &workloads::ALL[0], &Column::CPU);
        assert_eq!(row.best_peer().map(|(who, _)| who), Some("smol"));
    }

    #[test]
    fn who_is_better_by_more_than_a_hair_is_named() {
        let ahead_of = |ours| {
            let results = results(&[
                ("ours", ours),
                ("tokio-set", 120.0),
                ("smol", 100.0),
                ("floor", 20.0),
            ]);
            let row = Row::new(&results, &workloads::ALL[0], &Column::CPU);
            row.ahead_by(1.03)
                .map(|(who, theirs)| (who, theirs.median()))
        };
        assert_eq!(ahead_of(110.0), Some(("smol", 100.0)));
        assert_eq!(ahead_of(102.0), None);
        assert_eq!(ahead_of(50.0), None);
    }

    #[test]
    fn figures_keep_the_digits_that_matter() {
        let shown: Vec<_> = [6.44, 153.2, 1_550.0, 185_200.0].map(figure).into();
        assert_eq!(shown, ["6.4", "153", "1,550", "185 k"]);
        assert_eq!(small_figure(0.004), "0.004");
    }
}
