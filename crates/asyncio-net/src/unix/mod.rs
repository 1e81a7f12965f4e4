//! Unix sockets: streams, listeners and datagrams.

pub(crate) mod datagram;
pub(crate) mod descriptors;
pub(crate) mod listener;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) mod seqpacket;
pub(crate) mod stream;
