//! Measurements of this machine: memory in use, processor time, limits. `None` if the system does not give them.

use std::time::Duration;

/// Resident memory of this process, in bytes.
pub(crate) fn resident_memory() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The processor time of this process.
#[cfg(unix)]
pub(crate) fn processor_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).ok()?);
    Some(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).ok()?))
}

#[cfg(not(unix))]
pub(crate) fn processor_time() -> Option<Duration> {
    None
}

/// The highest number of threads that the system allows one process. Each thread needs an entry in three tables, and
/// two mappings: for its stack and for the guard page before it.
pub(crate) fn most_threads() -> Option<u64> {
    let number =
        |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    let tables = ["/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"];
    let tables = tables.into_iter().filter_map(number);
    let mappings = number("/proc/sys/vm/max_map_count").map(|maps| maps / 2);
    tables.chain(mappings).min()
}

/// Raises the limit of open files to `wanted`, if that is allowed. Returns the limit.
#[cfg(unix)]
pub(crate) fn open_files(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return current;
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit {
        current: Some(wanted.min(most)),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => wanted.min(most),
        Err(_) => current,
    }
}

#[cfg(not(unix))]
pub(crate) fn open_files(wanted: u64) -> u64 {
    wanted
}
