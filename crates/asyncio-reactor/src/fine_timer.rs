//! Waits of less than a millisecond, which is mio's resolution.
//!
//! On Linux a timer descriptor is one of the sources. It is created and registered at the first
//! such wait. It is never read: it is watched edge-triggered, and each expiry after it was set is a
//! new edge. If a wait ends before the timer expires, the timer is left set. A later `turn` then
//! returns early once, which costs less than a system call to disarm the timer. Elsewhere, and if
//! no descriptor is free, such a wait is a whole millisecond.

use std::time::Duration;

use mio::Registry;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug, Default)]
pub(crate) struct FineTimer {
    descriptor: Option<std::os::fd::OwnedFd>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl FineTimer {
    /// Ends the wait that follows after `duration`, and returns whether that is possible. The caller
    /// limits that wait by other means as well.
    pub(crate) fn arm(&mut self, registry: &Registry, duration: Duration) -> bool {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if self.descriptor.is_none() {
            self.descriptor = Self::open(registry).ok();
        }
        let Some(descriptor) = &self.descriptor else {
            return false;
        };
        // A time of zero would disarm the timer.
        let duration = duration.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: duration.subsec_nanos().into(),
            },
        };
        // Setting fails only for an invalid time or descriptor, and neither occurs. Without the
        // timer the wait would end after a millisecond.
        let set = timerfd_settime(descriptor, TimerfdTimerFlags::empty(), &once);
        debug_assert!(set.is_ok(), "{set:?}");
        set.is_ok()
    }

    fn open(registry: &Registry) -> std::io::Result<std::os::fd::OwnedFd> {
        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd;

        let descriptor = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        registry.register(
            &mut SourceFd(&descriptor.as_raw_fd()),
            crate::slots::FINE_TIMER,
            mio::Interest::READABLE,
        )?;
        Ok(descriptor)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug, Default)]
pub(crate) struct FineTimer {}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl FineTimer {
    /// Does nothing: only whole milliseconds are possible here.
    pub(crate) fn arm(&mut self, _registry: &Registry, _duration: Duration) -> bool {
        false
    }
}
