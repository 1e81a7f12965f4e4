//! The chart: for each workload a bar a runtime, as an SVG that is read on light and dark pages.

use std::fmt::Write as _;

use crate::comparison::Results;
use crate::report::{Family, Row, figure};
use crate::runtimes::{FLOOR, OURS};
use crate::workload::{Better, Column, Workload};
use crate::workloads;

const WIDTH: f64 = 880.0;
/// Where the bars begin.
const LEFT: f64 = 96.0;
/// How long the longest bar is.
const LONGEST: f64 = 640.0;
const BAR: f64 = 13.0;
const STEP: f64 = 17.0;
const HEADING: f64 = 26.0;
const GAP: f64 = 14.0;
/// A bar longer than this many times the shortest of its group is cut off, so that the short ones
/// can still be told apart.
const CUT: f64 = 12.0;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.what { font-weight: 600; font-size: 13px; }
.value { font-variant-numeric: tabular-nums; }
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

/// Draws the first figure of each workload that has any.
pub(crate) fn chart(results: &Results) -> String {
    let mut groups = String::new();
    let mut top = 8.0;
    for workload in workloads::ALL {
        let column = &workload.columns[0];
        let row = Row::new(results, workload, column);
        if row.families.iter().any(|family| family.best.is_some()) {
            top = draw_group(&mut groups, workload, column, &row, top);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" \
         width=\"{WIDTH}\" height=\"{top}\" role=\"img\" \
         aria-label=\"Benchmark figures by workload and runtime\">\n\
         <style>\n{STYLE}</style>\n{groups}</svg>\n"
    )
}

/// Draws one workload's bars below `top` and gives the new top.
fn draw_group(to: &mut String, workload: &Workload, column: &Column, row: &Row, top: f64) -> f64 {
    let bars: Vec<(&Family, f64)> = row
        .families
        .iter()
        .filter_map(|f| Some((f, f.best?.median)))
        .collect();
    let least = bars.iter().map(|bar| bar.1).fold(f64::INFINITY, f64::min);
    let most = bars
        .iter()
        .map(|bar| bar.1)
        .fold(0.0, f64::max)
        .min(least * CUT);
    let note = if column.better == Better::More {
        ", more is better"
    } else {
        ""
    };
    let heading = escaped(&format!("{}: {}{note}", workload.what, column.label));
    let baseline = top + 14.0;
    line(
        to,
        &format!("<text class=\"what\" x=\"8\" y=\"{baseline}\">{heading}</text>"),
    );

    let mut top = top + HEADING;
    for (family, value) in bars {
        let length = (value / most).min(1.0) * LONGEST;
        let class = match family.name {
            OURS => "ours",
            FLOOR => "floor",
            _ => "peer",
        };
        let (text, name) = (top + BAR - 2.5, family.name);
        line(
            to,
            &format!(
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>",
                LEFT - 8.0
            ),
        );
        line(
            to,
            &format!(
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" \
                 height=\"{BAR}\" rx=\"2\"/>"
            ),
        );
        let cut = if value > most { " (cut off)" } else { "" };
        let (after, shown) = (LEFT + length + 6.0, figure(value));
        line(
            to,
            &format!("<text class=\"value\" x=\"{after:.1}\" y=\"{text}\">{shown}{cut}</text>"),
        );
        top += STEP;
    }
    top + GAP
}

fn line(to: &mut String, element: &str) {
    writeln!(to, "{element}").expect("a string takes everything");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
