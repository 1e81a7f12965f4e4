//! Waiting for less than a millisecond, which is the unit in which mio waits.
//!
//! On Linux a timer descriptor sits among the sources, made and registered at the first such wait.
//! It is never read: it is watched edge-triggered, and each time it expires after having been set
//! is an edge of its own. If a wait ends before it expires, it is left to expire: that makes a
//! later `turn` return early once, which costs less than setting it back. Elsewhere, and where no
//! descriptor can be had, such a wait is a whole millisecond.

use std::time::Duration;

use mio::Registry;

#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug, Default)]
pub(crate) struct FineTimer {
    descriptor: Option<std::os::fd::OwnedFd>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl FineTimer {
    /// Lets the wait that follows end after `duration`, if it can. The caller limits that wait to
    /// a millisecond in any case.
    pub(crate) fn arm(&mut self, registry: &Registry, duration: Duration) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if self.descriptor.is_none() {
            self.descriptor = Self::open(registry).ok();
        }
        let Some(descriptor) = &self.descriptor else {
            return;
        };
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: duration.subsec_nanos().into(),
            },
        };
        // It fails for a time that is not one, or for a wrong descriptor. Neither can be, and the
        // wait would end without it.
        let set = timerfd_settime(descriptor, TimerfdTimerFlags::empty(), &once);
        debug_assert!(set.is_ok(), "{set:?}");
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
    /// Nothing finer than a millisecond here.
    pub(crate) fn arm(&mut self, _registry: &Registry, _duration: Duration) {}
}
