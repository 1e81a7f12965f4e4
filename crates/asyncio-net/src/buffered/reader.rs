//! Reading parts of a stream: lines, frames, all of it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::StepBack;
use futures_io::{AsyncBufRead, AsyncRead};

use super::error::{IncompleteRead, LimitOverrun, ReadError};
use super::separator::Separator;
use crate::stream::split::OwnedReadHalf;
use crate::tcp::stream::TcpStream;
use crate::waker_list::poll_step_back;

/// The default limit of a reader, in bytes: asyncio's.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// The size of a new buffer, and the least room for a read.
const CHUNK: usize = 4 * 1024;

/// The largest room for a read.
const LARGEST_CHUNK: usize = 64 * 1024;

/// Reads parts of a byte stream: lines, frames, up to a separator, to the end.
///
/// It is asyncio's `StreamReader`, over anything that implements [`AsyncRead`]: a TCP or Unix stream, TLS, a
/// [pair in memory](crate::memory_pair). [`open_connection`](crate::open_connection) gives one with its
/// [`StreamWriter`](crate::StreamWriter).
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{StreamReader, memory_pair};
///
/// # asyncio_loop::run(async {
/// let (one, other) = memory_pair(64);
/// one.write_all(b"a line\nand 4 bytes: abcd").await?;
/// drop(one);
///
/// let mut reader = StreamReader::new(other);
/// assert_eq!(reader.readline().await?, b"a line\n");
/// assert_eq!(reader.read_until(b": ").await?, b"and 4 bytes: ");
/// assert_eq!(reader.read_exact(4).await?, b"abcd");
/// assert_eq!(reader.readline().await?, b"");
/// assert!(reader.at_eof());
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// The methods return a part of the reader's buffer, which is valid until the next call. Copy it (`to_vec`) to keep it.
///
/// # Cancellation
///
/// No method loses a byte: received bytes stay in the reader until a method returns them. That holds for methods that
/// lose a race, too.
///
/// # The end
///
/// The first end of the source is final: later reads return no bytes and do not ask the source. So a file that grows is
/// read by `File::read` of `asyncio::fs`, as the example of `asyncio::fs::watch` shows.
///
/// # The limit
///
/// The limit is the number of bytes that [`read_until`](Self::read_until) and [`readline`](Self::readline) accept
/// before a separator: 64 KiB unless [set](Self::with_limit). So a peer that never sends a separator cannot fill the
/// memory.
pub struct StreamReader<R = OwnedReadHalf<TcpStream>> {
    source: R,
    /// The buffer, all of it initialised. Its bytes in `filled` were received.
    buffer: Vec<u8>,
    filled: Range<usize>,
    /// The number of bytes that the last method returned. They are the first of `filled`.
    returned: usize,
    limit: usize,
    is_eof: bool,
    /// The budget of code that polls.
    step_back: StepBack,
}

impl<R> StreamReader<R> {
    /// A reader of `source` with a limit of 64 KiB.
    pub fn new(source: R) -> Self {
        Self::with_limit(DEFAULT_LIMIT, source)
    }

    /// A reader of `source` with a limit in bytes.
    ///
    /// # Panics
    ///
    /// If the limit is 0.
    pub fn with_limit(limit: usize, source: R) -> Self {
        assert!(limit > 0, "the limit of a reader must be at least 1");
        Self {
            source,
            buffer: Vec::new(),
            filled: 0..0,
            returned: 0,
            limit,
            is_eof: false,
            step_back: StepBack::new(),
        }
    }

    /// Whether the stream has ended and all bytes were returned.
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.is_eof && self.unread().is_empty()
    }

    /// The bytes that were received and not returned.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.filled.start + self.returned..self.filled.end]
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The source. Bytes that are read from it do not reach this reader.
    pub fn get_ref(&self) -> &R {
        &self.source
    }

    /// The source, by `&mut`.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The source, and the bytes that were received and not returned.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        let unread = self.unread().to_vec();
        (self.source, unread)
    }

    /// Gives up the bytes that the last method returned.
    fn give_up_returned(&mut self) {
        self.filled.start += std::mem::take(&mut self.returned);
        if self.filled.is_empty() {
            self.filled = 0..0;
            if self.buffer.len() > LARGEST_CHUNK {
                self.buffer = Vec::new();
            }
        }
    }

    /// Returns the first `n` bytes.
    fn take(&mut self, n: usize) -> &[u8] {
        self.returned = n;
        &self.buffer[self.filled.start..self.filled.start + n]
    }

    /// Returns all bytes, and leaves nothing.
    fn take_all(&mut self) -> Vec<u8> {
        let all = self.buffer[self.filled.clone()].to_vec();
        self.filled = 0..0;
        all
    }

    /// Makes room for a read of `wanted` more bytes, or of as many as one read may have.
    fn make_room(&mut self, wanted: usize) {
        let wanted = wanted.clamp(CHUNK, LARGEST_CHUNK);
        if self.buffer.len() - self.filled.end >= wanted.min(CHUNK) {
            return;
        }
        if self.filled.start > 0 {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let room = self.buffer.len() - self.filled.end;
        if room < wanted {
            // Doubled, so that each byte of a large part is moved few times.
            let size = (self.buffer.len() * 2).max(self.filled.end + wanted);
            self.buffer.resize(size, 0);
        }
    }
}

impl<R: AsyncRead + Unpin> StreamReader<R> {
    /// Waits for bytes, and returns up to `n` of them. Returns none at the end of the stream, or if `n` is 0.
    ///
    /// # Errors
    ///
    /// The error of the stream, once all bytes that came before were returned.
    pub async fn read(&mut self, n: usize) -> io::Result<&[u8]> {
        self.begin().await;
        if self.filled.is_empty() && n > 0 {
            self.fill(n).await?;
        }
        let n = n.min(self.filled.len());
        Ok(self.take(n))
    }

    /// Waits for `n` bytes, and returns them. `n` may be more than the limit.
    ///
    /// # Errors
    ///
    /// [`ReadError::Incomplete`] if the stream ends before: it has the bytes that came. Otherwise the error of the
    /// stream; the bytes that came stay in the reader.
    #[doc(alias = "readexactly")]
    pub async fn read_exact(&mut self, n: usize) -> Result<&[u8], ReadError> {
        self.begin().await;
        while self.filled.len() < n {
            if self.fill(n - self.filled.len()).await? == 0 {
                return Err(ReadError::Incomplete(IncompleteRead {
                    partial: self.take_all(),
                    expected: Some(n),
                }));
            }
        }
        Ok(self.take(n))
    }

    /// Waits for the end of the stream, and returns all bytes before it, `most` at most.
    ///
    /// # Errors
    ///
    /// [`ReadError::LimitOverrun`] if there are more; they stay in the reader. Otherwise the error of the stream; the
    /// bytes that came stay in the reader.
    pub async fn read_to_end(&mut self, most: usize) -> Result<&[u8], ReadError> {
        self.begin().await;
        loop {
            if self.filled.len() > most {
                return Err(ReadError::LimitOverrun(LimitOverrun {
                    consumed: self.filled.len(),
                    found: false,
                    limit: most,
                }));
            }
            if self.fill(self.filled.len()).await? == 0 {
                return Ok(self.take(self.filled.len()));
            }
        }
    }

    /// Waits for a [separator](Separator), and returns the bytes up to it and with it.
    ///
    /// # Errors
    ///
    /// - [`ReadError::LimitOverrun`] if more bytes than the limit come before the separator. They stay in the reader.
    /// - [`ReadError::Incomplete`] if the stream ends before a separator: it has the bytes that came.
    /// - Otherwise the error of the stream; the bytes that came stay in the reader.
    ///
    /// # Panics
    ///
    /// If there is no separator, or one of them is empty.
    #[doc(alias = "readuntil")]
    pub async fn read_until(&mut self, separator: impl Separator) -> Result<&[u8], ReadError> {
        assert!(
            !separator.is_empty(),
            "a separator must have at least one byte"
        );
        self.begin().await;
        // No separator ends before this place.
        let mut searched = 0;
        let limit = self.limit;
        let end = loop {
            let bytes = &self.buffer[self.filled.clone()];
            if let Some((begin, end)) = separator.find(&bytes[searched..]) {
                if searched + begin > limit {
                    let (consumed, found) = (searched + begin, true);
                    let overrun = LimitOverrun {
                        consumed,
                        found,
                        limit,
                    };
                    return Err(ReadError::LimitOverrun(overrun));
                }
                break searched + end;
            }
            // The begin of one may have come.
            searched = (bytes.len() + 1).saturating_sub(separator.longest());
            if searched > limit {
                let (consumed, found) = (searched, false);
                let overrun = LimitOverrun {
                    consumed,
                    found,
                    limit,
                };
                return Err(ReadError::LimitOverrun(overrun));
            }
            if self.fill(CHUNK).await? == 0 {
                return Err(ReadError::Incomplete(IncompleteRead {
                    partial: self.take_all(),
                    expected: None,
                }));
            }
        };
        Ok(self.take(end))
    }

    /// Waits for a line, and returns it with its `\n`. The last line may have none. After it the result is empty.
    ///
    /// # Errors
    ///
    /// [`ReadError::LimitOverrun`] if the line is longer than the limit. Its bytes are dropped: the whole line if its
    /// end has come, and otherwise all that has come. Otherwise the error of the stream; the bytes that came stay in
    /// the reader.
    pub async fn readline(&mut self) -> Result<&[u8], ReadError> {
        match self.read_until(b'\n').await.map(<[u8]>::len) {
            Ok(length) => Ok(self.take(length)),
            Err(ReadError::Incomplete(last)) => {
                self.put_back(last.partial);
                Ok(self.take(self.filled.len()))
            }
            Err(ReadError::LimitOverrun(overrun)) => {
                match overrun.found {
                    true => self.filled.start += overrun.consumed + 1,
                    false => self.filled = 0..0,
                }
                Err(ReadError::LimitOverrun(overrun))
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for a line, and returns it without its `\n` or `\r\n`, as text; `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// The errors of [`readline`](Self::readline), and `InvalidData` for a line that is not UTF-8; it is dropped.
    pub async fn next_line(&mut self) -> io::Result<Option<&str>> {
        let line = self.readline().await?;
        if line.is_empty() {
            return Ok(None);
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match std::str::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    fn put_back(&mut self, bytes: Vec<u8>) {
        self.filled = 0..bytes.len();
        self.buffer = bytes;
    }

    /// Begins a method: gives up what the last one returned. A loop of reads that find their bytes in the buffer lets
    /// other tasks run now and then.
    async fn begin(&mut self) {
        StepBack::new().await;
        self.give_up_returned();
    }

    /// Reads once, some `wanted` bytes. 0 is the end of the stream.
    async fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        StepBack::new().await; // some sources are always ready
        poll_fn(|cx| self.poll_fill(cx, wanted)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.is_eof {
            return Poll::Ready(Ok(0));
        }
        self.make_room(wanted);
        let room = &mut self.buffer[self.filled.end..];
        let n = ready!(Pin::new(&mut self.source).poll_read(cx, room))?;
        self.is_eof = n == 0;
        self.filled.end += n;
        Poll::Ready(Ok(n))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for StreamReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(poll_step_back(&mut this.step_back, cx));
        this.give_up_returned();
        if this.filled.is_empty() {
            ready!(this.poll_fill(cx, CHUNK))?;
        }
        Poll::Ready(Ok(&this.buffer[this.filled.clone()]))
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let this = self.get_mut();
        this.give_up_returned();
        this.filled.start = this.filled.end.min(this.filled.start + n);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for StreamReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(poll_step_back(&mut this.step_back, cx));
        this.give_up_returned();
        if this.filled.is_empty() && !this.is_eof {
            // Past the buffer: the caller has one.
            let n = ready!(Pin::new(&mut this.source).poll_read(cx, buf))?;
            this.is_eof = n == 0 && !buf.is_empty();
            return Poll::Ready(Ok(n));
        }
        let n = buf.len().min(this.filled.len());
        buf[..n].copy_from_slice(&this.buffer[this.filled.start..][..n]);
        this.filled.start += n;
        Poll::Ready(Ok(n))
    }
}

impl<R> fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("unread", &self.unread().len())
            .field("limit", &self.limit)
            .field("eof", &self.is_eof)
            .finish_non_exhaustive()
    }
}
