//! The lazy value: made by its own `async` function at the first use.

use std::fmt;

use crate::once_cell::OnceCell;

/// A value that an `async` function makes once, at the first [`get`](Self::get).
///
/// asyncio has no such type.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Lazy;
/// # async fn connect(_: &str) -> u32 { 7 }
///
/// # futures::executor::block_on(async {
/// let database = Lazy::new(async || connect("db.example").await);
/// // There is no connection yet.
/// let (first, second) = futures::join!(database.get(), database.get());
/// assert!(std::ptr::eq(first, second));
/// # });
/// ```
///
/// # Cancellation
///
/// If the task that makes the value is cancelled, the next waiting task calls the function again.
/// So the function can begin several times, but it returns at most once.
pub struct Lazy<T, F> {
    cell: OnceCell<T>,
    make: F,
}

impl<T, F: AsyncFn() -> T> Lazy<T, F> {
    /// Creates a lazy value that `make` makes.
    #[track_caller]
    pub const fn new(make: F) -> Self {
        Self {
            cell: OnceCell::new(),
            make,
        }
    }

    /// Returns the value. The first task makes it, and other tasks wait meanwhile.
    pub async fn get(&self) -> &T {
        self.cell.get_or_init(async || (self.make)().await).await
    }

    /// The value, if it has been made.
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
