//! The once cell: a value that the first task makes with an `async` function.

use std::cell;
use std::convert::Infallible;
use std::fmt;

use asyncio_console::ResourceKind;

use crate::budget;
use crate::permits::Permits;

const KIND: &ResourceKind = &ResourceKind::sync("OnceCell", "get_or_init");

/// A cell whose value is made once, by the first task that needs it. Other tasks wait meanwhile.
///
/// asyncio has no such type. A [`Lazy`](crate::Lazy) contains the function that makes its value.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::OnceCell;
/// # async fn fetch(_: &str) -> std::io::Result<String> { Ok("verbose = true".to_owned()) }
///
/// # futures::executor::block_on(async {
/// struct Settings { text: OnceCell<String> }
///
/// impl Settings {
///     async fn text(&self) -> std::io::Result<&str> {
///         let text = self.text.get_or_try_init(async || fetch("/settings").await).await?;
///         Ok(text)
///     }
/// }
///
/// let settings = Settings { text: OnceCell::new() };
/// // One request serves both.
/// let (first, second) = futures::join!(settings.text(), settings.text());
/// assert_eq!((first?, second?), ("verbose = true", "verbose = true"));
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Cancellation
///
/// If the task that makes the value is cancelled, fails or panics, the next waiting task calls its
/// own function.
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// One permit to make the value. When there is a value, permits for all tasks.
    turn: Permits,
}

/// The error of [`OnceCell::set`]: the cell already has a value. Contains the refused value.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cell already has a value")]
pub struct AlreadySet<T>(pub T);

impl<T> AlreadySet<T> {
    /// The error alone: the value is dropped. For `?` into a boxed error, which takes only values that are `Send` and
    /// `Sync`.
    pub fn without_value(self) -> AlreadySet<()> {
        AlreadySet(())
    }
}

impl<T> fmt::Debug for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AlreadySet").finish_non_exhaustive()
    }
}

impl<T> OnceCell<T> {
    /// Creates a cell without a value.
    #[track_caller]
    pub const fn new() -> Self {
        Self {
            value: cell::OnceCell::new(),
            turn: Permits::new(1, KIND),
        }
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, mutably, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value.
    ///
    /// If a task is making a value at that time, its value is dropped and the task gets this one.
    ///
    /// # Errors
    ///
    /// If the cell has a value. The error contains `value`.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        self.value.set(value).map_err(AlreadySet)?;
        // Release all waiting tasks at once, not one after the other.
        self.turn.release(usize::MAX);
        Ok(())
    }

    /// Returns the value. If there is none, `make` makes it, or the task that came first.
    ///
    /// If `make` itself waits for the value of this cell, it waits forever.
    pub async fn get_or_init(&self, make: impl AsyncFnOnce() -> T) -> &T {
        let made = self
            .get_or_try_init(async || Ok::<T, Infallible>(make().await))
            .await;
        match made {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// Returns the value. If there is none, `make` makes it, or the task that came first.
    ///
    /// If `make` itself waits for the value of this cell, it waits forever.
    ///
    /// # Errors
    ///
    /// If `make` is called and fails. The next waiting task then calls its own function.
    pub async fn get_or_try_init<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            budget::spend().await;
            return Ok(value);
        }
        self.turn.acquire(1).await;
        let _turn = Turn(&self.turn);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        // If a value was set meanwhile, `set` fails and that value is returned.
        let _ = self.set(make().await?);
        Ok(self.value.get().expect("the cell has a value after `set`"))
    }

    /// Takes the value out of the cell. The next task makes a new value.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    /// Consumes the cell and returns its value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The number of tasks that wait while another task makes the value.
    pub fn waiters(&self) -> usize {
        self.turn.waiters()
    }
}

/// The permit to make the value. Dropping it passes it to the next waiting task.
struct Turn<'a>(&'a Permits);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    /// Creates a cell with a value.
    fn from(value: T) -> Self {
        Self {
            value: cell::OnceCell::from(value),
            turn: Permits::new(usize::MAX, KIND),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell")
            .field("value", &self.value.get())
            .field("waiters", &self.waiters())
            .finish()
    }
}
