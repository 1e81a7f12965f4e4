//! Connection attempts.

use std::io;
use std::net::SocketAddr;

use asyncio_reactor::Direction;
use socket2::Socket;

use super::socket::TcpSocket;
use super::stream::TcpStream;
use crate::address::{ToSocketAddrs, resolve};
use crate::register::{STREAM_INTEREST, register_here};

impl TcpStream {
    /// Connects to the first address that answers, with `TCP_NODELAY` set. [`TcpSocket`] has more
    /// options.
    ///
    /// # Cancellation
    ///
    /// Closes the socket of the attempt.
    ///
    /// # Errors
    ///
    /// The system's error for a single address, such as `ConnectionRefused`. For several addresses,
    /// one error lists all failures and has the kind of the first. `Unsupported` for a host name.
    /// An error as well if no loop runs on this thread.
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
    /// The system's error, such as `ConnectionRefused`, and an error if no loop runs on this
    /// thread.
    pub async fn connect(self, address: SocketAddr) -> io::Result<TcpStream> {
        connect(self.into_inner(), address).await
    }
}

/// Tries one address after the other. The sockets of failed and cancelled attempts are closed.
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failures = Vec::new();
    for address in addresses {
        let connected = async { TcpSocket::for_address(address)?.connect(*address).await };
        match connected.await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push((*address, error)),
        }
    }
    Err(combined_error(failures))
}

/// Combines the failures: a single one is returned as it is, several as one error with the kind of
/// the first.
fn combined_error(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
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
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    // Registered only now: a socket that was never connected counts as hung up, which would be an
    // event.
    let stream = mio::net::TcpStream::from_std(socket.into());
    let registered = register_here(stream, STREAM_INTEREST).map_err(|(_, error)| error)?;
    registered.io(Direction::Write, connection_result).await?;
    Ok(TcpStream::from_registered(registered))
}

fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        // An attempt that was interrupted by a signal continues as well.
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

/// Returns the result of a connection attempt; `WouldBlock` while it is not known.
///
/// A writable socket may be connected or failed. Its pending error and the existence of a peer
/// decide.
fn connection_result(stream: &mio::net::TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected || is_in_progress(&error) => {
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
    fn one_failure_is_returned_unchanged() {
        let address = ([127, 0, 0, 1], 1).into();
        let error = io::Error::from_raw_os_error(1);
        let combined = combined_error(vec![(address, error)]);
        assert_eq!(combined.raw_os_error(), Some(1));
    }

    #[test]
    fn several_failures_are_listed_with_their_addresses() {
        let timeout = io::ErrorKind::TimedOut.into();
        let combined = combined_error(vec![
            (([127, 0, 0, 1], 1).into(), refused()),
            (([127, 0, 0, 2], 2).into(), timeout),
        ]);
        assert_eq!(combined.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            combined.to_string(),
            "none of the addresses answered (127.0.0.1:1: connection refused; 127.0.0.2:2: timed out)"
        );
    }
}
