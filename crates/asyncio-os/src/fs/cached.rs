//! Operations that the system's caches can serve at once: none waits for a disk.
//!
//! Only Linux can be asked so. Elsewhere every answer is "not cached".

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a regular file for reading, if the directory cache knows its path. Returns its length as well. `None` means:
/// ask on a thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn open(path: &Path) -> Option<(File, u64)> {
    use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

    let open = |flags| {
        let flags = flags | OFlags::CLOEXEC;
        openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()
    };
    // To open a FIFO or a device has effects, and may wait. So the type is looked at first.
    let named = open(OFlags::PATH)?;
    let about = fstat(&named).ok()?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return None;
    }
    // Without effect on a regular file; another one may have taken its name meanwhile.
    let harmless = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open(OFlags::RDONLY | harmless)?);
    Some((file, u64::try_from(about.st_size).ok()?))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn open(_: &Path) -> Option<(File, u64)> {
    None
}

/// Reads what the page cache has at `offset`. `WouldBlock` means: read on a thread. `Unsupported`
/// means: always read this file on a thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    if i64::try_from(offset).is_err() {
        // To the system, the largest number means its own position.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut bufs = [io::IoSliceMut::new(buf)];
    loop {
        return match preadv2(file, &mut bufs, offset, ReadWriteFlags::NOWAIT) {
            Ok(n) => Ok(n),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            // The thread meets the same error, or has no such limits.
            Err(_) => Err(io::ErrorKind::Unsupported.into()),
        };
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has the system begin to read a part of a file into its cache.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn will_need(file: &File, offset: u64, length: u64) {
    use rustix::fs::{Advice, fadvise};

    let length = std::num::NonZeroU64::new(length);
    // It is only advice.
    let _ = fadvise(file, offset, length, Advice::WillNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn will_need(_: &File, _: u64, _: u64) {}
