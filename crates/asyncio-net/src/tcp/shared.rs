//! Listeners that share an address, one for each of several event loops.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::listener::BACKLOG;

/// Makes `number` listeners on one address, for as many event loops. Each goes to its loop as it is, and is put on it by
/// [`TcpListener::from_std`](crate::TcpListener::from_std). With port 0 the system chooses one port for all.
///
/// On Linux and FreeBSD each has a queue of its own, and the system spreads new connections over them
/// (`SO_REUSEPORT`, `SO_REUSEPORT_LB`). Closing one resets the connections in its queue that nobody has accepted. On
/// other Unix systems they are one queue, from which each loop takes what it can.
///
/// ```
/// use asyncio_net::{TcpListener, TcpStream, shared_listeners};
///
/// # fn main() -> std::io::Result<()> {
/// let listeners = shared_listeners("127.0.0.1:0".parse().unwrap(), 2)?;
/// let address = listeners[0].local_addr()?;
/// let servers = listeners.into_iter().map(|listener| {
///     std::thread::spawn(|| {
///         asyncio_loop::run(async {
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
/// What the system says, such as `AddrInUse`. `Unsupported` on Windows for more than one.
pub fn shared_listeners(address: SocketAddr, number: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(number);
    for _ in 0..number {
        let listener = match listeners.first() {
            None => listen(address, number > 1)?,
            Some(first) => beside(first)?,
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
    // On Windows the option means something else, and nothing good.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
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

/// One more on the address of the first.
fn beside(first: &TcpListener) -> io::Result<TcpListener> {
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
