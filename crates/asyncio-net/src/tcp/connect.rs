//! Connecting.

use std::io;
use std::net::SocketAddr;

use asyncio_reactor::Direction;
use socket2::Socket;

use super::socket::TcpSocket;
use super::stream::TcpStream;
use crate::address::{ToSocketAddrs, resolve};
use crate::bound::{STREAM, bind_here};

impl TcpStream {
    /// Connects to the first of the addresses that answers, with `TCP_NODELAY` set.
    /// [`TcpSocket`] has more options.
    ///
    /// # Cancellation
    ///
    /// Closes the socket of the attempt.
    ///
    /// # Errors
    ///
    /// What the system says about the only address, such as `ConnectionRefused`; of several, all is
    /// told under the kind of the first. `Unsupported` for a host name. And where no loop runs.
    #[doc(alias = "open_connection")]
    pub async fn connect(to: impl ToSocketAddrs) -> io::Result<Self> {
        connect_any(&resolve(&to).await?).await
    }
}

impl TcpSocket {
    /// Connects, to this address only.
    ///
    /// # Cancellation
    ///
    /// Closes the socket.
    ///
    /// # Errors
    ///
    /// What the system says, such as `ConnectionRefused`, and where no loop runs.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        connect(self.into_inner(), address).await
    }
}

/// Tries one address after the other. The sockets of failed and cancelled tries are closed.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failures = Vec::new();
    for address in addresses {
        let connected = async { TcpSocket::for_address(address)?.connect(*address).await };
        match connected.await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push((*address, error)),
        }
    }
    Err(all_failed(failures))
}

/// A single failure as it is; several as one, with the kind of the first.
fn all_failed(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failures.len() == 1
        && let Some((_, error)) = failures.pop()
    {
        return error;
    }
    let kind = failures
        .first()
        .map_or(io::ErrorKind::InvalidInput, |(_, error)| error.kind());
    let list: Vec<_> = failures
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    let message = format!("none of the addresses answered ({})", list.join("; "));
    io::Error::new(kind, message)
}

async fn connect(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_under_way(&error) => {}
        Err(error) => return Err(error),
    }
    // Only now: a socket that was never connected counts as hung up, and would tell so.
    let stream = mio::net::TcpStream::from_std(socket.into());
    let bound = bind_here(stream, STREAM).map_err(|(_, error)| error)?;
    bound.io(Direction::Write, outcome).await?;
    Ok(TcpStream::from_bound(bound))
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // Interrupted by a signal, it goes on as well.
        matches!(
            Errno::from_io_error(error),
            Some(Errno::INPROGRESS | Errno::INTR)
        )
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::WouldBlock
    }
}

/// What has become of a connection attempt; `WouldBlock` as long as nobody knows.
///
/// That a socket is writable does not tell, it may have failed. Its error does, and whether it has a
/// peer.
fn outcome(stream: &mio::net::TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected || is_under_way(&error) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[test]
    fn one_failure_is_told_as_it_is() {
        let address = ([127, 0, 0, 1], 1).into();
        let error = io::Error::from_raw_os_error(1);
        let told = all_failed(vec![(address, error)]);
        assert_eq!(told.raw_os_error(), Some(1));
    }

    #[test]
    fn several_failures_are_told_with_their_addresses() {
        let timeout = io::ErrorKind::TimedOut.into();
        let told = all_failed(vec![
            (([127, 0, 0, 1], 1).into(), refused()),
            (([127, 0, 0, 2], 2).into(), timeout),
        ]);
        assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            told.to_string(),
            "none of the addresses answered (127.0.0.1:1: connection refused; 127.0.0.2:2: timed out)"
        );
    }
}
