//! Names of hosts, resolved by the system's resolver on threads.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use asyncio_loop::{Attachment, attached};
use asyncio_pool::{Job, PoolShare, default_executor};
use asyncio_task::StepBack;

/// The limit of lookups at the same time, on the threads of the default pool. A slow name server
/// leaves the other threads free.
const MAX_LOOKUPS: usize = 8;

/// Resolves a host's name to addresses, like the system's `getaddrinfo`. The addresses are in the
/// system's order of preference (RFC 6724). The system's configuration decides which sources are
/// asked, such as `/etc/hosts` and the domain name system.
///
/// The lookup runs on a thread of the [default pool](asyncio_pool::default_executor), at most eight
/// lookups at a time. A literal address needs no thread.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::getaddrinfo;
///
/// # asyncio_loop::run(async {
/// let addresses = getaddrinfo("localhost", 80).await?;
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
        StepBack::new().await;
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let name = host.to_owned();
    let lookup =
        resolve_on_thread(move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    match lookup.await {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{host}: the name has no address"),
        )),
        Ok(outcome) => outcome.map_err(|error| name_host(error, host)),
        Err(error) => Err(io::Error::other(format!(
            "{host} was not resolved: {error}"
        ))),
    }
}

/// Resolves an address to the names of its host and its service, like the system's `getnameinfo`.
/// An address without a name gives numbers.
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
    let lookup = resolve_on_thread(move || dns_lookup::getnameinfo(&address, 0));
    match lookup.await {
        Ok(outcome) => outcome.map_err(|error| name_host(error.into(), &address.to_string())),
        Err(error) => Err(io::Error::other(format!(
            "{address} was not resolved: {error}"
        ))),
    }
}

fn name_host(error: io::Error, host: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{host}: {error}"))
}

/// The share of the default pool that resolves names, attached to the loop.
#[derive(Default)]
struct Resolver(RefCell<Option<PoolShare>>);

impl Attachment for Resolver {
    fn close(&self, _timeout: Duration) {
        // The default pool is closed with the loop.
    }
}

fn resolve_on_thread<F, T>(lookup: F) -> Job<T>
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
        share => share.insert(default_executor().share(MAX_LOOKUPS)),
    };
    share.run(lookup)
}
