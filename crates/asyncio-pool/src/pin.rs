//! The processors that this process may use, and threads that stay on one of them.

use std::io;

/// A processor, by the number that the operating system has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu(usize);

/// The processors that this thread may use. Containers and `taskset` leave some of them only.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn allowed() -> io::Result<Vec<Cpu>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None)?;
    let all = 0..CpuSet::MAX_CPU;
    Ok(all.filter(|cpu| set.is_set(*cpu)).map(Cpu).collect())
}

/// Keeps this thread on one processor.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn pin_here(cpu: Cpu) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    set.set(cpu.0);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn allowed() -> io::Result<Vec<Cpu>> {
    let message = "threads can be kept on a processor on Linux only";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn pin_here(cpu: Cpu) -> io::Result<()> {
    unreachable!("processor {} was never allowed", cpu.0)
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_one_processor() {
        let all = allowed().unwrap();
        assert!(!all.is_empty());
        let last = all[all.len() - 1];
        let pinned = std::thread::spawn(move || {
            pin_here(last).unwrap();
            allowed().unwrap()
        });
        assert_eq!(pinned.join().unwrap(), [last]);
        assert_eq!(allowed().unwrap(), all, "the others are as they were");
    }
}
