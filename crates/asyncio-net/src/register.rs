//! Registration of sources with the running loop.
//!
//! A source belongs to the loop on which it was created. While that loop does not run, an operation
//! that would wait for the source fails with [`asyncio_reactor::ReactorRests`].

use std::io;

use asyncio_reactor::{Interest, Place, Registered, Source};

/// The interest of a source that transfers in both directions.
pub(crate) const READ_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The interest of a TCP stream. A read stops before an urgent byte. The reactor must see urgent
/// bytes, because it would take the stream for drained otherwise.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const STREAM_INTEREST: Interest = READ_WRITE.add(Interest::PRIORITY);

/// The interest of a TCP stream. Only on Linux mio reports urgent bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const STREAM_INTEREST: Interest = READ_WRITE;

/// Registers the source with the loop that runs on this thread. A console shows it at `place`. Returns the source on
/// failure.
pub(crate) fn register_here<S: Source>(
    source: S,
    interest: Interest,
    place: Place,
) -> Result<Registered<S>, (S, io::Error)> {
    match asyncio_loop::try_reactor() {
        Ok(reactor) => reactor
            .register_at(source, interest, place)
            .map_err(asyncio_reactor::RegisterError::into_parts),
        Err(no_loop) => Err((source, io::Error::other(no_loop))),
    }
}
