//! Sockets, streams, transports and TLS on loopback: a module a concept.

#[cfg(unix)]
mod async_fd;
mod buffered;
mod copy;
mod datagram;
mod listening;
mod loops;
mod names;
#[cfg(unix)]
mod reported;
mod send_file;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
mod seqpacket;
mod server;
mod stream;
#[path = "../support/mod.rs"]
mod support;
#[cfg(all(feature = "tls", target_os = "linux"))]
mod tls;
#[cfg(all(feature = "tls", target_os = "linux"))]
mod tls_upgrades;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod transport;
mod udp;
mod udp_batch;
#[cfg(unix)]
mod unix;
