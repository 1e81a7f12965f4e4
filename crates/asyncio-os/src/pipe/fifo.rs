//! FIFOs: pipes with a name in the file system.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;

use super::{PipeReader, PipeWriter, connect_write_pipe};
use crate::fs::FsError;
use crate::pauses::Pauses;

/// The longest pause between two looks for a reader.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// Creates a FIFO that only its owner can use.
///
/// # Errors
///
/// The system's error with the path, such as `AlreadyExists`.
#[doc(alias = "mkfifo")]
pub fn make_fifo(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    make(path).map_err(|error| FsError::name("create the FIFO", path, error))
}

#[cfg(not(target_vendor = "apple"))]
fn make(path: &Path) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?)
}

/// rustix has none for Apple's systems.
#[cfg(target_vendor = "apple")]
fn make(path: &Path) -> io::Result<()> {
    use nix::sys::stat::Mode;

    Ok(nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

/// Opens a FIFO for reading. It does not wait for a writer.
///
/// A read waits for the first writer, and returns zero when the last writer has closed it.
///
/// # Errors
///
/// `InvalidInput` if the file is no FIFO. Otherwise the system's error. Both have the path. An error as well if no loop
/// runs on this thread.
pub fn open_fifo_reader(path: impl AsRef<Path>) -> io::Result<PipeReader> {
    let path = path.as_ref();
    let open = || {
        let fd = open(path, flags(OFlags::RDONLY), Mode::empty())?;
        must_be_fifo(&fd)?;
        PipeReader::fifo(fd)
    };
    open().map_err(|error| name(path, error))
}

/// Opens a FIFO for writing, as soon as a process has it open for reading.
///
/// The system has no event for that, so it looks again after pauses that grow from 1 ms to 50 ms.
///
/// # Cancellation
///
/// Has opened nothing.
///
/// # Errors
///
/// `InvalidInput` if the file is no FIFO. Otherwise the system's error. Both have the path. An error as well if no loop
/// runs on this thread.
pub async fn open_fifo_writer(path: impl AsRef<Path>) -> io::Result<PipeWriter> {
    let path = path.as_ref();
    let here = asyncio_loop::try_running_loop().map_err(io::Error::other)?;
    // Virtual time does not jump from one look to the next.
    let _outside = here.outside_work();
    let mut pauses = Pauses::up_to(MAX_PAUSE);
    loop {
        match open(path, flags(OFlags::WRONLY), Mode::empty()) {
            Ok(fd) => {
                let writer = must_be_fifo(&fd).and_then(|()| connect_write_pipe(fd));
                return writer.map_err(|error| name(path, error));
            }
            Err(Errno::NXIO) => {} // no reader yet
            Err(error) => return Err(name(path, error.into())),
        }
        pauses.pause().await;
    }
}

fn name(path: &Path, error: io::Error) -> io::Error {
    FsError::name("open the FIFO", path, error)
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
