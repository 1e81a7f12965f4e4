//! Listening for connections.

use std::io;
use std::net::SocketAddr;

use asyncio_loop::{Cause, Unhandled, call_exception_handler};
use asyncio_reactor::{Direction, Interest, Registered};

use socket2::SockRef;

use super::accept::{Next, Troubles};
use super::socket::TcpSocket;
use super::stream::TcpStream;
use crate::address::{ToSocketAddrs, resolve};
use crate::bound::bind_here;

/// How many connections wait to be accepted, unless told otherwise. The system has its own limit.
pub(super) const BACKLOG: u32 = 1024;

/// A TCP socket that accepts connections.
///
/// ```
/// use asyncio_net::TcpListener;
///
/// async fn serve() -> std::io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:8080").await?;
///     loop {
///         let (stream, peer) = listener.accept().await?;
///         asyncio_loop::spawn(async move {
///             let greeting = format!("hello, {peer}\n");
///             stream.write_all(greeting.as_bytes()).await
///         })
///         .detach();
///     }
/// }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    io: Registered<mio::net::TcpListener>,
    troubles: Troubles,
}

impl TcpSocket {
    /// Listens. The system keeps up to `backlog` connections that nobody has accepted yet; it has a
    /// limit of its own.
    ///
    /// # Errors
    ///
    /// What the system says, and where no loop runs.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let socket = self.into_inner();
        socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        TcpListener::from_nonblocking(socket.into())
    }
}

impl TcpListener {
    /// Listens on the first of the addresses that can be had, with `SO_REUSEADDR` on Unix. Port 0
    /// lets the system choose one, see [`local_addr`](Self::local_addr). [`TcpSocket`] has more
    /// options.
    ///
    /// # Errors
    ///
    /// What the system says about the last address, such as `AddrInUse`; `Unsupported` for a host
    /// name; and where no loop runs.
    pub async fn bind(to: impl ToSocketAddrs) -> io::Result<Self> {
        let mut outcome = Err(io::ErrorKind::InvalidInput.into());
        for address in resolve(&to).await? {
            outcome = Self::bind_one(address);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::for_address(&address)?;
        // On Windows the option means something else, and nothing good.
        if cfg!(unix) {
            socket.set_reuse_address(true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// Takes over a listener of the standard library. It is put into non-blocking mode, and its
    /// connections get `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// What the system says, and where no loop runs.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Self::from_nonblocking(listener)
    }

    pub(super) fn from_nonblocking(listener: std::net::TcpListener) -> io::Result<Self> {
        let listener = mio::net::TcpListener::from_std(listener);
        let io = bind_here(listener, Interest::READABLE).map_err(|(_, error)| error)?;
        Ok(TcpListener {
            io,
            troubles: Troubles::default(),
        })
    }

    /// Takes it off the loop. It is put into blocking mode, as the standard library has them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::from(self.io.into_inner());
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// Waits for the next connection, and gives it with the address of its peer. It has
    /// `TCP_NODELAY` set (unless [`TcpSocket::set_nodelay`] was used on this one).
    ///
    /// A connection that was given up by its peer before it was accepted is skipped. When there
    /// are no descriptors left (`EMFILE`, `ENFILE`) or no memory, this pauses before it tries
    /// again, from 10 ms up to 1 s, and tells the loop's exception handler, once a second; the
    /// connections wait in the queue meanwhile. Several tasks may accept from one listener.
    ///
    /// # Cancellation
    ///
    /// Loses no connection, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What is wrong with the listener itself. An accept loop can end with it.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let accepted = self
                .io
                .io(Direction::Read, mio::net::TcpListener::accept)
                .await;
            let accepted = accepted.and_then(|(stream, peer)| {
                let stream = TcpStream::from_accepted(stream)?;
                Ok((stream, peer))
            });
            match accepted {
                Ok(connection) => {
                    self.troubles.are_over();
                    return Ok(connection);
                }
                Err(error) => match self.troubles.meet(error)? {
                    Next::Again => {}
                    Next::After(pause, reason) => {
                        self.tell(&reason);
                        asyncio_loop::sleep(pause).await;
                    }
                },
            }
        }
    }

    /// Tells the loop's exception handler of a pause, now and then.
    fn tell(&self, reason: &io::Error) {
        if self.troubles.are_news(asyncio_loop::time()) {
            call_exception_handler(&Unhandled::new(
                "no connection can be accepted at the moment, the listener tries again",
                None,
                Cause::Error(reason.to_string()),
            ));
        }
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// How many routers the packets of its connections may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpListener {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.io.get_ref().as_socket()
    }
}
