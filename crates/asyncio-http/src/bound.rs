//! Values of one loop in places that demand `Send`.
//!
//! Traits of other libraries demand `Send` although one thread does all the work: axum's handlers, the timers and
//! upgrades of hyper. A [`LoopBound`] satisfies the bound, and checks at run time what the bound would prove.
//!
//! - **B1** The value is used only while the tasks of its home run on the using thread. A home belongs to one thread
//!   for its whole life, because `Tasks` is neither `Send` nor `Sync`, and a `Remote` is never used again. So each use
//!   is on the thread that made the value.
//! - **B2** The value is dropped on the thread that made it, or never. Its mark tells the thread: marks are counted up
//!   and each thread has its own.
//! - **B3** The value is never pinned in its place: no method projects a pinned wrapper to a pinned value, unless the
//!   value is `Unpin`. So the wrapper may move it, to its home for instance.
//! - **B4** The value is taken out once: by `into_inner`, by `drop`, or by the parcel that `drop` sends home.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use asyncio_task::Remote;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};

/// A value of the loop that runs here, for places that demand [`Send`] and [`Sync`].
///
/// The wrapper can be moved to other threads. The value cannot be used there.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio::http::LoopBound;
///
/// fn needs_send<T: Send + Sync + 'static>(value: T) -> T {
///     value
/// }
///
/// asyncio::run(async {
///     let count = needs_send(LoopBound::new(Rc::new(Cell::new(1))));
///     count.set(count.get() + 1);
///     assert_eq!(count.get(), 2);
///
///     let count = std::thread::spawn(move || {
///         assert!(count.try_get().is_none());
///         count
///     });
///     assert_eq!(count.join().unwrap().get(), 2);
/// });
/// ```
///
/// The wrapper of a boxed future, `LoopBound<Pin<Box<F>>>`, is a future itself.
///
/// # Drops
///
/// Dropped on its thread, the wrapper drops the value. Dropped on another thread, it sends the value to its loop, which
/// drops it. If that loop is closed, the value is leaked: its destructor may not run on another thread.
///
/// # Panics
///
/// [`new`](Self::new) panics without a running loop. Every use panics while another loop or none runs on the thread:
/// dereferencing, polling, cloning, [`into_inner`](Self::into_inner). [`try_get`](Self::try_get) and
/// [`is_here`](Self::is_here) do not, nor does a drop.
pub struct LoopBound<T: 'static> {
    home: Remote,
    thread: Mark,
    value: ManuallyDrop<T>,
}

// SAFETY: B1 and B2. On other threads only the home and the mark are used. They are plain numbers and a pointer to an
// inbox, which other threads may use.
unsafe impl<T> Send for LoopBound<T> {}
// SAFETY: B1: a shared wrapper gives its value to the thread of its home only.
unsafe impl<T> Sync for LoopBound<T> {}

// B3.
impl<T> Unpin for LoopBound<T> {}

impl<T> LoopBound<T> {
    /// Binds a value to the loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[track_caller]
    pub fn new(value: T) -> Self {
        let home = Remote::here().expect("a `LoopBound` is made while its event loop runs");
        Self {
            home,
            thread: Mark::of_this_thread(),
            value: ManuallyDrop::new(value),
        }
    }

    /// Whether the loop of the value is the one that runs on this thread now.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        self.home.is_here()
    }

    /// The value, if its loop runs on this thread now.
    #[must_use]
    #[inline]
    pub fn try_get(&self) -> Option<&T> {
        // B1.
        self.is_here().then(|| &*self.value)
    }

    /// Takes the value out.
    ///
    /// # Panics
    ///
    /// If its loop does not run here.
    #[must_use]
    #[track_caller]
    pub fn into_inner(self) -> T {
        self.check();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the wrapper is not used again, and is not dropped (B4). This is the value's thread (B1).
        unsafe { ManuallyDrop::take(&mut this.value) }
    }

    #[inline]
    #[track_caller]
    fn check(&self) {
        if !self.is_here() {
            elsewhere(std::any::type_name::<T>());
        }
    }
}

#[cold]
#[track_caller]
fn elsewhere(name: &str) -> ! {
    panic!("a `LoopBound<{name}>` is used while its event loop does not run on this thread")
}

impl<T> Drop for LoopBound<T> {
    fn drop(&mut self) {
        // SAFETY: `drop` is the last use of the wrapper (B4). The parcel drops the value on this thread or sends it on
        // (B2). Moving it is allowed (B3).
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        let parcel = Parcel {
            thread: self.thread,
            value: ManuallyDrop::new(value),
        };
        if self.thread == Mark::of_this_thread() {
            drop(parcel);
        } else {
            // A closed loop refuses it. Then the parcel is dropped here, which leaks the value.
            let _ = self.home.call(move || drop(parcel));
        }
    }
}

/// A value on its way home.
struct Parcel<T> {
    thread: Mark,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is used by `drop` only, and only on its thread (B2).
unsafe impl<T> Send for Parcel<T> {}

impl<T> Drop for Parcel<T> {
    fn drop(&mut self) {
        if self.thread == Mark::of_this_thread() {
            // SAFETY: `drop` is the last use (B4), on the thread of the value (B2).
            unsafe { ManuallyDrop::drop(&mut self.value) }
        }
    }
}

/// A number that only one thread of the process ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u64);

impl Mark {
    #[inline]
    fn of_this_thread() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        thread_local! {
            // Without a destructor, so a value may be dropped while the thread ends.
            static MARK: Cell<u64> = const { Cell::new(0) };
        }
        MARK.with(|mark| {
            if mark.get() == 0 {
                mark.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Self(mark.get())
        })
    }
}

impl<T> Deref for LoopBound<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.check();
        &self.value
    }
}

impl<T> DerefMut for LoopBound<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.check();
        &mut self.value
    }
}

impl<T: Clone> Clone for LoopBound<T> {
    fn clone(&self) -> Self {
        self.check();
        Self {
            home: self.home,
            thread: self.thread,
            value: self.value.clone(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for LoopBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_get() {
            Some(value) => f.debug_tuple("LoopBound").field(value).finish(),
            None => f.write_str("LoopBound(elsewhere)"),
        }
    }
}

impl<F: Future + Unpin> Future for LoopBound<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut **self).poll(cx)
    }
}

impl<S: Stream + Unpin> Stream for LoopBound<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(&mut **self).poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.try_get().map_or((0, None), S::size_hint)
    }
}

impl<B: Body + Unpin> Body for LoopBound<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut **self).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.try_get().is_some_and(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.try_get().map_or_else(SizeHint::default, B::size_hint)
    }
}

impl<T: Read + Unpin> Read for LoopBound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut **self).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for LoopBound<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut **self).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut **self).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut **self).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.try_get().is_some_and(T::is_write_vectored)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut **self).poll_write_vectored(cx, bufs)
    }
}
