//! FIFOs: pipes with a name in the file system.

use std::io;
use std::path::Path;
use std::time::Duration;

#[cfg(not(target_vendor = "apple"))]
use rustix::fs::{CWD, mknodat};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::{PipeReader, PipeWriter, connect_write_pipe};

/// The pauses between two looks for a reader: the first, and the maximum.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// Creates a FIFO that only its owner can use.
///
/// Not on Apple's systems, for which there is no safe binding: run the program `mkfifo` there.
///
/// # Errors
///
/// The system's error, such as `AlreadyExists`.
#[doc(alias = "mkfifo")]
#[cfg(not(target_vendor = "apple"))]
pub fn make_fifo(path: impl AsRef<Path>) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, path.as_ref(), FileType::Fifo, mode, 0)?;
    Ok(())
}

/// Opens a FIFO for reading. It does not wait for a writer.
///
/// A read waits for the first writer, and returns zero when the last writer has closed it.
///
/// # Errors
///
/// `InvalidInput` if the file is no FIFO. Otherwise the system's error, and an error if no loop runs
/// on this thread.
pub fn open_fifo_reader(path: impl AsRef<Path>) -> io::Result<PipeReader> {
    let fd = open(path.as_ref(), flags(OFlags::RDONLY), Mode::empty())?;
    must_be_fifo(&fd)?;
    PipeReader::fifo(fd)
}

/// Opens a FIFO for writing, as soon as a process has it open for reading.
///
/// The system has no event for that, so it looks again after 1 ms at first, and at most 50 ms.
///
/// # Cancellation
///
/// Has opened nothing.
///
/// # Errors
///
/// `InvalidInput` if the file is no FIFO. Otherwise the system's error, and an error if no loop runs
/// on this thread.
pub async fn open_fifo_writer(path: impl AsRef<Path>) -> io::Result<PipeWriter> {
    let path = path.as_ref();
    let here = asyncio_loop::try_running_loop().map_err(io::Error::other)?;
    // Virtual time does not jump from one look to the next.
    let _outside = here.outside_work();
    let mut pause = MIN_PAUSE;
    loop {
        match open(path, flags(OFlags::WRONLY), Mode::empty()) {
            Ok(fd) => {
                must_be_fifo(&fd)?;
                return connect_write_pipe(fd);
            }
            Err(Errno::NXIO) => {} // no reader yet
            Err(error) => return Err(error.into()),
        }
        asyncio_loop::sleep(pause).await;
        pause = MAX_PAUSE.min(pause * 2);
    }
}

fn flags(access: OFlags) -> OFlags {
    access | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY
}

fn must_be_fifo(fd: impl std::os::fd::AsFd) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Fifo => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the file is no FIFO",
        )),
    }
}
