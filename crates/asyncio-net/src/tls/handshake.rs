//! The common part of both sides of TLS: limits, the provider of ciphers, the handshake.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use asyncio_executors::timeout;
use futures_rustls::rustls::crypto::CryptoProvider;

use super::stream::TlsStream;
use crate::stream::replayed::Replayed;

/// The limits of the handshake and of the end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) handshake: Duration,
    pub(super) shutdown: Duration,
}

/// asyncio's limits.
impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(60),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// The provider of the ciphers: ring, graviola, or the one that the program has installed, as the features say.
///
/// # Panics
///
/// If the program has to install one, and has not.
pub(super) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "tls")]
    return Arc::new(futures_rustls::rustls::crypto::ring::default_provider());
    #[cfg(all(feature = "graviola", not(feature = "tls")))]
    return Arc::new(rustls_graviola::default_provider());
    #[cfg(not(any(feature = "tls", feature = "graviola")))]
    CryptoProvider::get_default()
        .expect(
            "without the features `tls` and `graviola`, the program installs a `CryptoProvider`",
        )
        .clone()
}

/// Application protocols as rustls takes them.
pub(super) fn names_of<P: AsRef<[u8]>>(protocols: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let names = protocols.into_iter().map(|one| one.as_ref().to_vec());
    names.collect()
}

impl Limits {
    /// Waits for a handshake, and makes a stream of the connection.
    pub(super) async fn shake_hands<S, C>(
        self,
        handshake: impl Future<Output = io::Result<C>>,
    ) -> io::Result<TlsStream<S>>
    where
        C: Into<futures_rustls::TlsStream<Replayed<S>>>,
    {
        let limit = self.handshake;
        match timeout(limit, handshake).await {
            Ok(Ok(connection)) => Ok(TlsStream::of(connection.into(), self.shutdown)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let message = "the connection ended during the TLS handshake";
                Err(io::Error::new(io::ErrorKind::ConnectionReset, message))
            }
            Ok(Err(error)) => Err(error),
            Err(_timed_out) => {
                let message = format!("the TLS handshake took longer than {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}
