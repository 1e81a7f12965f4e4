//! Listeners that share an address, for several event loops.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::listener::BACKLOG;
use super::socket::reuse_address;

/// Creates `number` listeners on one address, one per event loop. Send each to its loop, which
/// registers it with [`TcpListener::from_std`](crate::TcpListener::from_std). With port 0 the
/// system chooses one port for all.
///
/// On Linux and FreeBSD each listener has a queue of its own, and the system spreads new
/// connections over them (`SO_REUSEPORT`, `SO_REUSEPORT_LB`). Closing a listener resets the
/// connections in its queue that were not accepted. On other Unix systems the listeners share one
/// queue, and each loop accepts what it can.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; pub use asyncio_loop::*; }
/// use asyncio::net::{TcpListener, TcpStream, shared_listeners};
///
/// # fn main() -> std::io::Result<()> {
/// let listeners = shared_listeners("127.0.0.1:0".parse().unwrap(), 2)?;
/// let address = listeners[0].local_addr()?;
/// let servers = listeners.into_iter().map(|listener| {
///     std::thread::spawn(|| {
///         asyncio::run(async {
///             let listener = TcpListener::from_std(listener)?;
///             // In a program: serve until the end.
///             listener.local_addr()
///         })
///     })
/// });
/// for server in servers.collect::<Vec<_>>() {
///     assert_eq!(server.join().unwrap()?, address);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The system's error, such as `AddrInUse`. `Unsupported` on Windows for more than one listener.
pub fn shared_listeners(address: SocketAddr, number: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(number);
    for _ in 0..number {
        let listener = match listeners.first() {
            None => listen(address, number > 1)?,
            Some(first) => listener_beside(first)?,
        };
        listeners.push(listener);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    reuse_address(&socket)?;
    if shared {
        share(&socket)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(target_os = "freebsd")]
fn share(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port_lb(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn share(_socket: &Socket) -> io::Result<()> {
    match cfg!(unix) {
        true => Ok(()),
        false => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Creates one more listener on the address of the first.
fn listener_beside(first: &TcpListener) -> io::Result<TcpListener> {
    let has_queues = cfg!(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd"
    ));
    match has_queues {
        true => listen(first.local_addr()?, true),
        false => first.try_clone(),
    }
}
