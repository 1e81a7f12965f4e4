//! The two halves of a connection.
//!
//! A half borrows its stream or shares it. The lifetime shows which: a half that shares its stream
//! is `ReadHalf<'static, S>`, with the alias `OwnedReadHalf<S>`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::rc::Rc;

use super::ByteStream;

/// The read half of a stream, from [`TcpStream::split_ref`](crate::TcpStream::split_ref) or, `'static`, from
/// [`TcpStream::into_split`](crate::TcpStream::into_split).
#[derive(Debug)]
pub struct ReadHalf<'a, S: ByteStream> {
    stream: ReadStream<'a, S>,
}

/// The write half of a stream, from [`TcpStream::split_ref`](crate::TcpStream::split_ref) or, `'static`, from
/// [`TcpStream::into_split`](crate::TcpStream::into_split).
///
/// Dropping an owned half shuts the sending side down ([`Shutdown::Write`](std::net::Shutdown::Write)), unless it was
/// [forgotten](Self::forget). Dropping a borrowed half does nothing.
#[derive(Debug)]
pub struct WriteHalf<'a, S: ByteStream> {
    stream: WriteStream<'a, S>,
}

/// A read half that owns its share of the stream.
pub type OwnedReadHalf<S> = ReadHalf<'static, S>;
/// A write half that owns its share of the stream.
pub type OwnedWriteHalf<S> = WriteHalf<'static, S>;

#[derive(Debug)]
enum ReadStream<'a, S> {
    Borrowed(&'a S),
    Shared(Rc<S>),
}

#[derive(Debug)]
enum WriteStream<'a, S: ByteStream> {
    Borrowed(&'a S),
    Shared(ShutdownOnDrop<S>),
}

/// Shuts the sending side down when it is dropped. A type without a lifetime, so that a borrowed
/// half has no drop glue and its borrow ends with its last use.
#[derive(Debug)]
struct ShutdownOnDrop<S: ByteStream> {
    stream: Rc<S>,
    is_forgotten: bool,
}

impl<S: ByteStream> Drop for ShutdownOnDrop<S> {
    fn drop(&mut self) {
        if !self.is_forgotten {
            // If this fails, the connection is gone, and the peer knows.
            let _ = self.stream.close_write();
        }
    }
}

/// Splits a stream into halves that share it.
pub(crate) fn into_split<S: ByteStream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Rc::new(stream);
    let read = ReadHalf {
        stream: ReadStream::Shared(Rc::clone(&stream)),
    };
    let write = WriteHalf {
        stream: WriteStream::Shared(ShutdownOnDrop {
            stream,
            is_forgotten: false,
        }),
    };
    (read, write)
}

impl<'a, S: ByteStream> ReadHalf<'a, S> {
    pub(crate) fn borrowed(stream: &'a S) -> Self {
        ReadHalf {
            stream: ReadStream::Borrowed(stream),
        }
    }

    pub(crate) fn stream(&self) -> &S {
        match &self.stream {
            ReadStream::Borrowed(stream) => stream,
            ReadStream::Shared(stream) => stream,
        }
    }

    /// Reads, like [`TcpStream::read`](crate::TcpStream::read).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::read`](crate::TcpStream::read).
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.stream().read(buf)
    }

    /// Reads into several buffers, like [`TcpStream::read_vectored`](crate::TcpStream::read_vectored).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::read_vectored`](crate::TcpStream::read_vectored).
    pub fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.stream().read_vectored(bufs)
    }

    /// Fills a buffer, like [`TcpStream::read_exact`](crate::TcpStream::read_exact).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::read_exact`](crate::TcpStream::read_exact).
    #[inline]
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        self.stream().read_exact(buf)
    }

    /// Waits until a read is worth a try, like [`TcpStream::readable`](crate::TcpStream::readable).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::readable`](crate::TcpStream::readable).
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.stream().readable()
    }

    /// Reads without waiting, like [`TcpStream::try_read`](crate::TcpStream::try_read).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::try_read`](crate::TcpStream::try_read).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream().try_read(buf)
    }

    /// Reads into several buffers without waiting, like
    /// [`TcpStream::try_read_vectored`](crate::TcpStream::try_read_vectored).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::try_read_vectored`](crate::TcpStream::try_read_vectored).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream().try_read_vectored(bufs)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.stream().local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn peer_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.stream().peer_addr()
    }
}

impl<S: ByteStream> OwnedReadHalf<S> {
    /// Makes the stream out of its two halves again.
    ///
    /// # Errors
    ///
    /// Returns both halves if they are not halves of the same stream.
    pub fn reunite(self, write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        match (self.stream, &write.stream) {
            (ReadStream::Shared(stream), WriteStream::Shared(writer))
                if Rc::ptr_eq(&stream, &writer.stream) =>
            {
                write.forget();
                Ok(Rc::into_inner(stream).expect("only the two halves share the stream"))
            }
            (stream, _) => Err(ReuniteError(ReadHalf { stream }, write)),
        }
    }
}

impl<'a, S: ByteStream> WriteHalf<'a, S> {
    pub(crate) fn borrowed(stream: &'a S) -> Self {
        WriteHalf {
            stream: WriteStream::Borrowed(stream),
        }
    }

    pub(crate) fn stream(&self) -> &S {
        match &self.stream {
            WriteStream::Borrowed(stream) => stream,
            WriteStream::Shared(writer) => &writer.stream,
        }
    }

    /// Drops the half without shutting the sending side down. The connection stays open in both
    /// directions until the other half is dropped as well.
    pub fn forget(mut self) {
        if let WriteStream::Shared(writer) = &mut self.stream {
            writer.is_forgotten = true;
        }
    }

    /// Writes, like [`TcpStream::write`](crate::TcpStream::write).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::write`](crate::TcpStream::write).
    #[inline]
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.stream().write(buf)
    }

    /// Writes from several buffers, like [`TcpStream::write_vectored`](crate::TcpStream::write_vectored).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::write_vectored`](crate::TcpStream::write_vectored).
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        self.stream().write_vectored(bufs)
    }

    /// Writes a whole buffer, like [`TcpStream::write_all`](crate::TcpStream::write_all).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::write_all`](crate::TcpStream::write_all).
    #[inline]
    pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.stream().write_all(buf)
    }

    /// Waits until a write is worth a try, like [`TcpStream::writable`](crate::TcpStream::writable).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::writable`](crate::TcpStream::writable).
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.stream().writable()
    }

    /// Writes without waiting, like [`TcpStream::try_write`](crate::TcpStream::try_write).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::try_write`](crate::TcpStream::try_write).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream().try_write(buf)
    }

    /// Writes from several buffers without waiting, like
    /// [`TcpStream::try_write_vectored`](crate::TcpStream::try_write_vectored).
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::try_write_vectored`](crate::TcpStream::try_write_vectored).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream().try_write_vectored(bufs)
    }

    /// Shuts the sending side down: the peer reads the end of the stream, and may continue to send.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream().shutdown_write()
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.stream().local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn peer_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.stream().peer_addr()
    }
}

/// The error of [`OwnedReadHalf::reunite`] for halves of different streams. It contains both
/// halves.
#[derive(Debug)]
pub struct ReuniteError<S: ByteStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: ByteStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves belong to different streams")
    }
}

impl<S: ByteStream + fmt::Debug> Error for ReuniteError<S> {}
