//! CPython's asyncio, where there is a `python3`: with its pools, and with its processes and the files of aiofiles. The
//! scripts do what the workloads of the same names do, and print the same line of figures.

use std::process::{Command, Stdio};

use crate::cores::{Role, pin, unpin};
use crate::effort::Effort;
use crate::figures::Figures;

/// The workloads of `workloads/calls.rs` and `workloads/processes.rs`.
const POOLS: &str = include_str!("cpython.py");

/// The workloads of `workloads/files.rs` and `workloads/subprocesses.rs`. Without aiofiles it does the same by
/// `to_thread`.
const SYSTEM: &str = include_str!("cpython_system.py");

/// Does the work called `workload`. `None` if no script knows it, or there is no `python3`.
pub(crate) fn run(workload: &str, effort: Effort) -> Option<Figures> {
    let script = match workload {
        "call" | "call-pinned" | "calls-1000" | "callbacks-1" | "worker-call"
        | "worker-call-1MiB" | "worker-pool-start" => POOLS,
        "file-random" | "file-read" | "file-write" | "file-lines" | "files-small" | "process"
        | "process-cat" => SYSTEM,
        _ => return None,
    };
    let cores = match workload {
        "call-pinned" | "callbacks-1" => pin(Role::Measured),
        _ => unpin(),
    };
    cores.expect("a thread can choose its cores");
    let python = Command::new("python3")
        .args(["-c", script, workload])
        .arg(effort.warm_up().as_secs_f64().to_string())
        .arg(effort.measured().as_secs_f64().to_string())
        .arg(if effort.quick { "quick" } else { "full" })
        .stderr(Stdio::inherit())
        .output();
    let output = String::from_utf8(python.ok()?.stdout).ok()?;
    Figures::from_line(&output).filter(|figures| *figures != Figures::default())
}
