//! Which core a process runs on.
//!
//! What is measured stays on one core, and what drives it from outside (the load generator, a
//! thread that wakes tasks) on another, so that no run depends on where the scheduler put them.

use std::io;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What a thread is for.
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
/// When the system does not allow it.
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

/// The cores this process was given, as they were before anything was pinned.
///
/// # Errors
///
/// When the system does not tell.
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
