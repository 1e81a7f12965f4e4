//! A value that knows how to make itself, when it is first needed.

use std::fmt;

use crate::once_cell::OnceCell;

/// A value that is made by an `async` function, once, when the first task asks for it.
///
/// asyncio has none.
///
/// ```
/// use asyncio_sync::Lazy;
/// # async fn connect(_: &str) -> u32 { 7 }
///
/// # futures::executor::block_on(async {
/// let database = Lazy::new(async || connect("db.example").await);
/// // Nobody has connected yet.
/// let (first, second) = futures::join!(database.get(), database.get());
/// assert!(std::ptr::eq(first, second));
/// # });
/// ```
///
/// # Cancellation
///
/// If the task that makes the value is cancelled, the next one that waits starts over: the function
/// is called again. So it is for once it has returned that the value is made only once.
pub struct Lazy<T, F> {
    cell: OnceCell<T>,
    make: F,
}

impl<T, F: AsyncFn() -> T> Lazy<T, F> {
    /// A value that `make` will make.
    pub const fn new(make: F) -> Self {
        Self {
            cell: OnceCell::new(),
            make,
        }
    }

    /// The value; the first who asks makes it, and the others wait meanwhile.
    pub async fn get(&self) -> &T {
        self.cell.get_or_init(async || (self.make)().await).await
    }

    /// The value, if it is there.
    pub fn get_nowait(&self) -> Option<&T> {
        self.cell.get()
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Lazy<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lazy")
            .field("value", &self.cell.get())
            .field("waiters", &self.cell.waiters())
            .finish_non_exhaustive()
    }
}
