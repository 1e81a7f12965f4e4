//! The two halves of a connection.
//!
//! A half borrows its stream or shares it. That is told by one lifetime: a half that shares is
//! `ReadHalf<'static>`, which is also called `OwnedReadHalf`.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use super::stream::TcpStream;

/// The half of a [`TcpStream`] that reads, from [`TcpStream::split_ref`] or, `'static`, from
/// [`TcpStream::into_split`].
#[derive(Debug)]
pub struct ReadHalf<'a> {
    stream: Reads<'a>,
}

/// The half of a [`TcpStream`] that writes, from [`TcpStream::split_ref`] or, `'static`, from
/// [`TcpStream::into_split`].
///
/// When an owned one is dropped, it says that nothing more is sent ([`Shutdown::Write`]), unless
/// it was [forgotten](Self::forget). A borrowed one does nothing.
#[derive(Debug)]
pub struct WriteHalf<'a> {
    stream: Writes<'a>,
}

/// A half to read from that belongs to nobody else.
pub type OwnedReadHalf = ReadHalf<'static>;
/// A half to write to that belongs to nobody else.
pub type OwnedWriteHalf = WriteHalf<'static>;

#[derive(Debug)]
enum Reads<'a> {
    Borrowed(&'a TcpStream),
    Shared(Rc<TcpStream>),
}

#[derive(Debug)]
enum Writes<'a> {
    Borrowed(&'a TcpStream),
    Shared(Writer),
}

/// Ends the sending side when it is dropped. It has no lifetime, so a borrowed half is free to
/// outlive its last use.
#[derive(Debug)]
struct Writer {
    stream: Rc<TcpStream>,
    is_forgotten: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_forgotten {
            // If it fails, the connection is gone, and the peer knows.
            let _ = self.stream.close_write();
        }
    }
}

impl TcpStream {
    /// A half to read from and a half to write to, for as long as this is borrowed.
    ///
    /// (Not `split`: where the extension traits of `futures` are in scope, that is theirs.)
    #[doc(alias = "split")]
    pub fn split_ref(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf::borrowed(self), WriteHalf::borrowed(self))
    }

    /// A half to read from and a half to write to, each for a task of its own. Dropping the half
    /// to write to says that nothing more is sent.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        owned(self)
    }
}

fn owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Rc::new(stream);
    let read = ReadHalf {
        stream: Reads::Shared(Rc::clone(&stream)),
    };
    let write = WriteHalf {
        stream: Writes::Shared(Writer {
            stream,
            is_forgotten: false,
        }),
    };
    (read, write)
}

impl<'a> ReadHalf<'a> {
    pub(super) fn borrowed(stream: &'a TcpStream) -> Self {
        ReadHalf {
            stream: Reads::Borrowed(stream),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        match &self.stream {
            Reads::Borrowed(stream) => stream,
            Reads::Shared(stream) => stream,
        }
    }

    /// See [`TcpStream::read`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::read`].
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.stream().read(buf)
    }

    /// See [`TcpStream::read_vectored`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::read_vectored`].
    pub fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.stream().read_vectored(bufs)
    }

    /// See [`TcpStream::read_exact`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::read_exact`].
    #[inline]
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        self.stream().read_exact(buf)
    }

    /// See [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::peek`].
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream().peek(buf).await
    }

    /// See [`TcpStream::readable`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::readable`].
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.stream().readable()
    }

    /// See [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::try_read`].
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream().try_read(buf)
    }

    /// See [`TcpStream::try_read_vectored`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::try_read_vectored`].
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream().try_read_vectored(bufs)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }
}

impl OwnedReadHalf {
    /// Makes the stream out of its halves again.
    ///
    /// # Errors
    ///
    /// If they are not halves of the same stream; they come back.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        match (self.stream, &write.stream) {
            (Reads::Shared(stream), Writes::Shared(writer))
                if Rc::ptr_eq(&stream, &writer.stream) =>
            {
                write.forget();
                Ok(Rc::into_inner(stream).expect("the two halves were all that shared it"))
            }
            (stream, _) => Err(ReuniteError(ReadHalf { stream }, write)),
        }
    }
}

impl<'a> WriteHalf<'a> {
    pub(super) fn borrowed(stream: &'a TcpStream) -> Self {
        WriteHalf {
            stream: Writes::Borrowed(stream),
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        match &self.stream {
            Writes::Borrowed(stream) => stream,
            Writes::Shared(writer) => &writer.stream,
        }
    }

    /// Drops it without saying that nothing more is sent: the connection stays open in both
    /// directions until the other half is dropped too.
    pub fn forget(mut self) {
        if let Writes::Shared(writer) = &mut self.stream {
            writer.is_forgotten = true;
        }
    }

    /// See [`TcpStream::write`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::write`].
    #[inline]
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.stream().write(buf)
    }

    /// See [`TcpStream::write_vectored`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::write_vectored`].
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        self.stream().write_vectored(bufs)
    }

    /// See [`TcpStream::write_all`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::write_all`].
    #[inline]
    pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.stream().write_all(buf)
    }

    /// See [`TcpStream::writable`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::writable`].
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.stream().writable()
    }

    /// See [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::try_write`].
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream().try_write(buf)
    }

    /// See [`TcpStream::try_write_vectored`].
    ///
    /// # Errors
    ///
    /// See [`TcpStream::try_write_vectored`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream().try_write_vectored(bufs)
    }

    /// Says that nothing more is sent: the peer reads the end, and may go on sending.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.stream().shutdown(Shutdown::Write)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }
}

/// The two were not halves of the same stream. Both are in it.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these are not the two halves of one stream")
    }
}

impl Error for ReuniteError {}
