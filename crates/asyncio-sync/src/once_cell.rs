//! A value that is made by the first task that needs it, by an `async` function.

use std::cell;
use std::convert::Infallible;
use std::fmt;

use crate::budget::{self, StepBack};
use crate::permits::Permits;

/// Keeps a value that is made once, when the first task asks for it; the others wait meanwhile.
///
/// asyncio has none. See [`Lazy`](crate::Lazy) for one that knows how to make its value.
///
/// ```
/// use asyncio_sync::OnceCell;
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
/// // One request for both.
/// let (first, second) = futures::join!(settings.text(), settings.text());
/// assert_eq!((first?, second?), ("verbose = true", "verbose = true"));
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Cancellation
///
/// If the task that makes the value is cancelled, or fails, or panics, the next one that waits starts
/// over with its own function.
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// One permit to make the value; once it is there, permits for all.
    turn: Permits,
}

/// The cell has a value already; this is the one that was to be set.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cell has a value already")]
pub struct AlreadySet<T>(pub T);

impl<T> fmt::Debug for AlreadySet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AlreadySet").finish_non_exhaustive()
    }
}

impl<T> OnceCell<T> {
    /// A cell without a value.
    pub const fn new() -> Self {
        Self {
            value: cell::OnceCell::new(),
            turn: Permits::new(1),
        }
    }

    /// The value, if it is there.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is there.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value. If some task is making it, that one's is dropped, and it gets this one.
    ///
    /// # Errors
    ///
    /// If there is a value already; the other one is in the error.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        self.value.set(value).map_err(AlreadySet)?;
        // All at once, instead of one after the other.
        self.turn.release(usize::MAX);
        Ok(())
    }

    /// The value; if it is not there yet, `make` makes it, or whoever came before.
    ///
    /// Asking in `make` for the value of the same cell waits forever.
    pub async fn get_or_init(&self, make: impl AsyncFnOnce() -> T) -> &T {
        let made = self
            .get_or_try_init(async || Ok::<T, Infallible>(make().await))
            .await;
        match made {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value; if it is not there yet, `make` makes it, or whoever came before.
    ///
    /// Asking in `make` for the value of the same cell waits forever.
    ///
    /// # Errors
    ///
    /// If `make` is called and fails. The next who waits tries its own.
    pub async fn get_or_try_init<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            if !budget::draw() {
                StepBack::default().await;
            }
            return Ok(value);
        }
        self.turn.acquire(1).await;
        let _turn = Turn(&self.turn);
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        // Somebody may have set one meanwhile; then that one is it.
        let _ = self.set(make().await?);
        Ok(self.value.get().expect("it was set just now, or before"))
    }

    /// Takes the value out; the next who asks makes a new one.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    /// The value, if it was there.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// How many tasks wait while another one makes the value.
    pub fn waiters(&self) -> usize {
        self.turn.waiters()
    }
}

/// The right to make the value; dropped, it goes to the next.
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
    /// A cell with a value.
    fn from(value: T) -> Self {
        Self {
            value: cell::OnceCell::from(value),
            turn: Permits::new(usize::MAX),
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
