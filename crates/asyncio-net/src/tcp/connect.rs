//! Connection attempts.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use asyncio_executors::{Contender, staggered_race};
use asyncio_loop::try_running_loop;
use asyncio_reactor::{Direction, Place};
use socket2::Socket;

use super::socket::TcpSocket;
use super::stream::TcpStream;
use crate::address::{ToSocketAddrs, resolve};
use crate::register::{STREAM_INTEREST, register_here};

impl TcpStream {
    /// Connects to the first address that answers, with `TCP_NODELAY` set. [`TcpSocket`] has more
    /// options.
    ///
    /// Several addresses are tried in parallel as in RFC 8305 ("happy eyeballs"). IPv6 and IPv4
    /// alternate, beginning with the family of the first address. An attempt starts when the
    /// previous one has failed, or 250 ms after it. The first connection wins, and the other
    /// attempts are closed.
    ///
    /// # Cancellation
    ///
    /// Closes the sockets of all attempts.
    ///
    /// # Errors
    ///
    /// The system's error for a single address, such as `ConnectionRefused`. For several addresses,
    /// one error lists all failures and has the kind of the first. The resolver's error for the
    /// name of a host. An error as well if no loop runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside of any task, if there are several addresses.
    #[track_caller]
    pub fn connect(to: impl ToSocketAddrs) -> impl Future<Output = io::Result<Self>> {
        Self::connect_at(to, Place::caller())
    }

    /// [`connect`](Self::connect), for a socket that a console shows at `place`.
    pub(crate) async fn connect_at(to: impl ToSocketAddrs, place: Place) -> io::Result<Self> {
        connect_any(resolve(&to).await?, place).await
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
    #[track_caller]
    pub fn connect(self, address: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> {
        connect(self.into_inner(), address, Place::caller())
    }
}

/// The head start of an attempt before the next one ("Connection Attempt Delay", RFC 8305, section
/// 5).
const HEAD_START: Duration = Duration::from_millis(250);

async fn connect_any(addresses: Vec<SocketAddr>, place: Place) -> io::Result<TcpStream> {
    if let [address] = addresses[..] {
        return connect_to(address, place).await;
    }
    if let Err(no_loop) = try_running_loop() {
        return Err(io::Error::other(no_loop));
    }
    let addresses = interleaved(addresses);
    let attempts = addresses
        .iter()
        .map(|&address| move || connect_to(address, place));
    // Boxed, because most connections have a single address and need no room for a race.
    let race = Box::pin(staggered_race(attempts, Some(HEAD_START))).await;
    if let Some((stream, _)) = race.winner {
        return Ok(stream);
    }
    let failures = addresses.into_iter().zip(race.contenders);
    let failures = failures.filter_map(|(address, contender)| match contender {
        Contender::Failed(error) => Some((address, error)),
        Contender::Won | Contender::Cancelled => None,
    });
    Err(combined_error(failures.collect()))
}

async fn connect_to(address: SocketAddr, place: Place) -> io::Result<TcpStream> {
    let socket = TcpSocket::for_address(&address)?;
    connect(socket.into_inner(), address, place).await
}

/// Alternates the addresses of the two families, beginning with the family of the first (RFC 8305,
/// section 4). Each family keeps its order.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of_first = |address: &SocketAddr| address.is_ipv6() == first_is_v6;
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(of_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::with_capacity(first.len() + second.len());
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return turns;
        }
        turns.extend(pair.0);
        turns.extend(pair.1);
    }
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

async fn connect(socket: Socket, address: SocketAddr, place: Place) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    // Registered only now: a socket that was never connected counts as hung up, which would be an
    // event.
    let stream = mio::net::TcpStream::from_std(socket.into());
    let registered = register_here(stream, STREAM_INTEREST, place).map_err(|(_, error)| error)?;
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
    fn families_take_turns_and_keep_their_order() {
        let sorted = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            let turns = interleaved(addresses.collect()).into_iter();
            turns
                .map(|address| address.ip().to_string())
                .collect::<Vec<_>>()
        };
        let (v6, v4) = (
            ["[::1]:1", "[::2]:1", "[::3]:1"],
            ["127.0.0.1:1", "127.0.0.2:1"],
        );
        let turns = sorted(&[&v6[..], &v4].concat());
        assert_eq!(turns, ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]);
        let turns = sorted(&[&v4[..], &v6].concat());
        assert_eq!(turns, ["127.0.0.1", "::1", "127.0.0.2", "::2", "::3"]);
        assert_eq!(sorted(&v4), ["127.0.0.1", "127.0.0.2"]);
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
