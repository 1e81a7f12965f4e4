//! Names of hosts: the system's resolver, asked on threads.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use asyncio_loop::{Attachment, attached};
use asyncio_pool::{Job, PoolShare, default_executor};

/// The number of threads of the default pool that resolve at the same time. A slow server keeps the other
/// threads free.
const MOST_LOOKUPS: usize = 8;

/// Resolves a host's name to addresses, in the system's order of preference (RFC 6724), as the system's
/// `getaddrinfo` does: from `/etc/hosts`, the domain name system, and whatever the system is set up to ask.
///
/// It runs on a thread of the [default pool](asyncio_pool::default_executor), at most eight lookups at a time. A
/// literal address needs no thread.
///
/// ```
/// # asyncio_loop::run(async {
/// let addresses = asyncio_net::getaddrinfo("localhost", 80).await?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// Loses nothing. A lookup that a thread has begun runs to its end there.
///
/// # Errors
///
/// The resolver's error, with the name of the host. An error as well if the pool is shut down.
///
/// # Panics
///
/// Without a running loop.
pub async fn getaddrinfo(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let lookup = on_a_thread(move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    match lookup.await {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{host}: the name has no address"),
        )),
        Ok(outcome) => outcome.map_err(|error| of_host(error, host)),
        Err(error) => Err(io::Error::other(format!(
            "{host} was not resolved: {error}"
        ))),
    }
}

/// Resolves an address to the name of its host and the name of its service, as the system's `getnameinfo` does. Without
/// names it gives numbers.
///
/// # Cancellation
///
/// Loses nothing. A lookup that a thread has begun runs to its end there.
///
/// # Errors
///
/// The resolver's error. An error as well if the pool is shut down.
///
/// # Panics
///
/// Without a running loop.
pub async fn getnameinfo(address: SocketAddr) -> io::Result<(String, String)> {
    let lookup = on_a_thread(move || dns_lookup::getnameinfo(&address, 0));
    match lookup.await {
        Ok(outcome) => outcome.map_err(|error| of_host(error.into(), &address.to_string())),
        Err(error) => Err(io::Error::other(format!(
            "{address} was not resolved: {error}"
        ))),
    }
}

fn of_host(error: io::Error, host: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{host}: {error}"))
}

/// The share of the default pool that resolves, kept with the loop.
#[derive(Default)]
struct Resolver(RefCell<Option<PoolShare>>);

impl Attachment for Resolver {
    fn close(&self, _patience: Duration) {
        // The default pool is closed with the loop.
    }
}

fn on_a_thread<F, T>(lookup: F) -> Job<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let resolver = match attached::<Resolver>() {
        Ok(resolver) => resolver,
        Err(no_loop) => panic!("{no_loop}"),
    };
    let mut share = resolver.0.borrow_mut();
    // The default pool may have been replaced.
    let share = match &mut *share {
        Some(share) if !share.pool().is_closed() => share,
        share => share.insert(default_executor().share(MOST_LOOKUPS)),
    };
    share.run(lookup)
}
