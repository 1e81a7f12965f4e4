//! The common part of both sides of TLS: limits, the provider of ciphers, the handshake.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use asyncio_executors::timeout;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};

/// asyncio's limits.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(60);
pub(super) const SHUTDOWN: Duration = Duration::from_secs(30);

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Application protocols as rustls takes them.
pub(super) fn names_of<P: AsRef<[u8]>>(protocols: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let names = protocols.into_iter().map(|one| one.as_ref().to_vec());
    names.collect()
}

/// Waits for a handshake, up to a limit.
pub(super) async fn shake_hands<T>(
    handshake: impl Future<Output = io::Result<T>>,
    limit: Duration,
) -> io::Result<T> {
    match timeout(limit, handshake).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let message = "the connection ended during the TLS handshake";
            Err(io::Error::new(io::ErrorKind::ConnectionReset, message))
        }
        Ok(outcome) => outcome,
        Err(_timed_out) => {
            let message = format!("the TLS handshake took longer than {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
    }
}
