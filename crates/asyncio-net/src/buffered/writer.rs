//! Writing to a stream through a buffer.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use asyncio_loop::{Sleep, SpawnOptions, sleep, try_spawn_with};
use futures_io::AsyncWrite;

use super::guest::{Aborts, Guest};
use crate::failure::Failure;
use crate::send_queue::{SendQueue, WaterMarks};
use crate::stream::ByteStream;
use crate::stream::split::OwnedWriteHalf;
use crate::tcp::stream::TcpStream;
use crate::waker_list::WakerList;

/// Writes to a byte stream through a buffer: asyncio's `StreamWriter`, over anything that implements [`AsyncWrite`].
///
/// [`write`](Self::write) sends at once as much as the stream takes, and keeps the rest to be sent in the background.
/// It never waits, so a loop that only writes can fill the memory. Call [`drain`](Self::drain) after writes: it waits
/// while the buffer is above its high water mark.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{StreamWriter, memory_pair};
///
/// # asyncio_loop::run(async {
/// let (one, other) = memory_pair(1024);
/// let writer = StreamWriter::new(one);
/// writer.write(b"hello, ");
/// writer.writelines(["w", "orld"]);
/// writer.drain().await?;
/// writer.close();
/// writer.wait_closed().await?;
/// let mut buf = [0; 64];
/// let n = other.read(&mut buf).await?;
/// assert_eq!(&buf[..n], b"hello, world");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// The methods take `&self`, so several tasks may write and drain. The bytes of one call of `write` stay together.
///
/// Dropping the writer [closes](Self::close) it: the bytes in the buffer are sent in the background, as long as the
/// loop runs. Without a running loop they are lost.
pub struct StreamWriter<W: AsyncWrite + Unpin + 'static = OwnedWriteHalf<TcpStream>> {
    shared: Rc<Shared<W>>,
}

/// The state that the writer and the background sender share. Nothing here is borrowed while the stream is used.
struct Shared<W> {
    /// Taken while it is used; gone once the stream is closed.
    sink: Cell<Option<W>>,
    queue: RefCell<SendQueue>,
    marks: WaterMarks,
    stage: Cell<Stage>,
    error: RefCell<Option<Failure>>,
    /// Whether the background sender runs.
    is_sending: Cell<bool>,
    /// The tasks that drain, or wait for the end.
    waiting: WakerList,
    /// The background sender, while it has nothing to send.
    sender: RefCell<Option<Waker>>,
    /// Whether an abort has dropped bytes.
    was_cut: Cell<bool>,
    /// The number of tasks that wait until all bytes are sent.
    awaiting_empty: Cell<usize>,
    /// The limit of closing, for streams that have one.
    close_limit: Option<Duration>,
    /// The limit under way.
    closing: Cell<Option<Pin<Box<Sleep>>>>,
    /// Dropped when the stream is closed. It moves to the writer of an upgraded stream.
    guest: Cell<Option<Box<dyn Guest>>>,
}

/// How far the writer has been closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    /// The end is sent after the buffer.
    EndRequested,
    /// The end is sent. The stream stays.
    EndSent,
    /// The stream is closed after the buffer.
    Closing,
    Closed,
}

impl<W: AsyncWrite + Unpin + 'static> StreamWriter<W> {
    /// A writer to `sink`.
    pub fn new(sink: W) -> Self {
        Self::with_close_limit(sink, None)
    }

    /// [`new`](Self::new), with a limit of closing.
    pub(crate) fn with_close_limit(sink: W, close_limit: Option<Duration>) -> Self {
        Self {
            shared: Rc::new(Shared {
                sink: Cell::new(Some(sink)),
                queue: RefCell::default(),
                marks: WaterMarks::default(),
                stage: Cell::new(Stage::Open),
                error: RefCell::new(None),
                is_sending: Cell::new(false),
                waiting: WakerList::default(),
                sender: RefCell::new(None),
                was_cut: Cell::new(false),
                awaiting_empty: Cell::new(0),
                close_limit,
                closing: Cell::new(None),
                guest: Cell::new(None),
            }),
        }
    }

    /// Sends bytes, or keeps them to be sent. It never waits.
    ///
    /// After [`write_eof`](Self::write_eof), [`close`](Self::close) or an error of the stream the bytes are dropped,
    /// and [`drain`](Self::drain) returns the reason.
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.write_slice(bytes.as_ref());
    }

    /// [`write`](Self::write) for several pieces, which stay together.
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let mut all = Vec::new();
        for piece in pieces {
            all.extend_from_slice(piece.as_ref());
        }
        self.write_slice(&all);
    }

    fn write_slice(&self, mut bytes: &[u8]) {
        let shared = &self.shared;
        if shared.stage.get() != Stage::Open {
            let message = "bytes were written after the end or the close of the stream";
            shared.fail_with(Failure::new(io::ErrorKind::BrokenPipe, message));
            return;
        }
        if bytes.is_empty() || shared.has_failed() {
            return;
        }
        if shared.queue.borrow().is_empty() {
            let cx = &mut Context::from_waker(Waker::noop());
            match shared.poll_write(cx, bytes) {
                Poll::Ready(Ok(n)) if n == bytes.len() => return Shared::flush_soon(shared),
                Poll::Ready(Ok(n)) => bytes = &bytes[n..],
                Poll::Ready(Err(error)) => return shared.fail(error),
                Poll::Pending => {}
            }
        }
        let mut queue = shared.queue.borrow_mut();
        let was_empty = queue.is_empty();
        queue.push(bytes);
        shared.marks.look_at(queue.len());
        drop(queue);
        if was_empty {
            Shared::send_in_background(shared);
        }
    }

    /// Waits while the buffer is above its high water mark, until it has come down to the low one. Any number of tasks
    /// may drain.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: written bytes are sent.
    ///
    /// # Errors
    ///
    /// The error of the stream, such as `BrokenPipe` or `ConnectionReset`. Each later call returns it again, so a loop
    /// of `write` and `drain` ends. `BrokenPipe` after a [`write`](Self::write) behind the end. `ConnectionAborted` if
    /// an [`abort`](Self::abort) has dropped bytes.
    pub async fn drain(&self) -> io::Result<()> {
        let shared = &self.shared;
        let is_drained = || match &*shared.error.borrow() {
            Some(failure) => Some(Err(failure.error())),
            None if shared.was_cut.get() => {
                let message = "the writer was aborted before all bytes were sent";
                Some(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    message,
                )))
            }
            None => (!shared.marks.is_paused()).then_some(Ok(())),
        };
        shared.waiting.wait_until(is_drained).await
    }

    /// Sends the end of the stream after the written bytes: the peer reads an end, and may continue to send.
    pub fn write_eof(&self) {
        self.request(Stage::EndRequested);
    }

    /// Closes the stream after the written bytes are sent, in the background. Closing twice does nothing.
    pub fn close(&self) {
        self.request(Stage::Closing);
    }

    fn request(&self, stage: Stage) {
        if self.shared.stage.get() < stage {
            self.shared.stage.set(stage);
            Shared::send_in_background(&self.shared);
        }
    }

    /// Closes the stream now. Unsent bytes are dropped.
    pub fn abort(&self) {
        self.shared.cut();
    }

    /// Whether the stream is closed, or about to be.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.shared.stage.get() >= Stage::Closing
    }

    /// Waits until the stream is [closed](Self::close).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The error of the stream, if written bytes were not sent because of it.
    pub async fn wait_closed(&self) -> io::Result<()> {
        let shared = &self.shared;
        let is_closed = || (shared.stage.get() == Stage::Closed).then_some(());
        shared.waiting.wait_until(is_closed).await;
        match &*shared.error.borrow() {
            Some(failure) => Err(failure.error()),
            None => Ok(()),
        }
    }

    /// Waits until all written bytes are sent, and returns the open stream.
    ///
    /// # Cancellation
    ///
    /// Closes the stream, as the drop of the writer does.
    ///
    /// # Errors
    ///
    /// The error of the stream, which is dropped. `NotConnected` if the writer was closed, or its end requested.
    pub async fn into_inner(self) -> io::Result<W> {
        let (sink, _taken) = self.take_sink().await?;
        Ok(sink)
    }

    /// Waits until all written bytes are sent, and takes the stream out.
    pub(crate) async fn take_sink(self) -> io::Result<(W, TakenSink<W>)> {
        let sink = self.lend_sink().await?.take();
        Ok((sink, TakenSink(self)))
    }

    /// Waits until all written bytes are sent, and lends the stream. Bytes that are written meanwhile wait.
    pub(crate) async fn lend_sink(&self) -> io::Result<LentSink<'_, W>> {
        let shared = &self.shared;
        let _counted = Counted::new(&shared.awaiting_empty);
        let lent = || {
            if let Some(failure) = &*shared.error.borrow() {
                return Some(Err(failure.error()));
            }
            if shared.stage.get() != Stage::Open {
                let message = "the writer is closed, or its end was requested";
                return Some(Err(io::Error::new(io::ErrorKind::NotConnected, message)));
            }
            let is_sent = shared.queue.borrow().is_empty();
            let sink = is_sent.then(|| shared.sink.take())??;
            Some(Ok(LentSink {
                shared,
                sink: Some(sink),
            }))
        };
        let mut lent = shared.waiting.wait_until(lent).await?;
        poll_fn(|cx| Pin::new(lent.get_mut()).poll_flush(cx)).await?;
        Ok(lent)
    }

    /// The number of bytes that wait to be sent.
    #[must_use]
    #[doc(alias = "get_write_buffer_size")]
    pub fn buffered(&self) -> usize {
        self.shared.queue.borrow().len()
    }

    /// Sets the water marks, in bytes: above `high`, [`drain`](Self::drain) waits until the buffer has come down to
    /// `low`. The defaults are 16 KiB and 64 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is more than `high`.
    #[doc(alias = "set_write_buffer_limits")]
    pub fn set_water_marks(&self, low: usize, high: usize) {
        self.shared.marks.set(low, high);
        self.shared.resume_if_low();
    }
}

/// A count that is one higher until this is dropped.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn new(number: &'a Cell<usize>) -> Self {
        number.set(number.get() + 1);
        Self(number)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The stream of a writer, lent by [`StreamWriter::lend_sink`]. Its drop gives the stream back.
pub(crate) struct LentSink<'a, W: AsyncWrite + Unpin + 'static> {
    shared: &'a Rc<Shared<W>>,
    sink: Option<W>,
}

impl<W: AsyncWrite + Unpin + 'static> LentSink<'_, W> {
    pub(crate) fn get_mut(&mut self) -> &mut W {
        self.sink
            .as_mut()
            .expect("only `take` and the drop take it")
    }

    /// Keeps the stream for good.
    fn take(mut self) -> W {
        let sink = self.sink.take();
        sink.expect("only `take` and the drop take it")
    }

    /// Waits for an operation on the stream, or for the end of the writer.
    pub(crate) async fn unless_closed<T>(
        &mut self,
        operation: impl AsyncFnOnce(&mut W) -> io::Result<T>,
    ) -> io::Result<T> {
        let shared = self.shared;
        shared.unless_closed(operation(self.get_mut())).await
    }
}

impl<W: AsyncWrite + Unpin + 'static> Drop for LentSink<'_, W> {
    fn drop(&mut self) {
        let Some(sink) = self.sink.take() else {
            return;
        };
        if self.shared.stage.get() == Stage::Closed {
            return drop(sink);
        }
        self.shared.sink.set(Some(sink));
        self.shared.waiting.wake_all();
        Shared::send_in_background(self.shared);
    }
}

/// The writer whose stream was taken out, by [`StreamWriter::take_sink`]. An abort of the connection still reaches it.
/// Its drop closes the writer.
pub(crate) struct TakenSink<W: AsyncWrite + Unpin + 'static>(StreamWriter<W>);

#[cfg(feature = "rustls")]
impl<W: AsyncWrite + Unpin + 'static> TakenSink<W> {
    /// Waits for an operation on the stream, or for an abort of the connection.
    pub(crate) async fn unless_aborted<T>(
        &self,
        operation: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        self.0.shared.unless_closed(operation).await
    }

    /// Passes the guest to the writer of the upgraded stream.
    pub(crate) fn continue_in<V: AsyncWrite + Unpin + 'static>(self, writer: &StreamWriter<V>) {
        let shared = &self.0.shared;
        if shared.stage.get() == Stage::Closed {
            writer.abort();
        }
        if let Some(guest) = shared.guest.take() {
            writer.keep(guest);
        }
    }
}

impl<W: AsyncWrite + Unpin + 'static> Drop for TakenSink<W> {
    fn drop(&mut self) {
        self.0.shared.finish();
    }
}

impl<W> Aborts for Shared<W> {
    fn abort(&self) {
        self.cut();
    }
}

impl<W: AsyncWrite + Unpin + 'static> StreamWriter<W> {
    /// Keeps a guest until the stream is closed.
    pub(crate) fn keep(&self, guest: Box<dyn Guest>) {
        let writer: Weak<Shared<W>> = Rc::downgrade(&self.shared);
        guest.enters(writer);
        self.shared.guest.set(Some(guest));
    }
}

impl<S: ByteStream> StreamWriter<OwnedWriteHalf<S>> {
    /// The address of the peer.
    ///
    /// # Errors
    ///
    /// The system's error, and `NotConnected` once the writer is closed.
    pub fn peer_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.shared.with_sink(OwnedWriteHalf::peer_addr)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's error, and `NotConnected` once the writer is closed.
    pub fn local_addr(&self) -> io::Result<<S as ByteStream>::Addr> {
        self.shared.with_sink(OwnedWriteHalf::local_addr)
    }
}

impl<W> Shared<W> {
    /// Waits for an operation on the stream, or for the end of the writer.
    async fn unless_closed<T>(
        &self,
        operation: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut operation = pin!(operation);
        let closed = || (self.stage.get() == Stage::Closed).then_some(());
        let mut closed = self.waiting.wait_until(closed);
        poll_fn(|cx| match Pin::new(&mut closed).poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            Poll::Pending => operation.as_mut().poll(cx),
        })
        .await
    }

    fn has_failed(&self) -> bool {
        self.error.borrow().is_some()
    }

    fn fail_with(&self, failure: Failure) {
        self.error.borrow_mut().get_or_insert(failure);
        self.waiting.wake_all();
    }

    /// The stream has failed: nothing more can be sent.
    fn fail(&self, error: io::Error) {
        self.queue.borrow_mut().clear();
        self.fail_with(Failure::from(&error));
        if self.stage.get() >= Stage::Closing {
            self.finish();
        }
    }

    /// The stream is closed. Unsent bytes are dropped.
    fn cut(&self) {
        let has_more = !self.queue.borrow().is_empty();
        if has_more && self.stage.get() != Stage::Closed {
            self.was_cut.set(true);
        }
        self.finish();
    }

    /// The stream is closed.
    fn finish(&self) {
        self.stage.set(Stage::Closed);
        self.queue.borrow_mut().clear();
        self.marks.look_at(0);
        drop(self.sink.take());
        drop(self.guest.take());
        drop(self.closing.take());
        self.waiting.wake_all();
        self.wake_sender();
    }

    fn wake_sender(&self) {
        let sender = self.sender.borrow_mut().take();
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    fn resume_if_low(&self) {
        let length = self.queue.borrow().len();
        let is_awaited = length == 0 && self.awaiting_empty.get() > 0;
        if self.marks.look_at(length) || is_awaited {
            self.waiting.wake_all();
        }
    }

    fn with_sink<T>(&self, f: impl FnOnce(&W) -> io::Result<T>) -> io::Result<T> {
        let Some(sink) = self.sink.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let outcome = f(&sink);
        self.sink.set(Some(sink));
        outcome
    }
}

impl<W: AsyncWrite + Unpin + 'static> Shared<W> {
    /// Uses the stream. It is put back afterwards, unless the writer was closed meanwhile.
    fn poll_sink<T>(
        &self,
        f: impl FnOnce(Pin<&mut W>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // It is gone if the stream's own code has come back here, which then finds all bytes in the queue.
        let Some(mut sink) = self.sink.take() else {
            return Poll::Pending;
        };
        let unless_panic = UsingSink(self);
        let outcome = f(Pin::new(&mut sink));
        mem::forget(unless_panic);
        if self.stage.get() != Stage::Closed {
            self.sink.set(Some(sink));
        }
        outcome
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_sink(|sink| sink.poll_write(cx, bytes))
            .map(|outcome| match outcome {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                outcome => outcome,
            })
    }

    /// Has the background sender look at the queue and the stage.
    fn send_in_background(shared: &Rc<Self>) {
        if shared.is_sending.replace(true) {
            return shared.wake_sender();
        }
        let sending = Sending(shared.clone());
        let task = async move { poll_fn(|cx| sending.0.poll_send(cx)).await };
        match try_spawn_with(SpawnOptions::callback(), task) {
            Ok(task) => task.detach(),
            Err(_no_loop) => {} // `Sending` was dropped, and has said so.
        }
    }

    /// Flushes the stream, in the background if it has to wait. A stream such as TLS keeps a part of what it took.
    fn flush_soon(shared: &Rc<Self>) {
        let cx = &mut Context::from_waker(Waker::noop());
        match shared.poll_sink(|sink| sink.poll_flush(cx)) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => shared.fail(error),
            Poll::Pending => Self::send_in_background(shared),
        }
    }

    /// Sends until there is nothing to send.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_send_once(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(()),
                Poll::Ready(Err(error)) => {
                    self.fail(error);
                    return Poll::Ready(());
                }
                Poll::Pending if self.has_closed_too_long(cx) => return Poll::Ready(()),
                Poll::Pending => {
                    let waker = cx.waker().clone();
                    let old = self.sender.replace(Some(waker));
                    drop(old);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ends a stream whose closing takes too long.
    fn has_closed_too_long(&self, cx: &mut Context<'_>) -> bool {
        let Some(limit) = self
            .close_limit
            .filter(|_| self.stage.get() == Stage::Closing)
        else {
            return false;
        };
        let closing = self.closing.take();
        let mut closing = closing.unwrap_or_else(|| Box::pin(sleep(limit)));
        if closing.as_mut().poll(cx).is_pending() {
            self.closing.set(Some(closing));
            return false;
        }
        let message = format!("the connection was not closed within {limit:?}");
        self.fail(io::Error::new(io::ErrorKind::TimedOut, message));
        true
    }

    /// Takes the next step. `false` if there is none.
    fn poll_send_once(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut queue = self.queue.take();
        if !queue.is_empty() {
            let written = self.poll_write(cx, queue.unsent());
            if let Poll::Ready(Ok(n)) = written {
                queue.advance(n);
            }
            // Bytes that the stream's own code has written meanwhile come behind.
            let behind = self.queue.replace(queue);
            if !behind.is_empty() {
                self.queue.borrow_mut().push(behind.unsent());
            }
            ready!(written)?;
            self.resume_if_low();
            return Poll::Ready(Ok(true));
        }
        self.queue.replace(queue);
        match self.stage.get() {
            Stage::Open | Stage::EndSent => {
                ready!(self.poll_sink(|sink| sink.poll_flush(cx)))?;
                Poll::Ready(Ok(!self.queue.borrow().is_empty()))
            }
            Stage::EndRequested => {
                ready!(self.poll_sink(|sink| sink.poll_close(cx)))?;
                if self.stage.get() == Stage::EndRequested {
                    self.stage.set(Stage::EndSent);
                }
                Poll::Ready(Ok(true))
            }
            Stage::Closing => {
                ready!(self.poll_sink(|sink| sink.poll_close(cx)))?;
                self.finish();
                Poll::Ready(Ok(false))
            }
            Stage::Closed => Poll::Ready(Ok(false)),
        }
    }
}

/// A use of the stream. Its drop says that the stream has panicked, and closes the writer: the stream is gone.
struct UsingSink<'a, W>(&'a Shared<W>);

impl<W> Drop for UsingSink<'_, W> {
    fn drop(&mut self) {
        // Wakers are foreign code, and a panic must not leave a destructor that runs because of a panic.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let failure = Failure::new(io::ErrorKind::Other, "the stream panicked");
            self.0.fail_with(failure);
            self.0.finish();
        }));
    }
}

/// The background sender. If it is dropped before it has sent all, its loop has closed.
struct Sending<W: AsyncWrite + Unpin + 'static>(Rc<Shared<W>>);

impl<W: AsyncWrite + Unpin + 'static> Drop for Sending<W> {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.is_sending.set(false);
        let has_more = !shared.queue.borrow().is_empty();
        let is_open = shared.stage.get() != Stage::Closed;
        if is_open && (has_more || shared.stage.get() == Stage::Closing) && !shared.has_failed() {
            let message = "the event loop ended before all bytes were sent";
            shared.fail_with(Failure::new(io::ErrorKind::NotConnected, message));
            shared.finish();
        } else if shared.stage.get() == Stage::Closing {
            shared.finish();
        }
    }
}

impl<W: AsyncWrite + Unpin + 'static> Drop for StreamWriter<W> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<W: AsyncWrite + Unpin + 'static> fmt::Debug for StreamWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("buffered", &self.buffered())
            .field("stage", &self.shared.stage.get())
            .finish_non_exhaustive()
    }
}
