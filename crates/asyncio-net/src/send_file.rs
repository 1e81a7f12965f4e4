//! Sending files.

use std::any::Any;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;

use asyncio_pool::to_thread;
use futures_io::AsyncWrite;

use crate::buffered::writer::StreamWriter;
use crate::stream::ByteStream;
use crate::stream::split::{OwnedWriteHalf, WriteHalf};
use crate::tcp::stream::TcpStream;
use crate::transport::stream::{Transport, Wire};
#[cfg(unix)]
use crate::unix::stream::UnixStream;

/// The number of bytes that one system call sends. It sends fewer if the socket is full.
const BY_SYSTEM: u64 = 1 << 20;

/// The number of bytes that are read at once where the system cannot send a file.
const BY_HAND: u64 = 64 * 1024;

/// Sends a part of a file: asyncio's `sendfile`. Returns the number of bytes, which is less than `count` if the file
/// ends before.
///
/// `to` is a [`TcpStream`], a `UnixStream`, a write half, a [`StreamWriter`] or a [`Transport`]. On Linux the system
/// copies from the file to a TCP or Unix socket (`sendfile`). A file that is not in the system's cache blocks the loop
/// while it is read. Elsewhere, and over TLS, the file is read on threads of the default pool.
///
/// `offset` is the place in the file. It is advanced by the number of sent bytes, even if the call fails or is
/// cancelled. The file's own position is neither used nor changed.
///
/// Bytes that were written to a [`StreamWriter`] or a [`Transport`] before are sent before the file. Bytes that are
/// written meanwhile are sent after it. Meanwhile a transport receives nothing.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{TcpListener, TcpStream, sendfile};
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("asyncio-sendfile-{}", std::process::id()));
/// # std::fs::write(&path, b"hello, world")?;
/// # asyncio_loop::run(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (stream, _) = listener.accept().await?;
/// let file = std::fs::File::open(&path)?;
/// let mut offset = 7;
/// assert_eq!(sendfile(&stream, &file, &mut offset, None).await?, 5);
/// assert_eq!(offset, 12);
/// # let mut buf = [0; 8];
/// # assert_eq!(client.read(&mut buf).await?, 5);
/// # assert_eq!(&buf[..5], b"world");
/// # std::fs::remove_file(&path)
/// # })
/// # }
/// ```
///
/// # Cancellation
///
/// A part may be sent, and `offset` says how much. The connection stays usable.
///
/// # Errors
///
/// The error of the file or of the connection. `NotConnected` if a writer or a transport is closing.
///
/// # Panics
///
/// Where the file is read on threads, without a running loop.
pub async fn sendfile(
    to: &impl FileSink,
    file: &File,
    offset: &mut u64,
    count: impl Into<Option<u64>>,
) -> io::Result<u64> {
    let begin = *offset;
    let left = count.into().unwrap_or(u64::MAX);
    let mut part = Part { file, offset, left };
    to.send(&mut part).await?;
    Ok(*part.offset - begin)
}

/// A target of [`sendfile`].
pub trait FileSink: sealed::Sealed {}

mod sealed {
    use super::{Future, Part, io};

    pub trait Sealed {
        fn send(&self, part: &mut Part<'_>) -> impl Future<Output = io::Result<()>>;
    }
}

/// A part of a file that is left to be sent.
#[derive(Debug)]
pub struct Part<'a> {
    file: &'a File,
    offset: &'a mut u64,
    left: u64,
}

impl Part<'_> {
    /// Notes that `n` bytes were sent.
    fn advance(&mut self, n: usize) {
        *self.offset += n as u64;
        self.left -= n as u64;
    }
}

macro_rules! streams_send {
    ($([$($generics:tt)*] $type:ty, |$this:ident| $stream:expr;)*) => {$(
        impl<$($generics)*> FileSink for $type {}
        impl<$($generics)*> sealed::Sealed for $type {
            async fn send(&self, part: &mut Part<'_>) -> io::Result<()> {
                let $this = self;
                send_to_stream($stream, part).await
            }
        }
    )*};
}

streams_send! {
    [] TcpStream, |this| this;
    [S: ByteStream] WriteHalf<'_, S>, |this| this.stream();
}
#[cfg(unix)]
streams_send! {
    [] UnixStream, |this| this;
}

impl<S: ByteStream> FileSink for StreamWriter<OwnedWriteHalf<S>> {}
impl<S: ByteStream> sealed::Sealed for StreamWriter<OwnedWriteHalf<S>> {
    async fn send(&self, part: &mut Part<'_>) -> io::Result<()> {
        let mut lent = self.lend_sink().await?;
        let send = async |half: &mut OwnedWriteHalf<S>| send_to_stream(half.stream(), part).await;
        lent.unless_closed(send).await
    }
}

macro_rules! writers_send_by_hand {
    ($([$($generics:tt)*] $type:ty;)*) => {$(
        impl<$($generics)*> FileSink for StreamWriter<$type> {}
        impl<$($generics)*> sealed::Sealed for StreamWriter<$type> {
            async fn send(&self, part: &mut Part<'_>) -> io::Result<()> {
                let mut lent = self.lend_sink().await?;
                lent.unless_closed(async |sink: &mut $type| send_by_hand(sink, part).await).await
            }
        }
    )*};
}

writers_send_by_hand! {
    [] crate::memory::MemoryStream;
}
#[cfg(feature = "rustls")]
writers_send_by_hand! {
    [S: futures_io::AsyncRead + AsyncWrite + Unpin + 'static] crate::tls::TlsHalf<S>;
}

impl FileSink for Transport {}
impl sealed::Sealed for Transport {
    async fn send(&self, part: &mut Part<'_>) -> io::Result<()> {
        let mut hold = self.hold(false)?;
        hold.wait().await?;
        let transport = hold.transport();
        transport.unless_lost(send_to_wire(hold.wire(), part)).await
    }
}

async fn send_to_wire(wire: &mut dyn Wire, part: &mut Part<'_>) -> io::Result<()> {
    let any: &dyn Any = &*wire;
    if let Some(stream) = any.downcast_ref::<TcpStream>() {
        return send_to_stream(stream, part).await;
    }
    #[cfg(unix)]
    if let Some(stream) = any.downcast_ref::<UnixStream>() {
        return send_to_stream(stream, part).await;
    }
    send_by_hand(wire, part).await
}

/// Sends by the system call, or by reads and writes if the system cannot send this file.
async fn send_to_stream(stream: &impl ByteStream, part: &mut Part<'_>) -> io::Result<()> {
    while part.left > 0 {
        let most = part.left.min(BY_SYSTEM) as usize;
        let (file, offset) = (part.file, *part.offset);
        let sent = poll_fn(|cx| stream.poll_send_file(cx, file, offset, most)).await;
        match sent {
            Ok(0) => return Ok(()),
            Ok(n) => part.advance(n),
            Err(error) if is_no_file_for_the_system(&error) => break,
            Err(error) => return Err(error),
        }
    }
    while let Some(bytes) = read_next(part).await? {
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            let n = poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
            bytes = &bytes[n..];
            part.advance(n);
        }
    }
    Ok(())
}

fn is_no_file_for_the_system(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(error);
        if matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) {
            return true;
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// Reads the file on a thread, and writes what was read.
async fn send_by_hand(
    mut sink: &mut (impl AsyncWrite + Unpin + ?Sized),
    part: &mut Part<'_>,
) -> io::Result<()> {
    while let Some(bytes) = read_next(part).await? {
        let mut bytes = &bytes[..];
        while !bytes.is_empty() {
            let n = poll_fn(|cx| Pin::new(&mut sink).poll_write(cx, bytes)).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[n..];
            part.advance(n);
        }
    }
    poll_fn(|cx| Pin::new(&mut sink).poll_flush(cx)).await
}

/// The next bytes of the file. None at its end, and at the end of the part.
async fn read_next(part: &Part<'_>) -> io::Result<Option<Vec<u8>>> {
    let most = part.left.min(BY_HAND) as usize;
    if most == 0 {
        return Ok(None);
    }
    let (file, offset) = (part.file.try_clone()?, *part.offset);
    let read = move || {
        let mut bytes = vec![0; most];
        let n = read_at(&file, &mut bytes, offset)?;
        bytes.truncate(n);
        io::Result::Ok(bytes)
    };
    let bytes = to_thread(read).await.map_err(io::Error::other)??;
    Ok((!bytes.is_empty()).then_some(bytes))
}

#[cfg(unix)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match std::os::unix::fs::FileExt::read_at(file, buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Moves the position of the handle, which is shared with the caller's file.
#[cfg(windows)]
fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}
