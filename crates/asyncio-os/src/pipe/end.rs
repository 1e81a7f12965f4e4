//! One end of a pipe on a loop, without a direction.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_net::{AsyncFd, Direction, Interest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};

/// A descriptor in non-blocking mode that is registered with a loop.
#[derive(Debug)]
pub(super) struct End {
    pub(super) fd: AsyncFd<OwnedFd>,
    /// Whether it is a pipe that this library has made: a transfer that is short has emptied or filled it.
    is_stream: bool,
}

impl End {
    /// Registers a descriptor that another program or library has made.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is no pipe, socket or character device, or if the system never waits for it.
    pub(super) fn connect(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fstat(&fd)?.st_mode);
        match kind {
            FileType::Fifo | FileType::Socket | FileType::CharacterDevice => {
                Self::register(fd, interest, false)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only pipes, sockets and character devices can be connected",
            )),
        }
    }

    /// Registers an end of a pipe that this library has made.
    pub(super) fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        Self::register(fd, interest, true)
    }

    fn register(fd: OwnedFd, interest: Interest, is_stream: bool) -> io::Result<Self> {
        let fd = match AsyncFd::with_interest(fd, interest) {
            // Linux says it of `/dev/null`.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the system never waits for this device: use it as a file",
                ));
            }
            registered => registered?,
        };
        // Last: a refused descriptor, which others may share, stays as it was.
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(End { fd, is_stream })
    }

    /// Moves bytes, at most `most`, and waits until that is possible.
    pub(super) fn transfer(
        &self,
        direction: Direction,
        most: usize,
        f: impl FnMut(&OwnedFd) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<usize>> {
        self.fd.transfer(direction, self.wanted(most), f)
    }

    /// [`transfer`](Self::transfer), for code that polls.
    pub(super) fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        most: usize,
        f: impl FnMut(&OwnedFd) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.fd.poll_transfer(cx, direction, self.wanted(most), f)
    }

    /// The size below which a transfer is short. None is below one byte.
    fn wanted(&self, most: usize) -> usize {
        match self.is_stream {
            true => most,
            false => most.min(1),
        }
    }

    /// Deregisters the descriptor and puts it into blocking mode.
    pub(super) fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        let fd = self.fd.into_inner();
        rustix::io::ioctl_fionbio(&fd, false)?;
        Ok(fd)
    }

    pub(super) fn into_stdio(self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.into_blocking_fd()?))
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the other end is closed.
pub(super) fn is_hung_up(fd: &OwnedFd) -> io::Result<bool> {
    let now = Timespec::try_from(Duration::ZERO).expect("zero is a time");
    // The system reports a hang-up or an error unasked.
    Ok(poll(&mut [PollFd::new(fd, PollFlags::empty())], Some(&now))? > 0)
}
