//! Sources of the loop that runs here.
//!
//! A source belongs to the loop on which it was made. While that loop does not run, whoever would
//! have to wait for the source is told so by its reactor ([`asyncio_reactor::ReactorRests`]).

use std::io;

use asyncio_reactor::{Interest, Registered, Source};

/// For what transfers both ways.
pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// For TCP streams. A read of theirs stops before a byte that the other side has marked as urgent, which the
/// reactor has to know, or it takes the stream for empty.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const STREAM: Interest = BOTH.add(Interest::PRIORITY);

/// For TCP streams. Elsewhere mio does not tell of urgent bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const STREAM: Interest = BOTH;

/// Registers the source with the loop that runs here. It comes back if that fails.
pub(crate) fn bind_here<S: Source>(
    source: S,
    interest: Interest,
) -> Result<Registered<S>, (S, io::Error)> {
    match asyncio_loop::try_reactor() {
        Ok(reactor) => reactor
            .register(source, interest)
            .map_err(asyncio_reactor::RegisterError::into_parts),
        Err(no_loop) => Err((source, io::Error::other(no_loop))),
    }
}
