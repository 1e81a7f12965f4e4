//! The core that a process runs on.
//!
//! The measured process stays on one core. Its driver (the load generator, a thread that wakes tasks) stays on another.
//! So no run depends on the decisions of the scheduler.

use std::io;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The role of a thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// It is measured.
    Measured,
    /// It gives the measured one work.
    Driver,
}

/// Pins the calling thread, and threads it starts later, to the core of its role.
///
/// # Errors
///
/// The system does not allow it.
pub(crate) fn pin(role: Role) -> io::Result<()> {
    let cores = allowed()?;
    let (Some(first), Some(last)) = (cores.first(), cores.last()) else {
        return Err(io::Error::other("no core is allowed to this process"));
    };
    let mut chosen = CpuSet::new();
    chosen.set(match role {
        Role::Measured => *last,
        Role::Driver => *first,
    });
    Ok(sched_setaffinity(None, &chosen)?)
}

/// Lets the calling thread, and threads it starts later, run on all cores of this process.
///
/// # Errors
///
/// The system does not allow it.
pub(crate) fn unpin() -> io::Result<()> {
    let mut all = CpuSet::new();
    allowed()?.iter().for_each(|core| all.set(*core));
    Ok(sched_setaffinity(None, &all)?)
}

/// The cores of this process, as they were before anything was pinned.
///
/// # Errors
///
/// The system does not give them.
pub(crate) fn allowed() -> io::Result<&'static [usize]> {
    // A pinned thread and its children see one core only.
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    if let Some(allowed) = ALLOWED.get() {
        return Ok(allowed);
    }
    let set = sched_getaffinity(None)?;
    Ok(ALLOWED.get_or_init(|| {
        (0..CpuSet::MAX_CPU)
            .filter(|core| set.is_set(*core))
            .collect()
    }))
}
