//! Byte streams: connections that transfer bytes in both directions.

pub(crate) mod calls;
pub(crate) mod io_traits;
pub(crate) mod methods;
#[cfg(feature = "rustls")]
pub(crate) mod replayed;
pub(crate) mod split;
pub(crate) mod transfer;

/// A connection that transfers bytes in both directions: a [`TcpStream`](crate::TcpStream) or a
/// `UnixStream`. Both have the same types of [halves](crate::ReadHalf).
pub trait ByteStream: sealed::Sealed<Addr = <Self as ByteStream>::Addr> + 'static {
    /// The type of its addresses.
    type Addr;
}

pub(crate) mod sealed {
    use std::future::Future;
    use std::io::{self, IoSlice, IoSliceMut};
    use std::task::{Context, Poll};

    /// The methods that the halves call. Each is the inherent method of the same name.
    pub trait Sealed: Sized {
        type Addr;

        fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>>;
        fn read_vectored(
            &self,
            bufs: &mut [IoSliceMut<'_>],
        ) -> impl Future<Output = io::Result<usize>>;
        fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>>;
        fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>>;
        fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>>;
        fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>>;
        fn readable(&self) -> impl Future<Output = io::Result<()>>;
        fn writable(&self) -> impl Future<Output = io::Result<()>>;
        fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
        fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
        fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
        fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
        fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;
        fn poll_read_vectored(
            &self,
            cx: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
        ) -> Poll<io::Result<usize>>;
        fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;
        fn poll_write_vectored(
            &self,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>>;
        /// Has the system send a part of a file. `Unsupported` if it does not do that.
        fn poll_send_file(
            &self,
            cx: &mut Context<'_>,
            file: &std::fs::File,
            offset: u64,
            most: usize,
        ) -> Poll<io::Result<usize>>;
        fn shutdown_write(&self) -> io::Result<()>;
        fn close_write(&self) -> io::Result<()>;
        fn local_addr(&self) -> io::Result<Self::Addr>;
        fn peer_addr(&self) -> io::Result<Self::Addr>;
    }
}
