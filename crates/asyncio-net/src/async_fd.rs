//! Descriptors of other libraries on the loop: asyncio's `add_reader` and `add_writer`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_reactor::{Direction, Fd, Interest, Place, Registered};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::register::{READ_WRITE, register_here};

/// Waits for a descriptor that another library owns and uses: a database connection, `inotify`, a
/// device.
///
/// [`readable`](Self::readable) and [`writable`](Self::writable) report the *current* state, like
/// asyncio's `add_reader`. The descriptor is readable as long as there is something to read,
/// whichever code reads it. That costs one system call per wait. [`io`](Self::io) saves the call,
/// because it sees the result of the operation. Any number of tasks may wait.
///
/// The descriptor should be in non-blocking mode, otherwise an operation may block the whole loop.
/// It is deregistered before it is dropped, and must stay the same while it is registered.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{AsyncFd, Direction, Interest};
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
    /// Registers a descriptor with the running loop, for both directions.
    ///
    /// # Errors
    ///
    /// The system's error: regular files cannot be waited for. An error as well if no loop runs on
    /// this thread.
    #[track_caller]
    pub fn new(inner: T) -> io::Result<Self> {
        Self::with_interest(inner, READ_WRITE)
    }

    /// Registers a descriptor with the running loop, for the directions of `interest`.
    ///
    /// # Errors
    ///
    /// The system's error: regular files cannot be waited for. An error as well if no loop runs on
    /// this thread.
    #[track_caller]
    pub fn with_interest(inner: T, interest: Interest) -> io::Result<Self> {
        Self::at(inner, interest, Place::caller())
    }

    /// [`with_interest`](Self::with_interest), for a descriptor that a console shows at `place`.
    pub(crate) fn at(inner: T, interest: Interest, place: Place) -> io::Result<Self> {
        let io = register_here(Fd::new(inner), interest, place).map_err(|(_, error)| error)?;
        Ok(AsyncFd { io })
    }

    /// The place at which a console shows it.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub(crate) fn place(&self) -> Place {
        self.io.place()
    }

    /// The wrapped value.
    pub fn get_ref(&self) -> &T {
        self.io.get_ref().get_ref()
    }

    /// Deregisters the descriptor and returns the wrapped value.
    pub fn into_inner(self) -> T {
        self.io.into_inner().into_inner()
    }

    /// Waits until there is something to read, the peer has closed, or an error is pending.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one, or if it was not registered to
    /// read.
    pub async fn readable(&self) -> io::Result<()> {
        self.io
            .io(Direction::Read, |fd| is_ready(fd, PollFlags::IN))
            .await
    }

    /// Waits until there is room to write, the peer has closed, or an error is pending.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one, or if it was not registered to
    /// write.
    pub async fn writable(&self) -> io::Result<()> {
        self.io
            .io(Direction::Write, |fd| is_ready(fd, PollFlags::OUT))
            .await
    }

    /// Repeats an operation until it returns something other than `WouldBlock`, and waits in
    /// between.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race: `f` succeeds only in the poll that returns its
    /// value.
    ///
    /// # Errors
    ///
    /// The error of `f`, and those of [`readable`](Self::readable).
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
    /// The error of `f`, and those of [`readable`](Self::readable).
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.io.poll_io(cx, direction, |fd| f(fd.get_ref()))
    }

    /// [`io`](Self::io) for a byte stream: `f` moves at most `wanted` bytes and returns their number. If `wanted` is 0,
    /// the result is 0.
    ///
    /// Less than `wanted` means that there is nothing more to read, or no more room. So the next operation waits for an
    /// event first, and saves a system call. A terminal, a datagram socket, and a pipe in packet mode may move less for
    /// another reason. The next read could then wait forever: use [`io`](Self::io) for them.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The errors of [`io`](Self::io).
    pub async fn transfer(
        &self,
        direction: Direction,
        wanted: usize,
        mut f: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let f = |fd: &Fd<T>| f(fd.get_ref());
        match direction {
            Direction::Read => self.io.read_with(wanted, f).await,
            Direction::Write => self.io.write_with(wanted, f).await,
        }
    }

    /// [`transfer`](Self::transfer), for code that polls.
    ///
    /// # Errors
    ///
    /// The errors of [`io`](Self::io).
    pub fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        mut f: impl FnMut(&T) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let f = |fd: &Fd<T>| f(fd.get_ref());
        match direction {
            Direction::Read => self.io.poll_read_with(cx, wanted, f),
            Direction::Write => self.io.poll_write_with(cx, wanted, f),
        }
    }

    /// Tries an operation once. Returns `WouldBlock` without a try while the loop has recorded that
    /// the descriptor is not ready. The same happens after a thousand reads without an `await` that
    /// waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the error of `f`.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(direction, |fd| f(fd.get_ref()))
    }
}

/// Asks the system for the current state, without waiting. `WouldBlock` if it is not ready.
fn is_ready(fd: &impl AsFd, flags: PollFlags) -> io::Result<()> {
    let now = Timespec::try_from(Duration::ZERO).expect("zero is a time");
    // An end or an error counts as well; the system always reports them.
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
