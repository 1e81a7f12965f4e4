//! Descriptors of other libraries on the loop: asyncio's `add_reader` and `add_writer`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_reactor::{Direction, Fd, Interest, Registered};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bound::{BOTH, bind_here};

/// Waits for a descriptor that another library owns and uses: a database connection, `inotify`, a
/// device.
///
/// [`readable`](Self::readable) and [`writable`](Self::writable) tell how things are *now*, like
/// asyncio's `add_reader`: as long as there is something to read, it is readable, whoever read the
/// rest. That takes a system call each; [`io`](Self::io) spares it where this crate sees the
/// operation itself. Any number of tasks may wait.
///
/// The descriptor should be in non-blocking mode, or an operation may block the whole loop. It is
/// taken off the loop before it is dropped, and must stay the same meanwhile.
///
/// ```
/// use asyncio_net::{AsyncFd, Direction, Interest};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let (mut one, other) = UnixStream::pair()?;
/// other.set_nonblocking(true)?;
/// let other = AsyncFd::new(other)?;
///
/// one.write_all(b"hello")?;
/// other.readable().await?;
/// let mut buf = [0; 16];
/// let n = other.io(Direction::Read, |mut fd| fd.read(&mut buf)).await?;
/// assert_eq!(&buf[..n], b"hello");
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
#[doc(alias = "add_reader")]
#[doc(alias = "add_writer")]
pub struct AsyncFd<T: AsFd> {
    io: Registered<Fd<T>>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Puts it on the loop that runs here, for both directions.
    ///
    /// # Errors
    ///
    /// What the system says: regular files cannot be waited for. And where no loop runs.
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_interest(inner, BOTH)
    }

    /// Puts it on the loop that runs here, for one direction.
    ///
    /// # Errors
    ///
    /// What the system says: regular files cannot be waited for. And where no loop runs.
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        let io = bind_here(Fd::new(inner), interest).map_err(|(_, error)| error)?;
        Ok(AsyncFd { io })
    }

    /// What it was made of.
    pub fn get_ref(&self) -> &T {
        self.io.get_ref().get_ref()
    }

    /// Takes it off the loop.
    pub fn into_inner(self) -> T {
        self.io.into_inner().into_inner()
    }

    /// Waits until there is something to read, the other side has closed, or there is an error.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one, or does not wait for this direction.
    pub async fn readable(&self) -> io::Result<()> {
        self.io
            .io(Direction::Read, |fd| is_ready(fd, PollFlags::IN))
            .await
    }

    /// Waits until there is room to write, the other side has closed, or there is an error.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one, or does not wait for this direction.
    pub async fn writable(&self) -> io::Result<()> {
        self.io
            .io(Direction::Write, |fd| is_ready(fd, PollFlags::OUT))
            .await
    }

    /// Tries an operation until it answers something else than `WouldBlock`, and waits in between.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race: `f` succeeds only in the poll that returns its value.
    ///
    /// # Errors
    ///
    /// What `f` returns, and those of [`readable`](Self::readable).
    pub async fn io<R>(
        &self,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.io(direction, |fd| f(fd.get_ref())).await
    }

    /// [`io`](Self::io), for code that polls.
    ///
    /// # Errors
    ///
    /// What `f` returns, and those of [`readable`](Self::readable).
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.io.poll_io(cx, direction, |fd| f(fd.get_ref()))
    }

    /// Tries an operation once. As long as the loop has not seen that it is worth it, it is not
    /// tried, and the answer is `WouldBlock`. So it is after a thousand reads without an `await` that waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what `f` returns.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(direction, |fd| f(fd.get_ref()))
    }
}

/// Asks the system, without waiting. `WouldBlock` if it is not ready.
fn is_ready(fd: &impl AsFd, flags: PollFlags) -> io::Result<()> {
    let now = Timespec::try_from(Duration::ZERO).expect("zero is a time");
    // An end or an error counts as well; the system adds those on its own.
    match poll(&mut [PollFd::new(fd, flags)], Some(&now))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

impl<T: AsFd> AsFd for AsyncFd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}
