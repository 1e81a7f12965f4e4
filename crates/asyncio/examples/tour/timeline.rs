//! A drawing of concurrent work in text: a row for each worker, time from left to right.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::scene::Report;
use crate::words::seconds;

/// The number of columns for the whole time.
const WIDTH: u32 = 40;

/// The characters of a row.
#[derive(Clone, Copy)]
pub(crate) enum Pen {
    Works,
    CleansUp,
    Waits,
}

impl Pen {
    fn mark(self) -> char {
        match self {
            Self::Works => '█',
            Self::CleansUp => '░',
            Self::Waits => '·',
        }
    }
}

/// Records the states of the rows, and draws them in the end.
pub(crate) struct Timeline {
    start: Instant,
    rows: RefCell<Vec<Row>>,
}

struct Row {
    name: &'static str,
    /// The changes of the row: a time, and the state from then on. `None`: it has ended.
    strokes: Vec<(Duration, Option<Pen>)>,
    says: String,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            rows: RefCell::default(),
        }
    }

    /// Records the state of `name` from now on.
    pub(crate) fn draws(&self, name: &'static str, pen: Pen) {
        self.note(name, Some(pen), String::new());
    }

    /// Records the end of `name`, and its reason.
    pub(crate) fn ends(&self, name: &'static str, says: impl Into<String>) {
        self.note(name, None, says.into());
    }

    fn note(&self, name: &'static str, pen: Option<Pen>, says: String) {
        let stroke = (self.start.elapsed(), pen);
        let mut rows = self.rows.borrow_mut();
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => {
                row.strokes.push(stroke);
                row.says = says;
            }
            None => rows.push(Row {
                name,
                strokes: vec![stroke],
                says,
            }),
        }
    }

    /// Whether `first` ended no later than `second`.
    pub(crate) fn is_before(&self, first: &str, second: &str) -> bool {
        let rows = self.rows.borrow();
        let end = |name| rows.iter().find(|row| row.name == name).and_then(Row::end);
        matches!((end(first), end(second)), (Some(first), Some(second)) if first <= second)
    }

    /// Adds the drawing to a report.
    pub(crate) fn draw(&self, mut report: Report) -> Report {
        let rows = self.rows.borrow();
        let ends = rows.iter().filter_map(|row| row.strokes.last());
        let whole = ends.map(|&(at, _)| at).max().unwrap_or_default();
        for row in rows.iter() {
            let bar: String = (0..WIDTH)
                .map(|n| row.mark_at(whole * (2 * n + 1) / (2 * WIDTH)))
                .collect();
            let drawn = format!("{:<9} {bar} {}", row.name, row.says);
            report = report.line("timeline", drawn.trim_end());
        }
        let axis = "─".repeat(WIDTH as usize - 2);
        report
            .line("timeline", format!("{:<9} 0{axis}> {}", "", seconds(whole)))
            .line(
                "timeline",
                format!("{:<9} █ works  ░ cleans up  · waits", ""),
            )
    }
}

impl Row {
    fn mark_at(&self, time: Duration) -> char {
        let drawn = self.strokes.iter().rev().find(|(from, _)| *from <= time);
        drawn
            .and_then(|(_, pen)| *pen)
            .map_or(' ', |pen| pen.mark())
    }

    fn end(&self) -> Option<Duration> {
        let (at, pen) = self.strokes.last()?;
        pen.is_none().then_some(*at)
    }
}
