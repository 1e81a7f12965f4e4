//! CPython's asyncio with its pools, where there is a `python3`. The script does what `workloads/calls.rs` and
//! `workloads/processes.rs` do, and prints the same line of figures.

use std::process::{Command, Stdio};

use crate::cores::{Role, pin, unpin};
use crate::effort::Effort;
use crate::figures::Figures;

const SCRIPT: &str = include_str!("cpython.py");

/// The workloads of the script.
const KNOWN: &[&str] = &[
    "call",
    "call-pinned",
    "calls-1000",
    "callbacks-1",
    "worker-call",
    "worker-call-1MiB",
    "worker-pool-start",
];

/// Does the work called `workload`. `None` if the script does not know it, or there is no `python3`.
pub(crate) fn run(workload: &str, effort: Effort) -> Option<Figures> {
    if !KNOWN.contains(&workload) {
        return None;
    }
    let cores = match workload {
        "call-pinned" | "callbacks-1" => pin(Role::Measured),
        _ => unpin(),
    };
    cores.expect("a thread can choose its cores");
    let python = Command::new("python3")
        .args(["-c", SCRIPT, workload])
        .arg(effort.warm_up().as_secs_f64().to_string())
        .arg(effort.measured().as_secs_f64().to_string())
        .stderr(Stdio::inherit())
        .output();
    let output = String::from_utf8(python.ok()?.stdout).ok()?;
    Figures::from_line(&output).filter(|figures| *figures != Figures::default())
}
