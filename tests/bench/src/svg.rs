//! The chart: a bar for each runtime at some workloads, as an SVG for light and dark pages.

use std::fmt::Write as _;

use crate::comparison::Results;
use crate::row::{Row, figure};
use crate::runtimes::{FLOOR, OURS};
use crate::workload::{Better, Workload};
use crate::workloads;

/// The workloads of the chart, by their first figure. The tables have all.
const DRAWN: &[&str] = &[
    "spawn-join",
    "spawn-await",
    "yield-main",
    "yield-1000",
    "ping-pong",
    "foreign-burst",
    "sleep-100k",
    "sleep-drop",
    "memory-parked",
    "memory-sleeping",
    "echo-100-64",
    "echo-1000-64",
    "echo-100-16k",
    "memory-connection",
];

const COLUMNS: usize = 2;
/// The width of a column of the chart.
const WIDTH: f64 = 470.0;
/// The margin of a column's text.
const MARGIN: f64 = 8.0;
/// The left end of the bars within a column.
const LEFT: f64 = 72.0;
/// The length of the longest bar.
const LONGEST: f64 = 280.0;
const BAR: f64 = 12.0;
const STEP: f64 = 16.0;
const HEADING: f64 = 24.0;
const GAP: f64 = 20.0;
/// A bar longer than this many times the shortest of a runtime is cut off, so that the short bars stay distinct.
const CUT: f64 = 10.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.what { font-weight: 600; }
.name { text-anchor: end; }
.peer { fill: #8c959f; }
.ours { fill: #d9622b; }
.floor { fill: none; stroke: #8c959f; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #d1d7e0; }
  .peer { fill: #656c76; }
  .ours { fill: #f0883e; }
  .floor { stroke: #656c76; }
}
";

/// Draws the figures of the chosen workloads.
pub(crate) fn chart(results: &Results) -> String {
    let drawn = |workload: &&Workload| DRAWN.contains(&workload.name);
    let groups: Vec<(&Workload, Row)> = workloads::ALL
        .iter()
        .filter(drawn)
        .map(|workload| (workload, Row::new(results, workload, &workload.columns[0])))
        .filter(|(_, row)| !row.is_empty())
        .collect();

    let mut elements = String::new();
    let (mut top, mut bottom) = (0.0, 0.0);
    for (number, (workload, row)) in groups.iter().enumerate() {
        let column = number % COLUMNS;
        if column == 0 {
            top = bottom;
        }
        bottom = draw_group(&mut elements, workload, row, column as f64 * WIDTH, top);
    }
    let width = COLUMNS as f64 * WIDTH;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {bottom}\" \
         width=\"{width}\" height=\"{bottom}\" role=\"img\" \
         aria-label=\"Benchmark figures by workload and runtime\">\n\
         <style>\n{STYLE}</style>\n{elements}</svg>\n"
    )
}

/// Draws one workload's bars at `x`, below `top`. Returns their lower end.
fn draw_group(to: &mut String, workload: &Workload, row: &Row, x: f64, top: f64) -> f64 {
    let longest = longest(row);
    let note = match row.column.better {
        Better::Less => "",
        Better::More => " (more is better)",
    };
    let heading = escaped(&format!("{}: {}{note}", workload.what, row.column.label));
    let (indented, baseline) = (x + MARGIN, top + 16.0);
    line(
        to,
        format_args!("<text class=\"what\" x=\"{indented}\" y=\"{baseline}\">{heading}</text>"),
    );

    let mut top = top + HEADING;
    for family in &row.families {
        let baseline = top + BAR - 2.0;
        let (name, end) = (family.name, x + LEFT - 8.0);
        line(
            to,
            format_args!("<text class=\"name\" x=\"{end}\" y=\"{baseline}\">{name}</text>"),
        );
        let mut after = x + LEFT;
        let mut shown = "–".to_owned();
        if let Some(series) = &family.best {
            let value = series.median();
            let length = (value / longest).min(1.0) * LONGEST;
            let class = match name {
                OURS => "ours",
                FLOOR => "floor",
                _ => "peer",
            };
            line(
                to,
                format_args!(
                    "<rect class=\"{class}\" x=\"{after}\" y=\"{top}\" width=\"{length:.1}\" \
                     height=\"{BAR}\" rx=\"2\"/>"
                ),
            );
            after += length + 6.0;
            shown = figure(value);
            if value > longest {
                shown.insert_str(0, "… ");
            }
        }
        line(
            to,
            format_args!("<text x=\"{after:.1}\" y=\"{baseline}\">{shown}</text>"),
        );
        top += STEP;
    }
    top + GAP
}

/// The value of the longest bar.
fn longest(row: &Row) -> f64 {
    let values = |with_floor: bool| {
        let wanted = move |name| with_floor || name != FLOOR;
        let families = row.families.iter().filter(move |f| wanted(f.name));
        families.filter_map(|family| Some(family.best.as_ref()?.median()))
    };
    let least = values(false).fold(f64::INFINITY, f64::min);
    values(true).fold(0.0, f64::max).min(least * CUT)
}

fn line(to: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(to, "{element}").expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_exists() {
        for name in DRAWN {
            assert!(workloads::ALL.iter().any(|w| w.name == *name), "{name}");
        }
    }
}
