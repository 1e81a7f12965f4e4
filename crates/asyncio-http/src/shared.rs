//! The state that the handlers of one loop share.

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;

use crate::bound::LoopBound;

/// State that the handlers of one loop share: an [`Rc`] that passes axum's bounds. It is its own extractor.
///
/// So `app: Shared<App>` takes the place of axum's `State(app): State<Arc<App>>`, and `App` may have cells.
/// [`routing`](crate::routing) has an example.
///
/// # Panics
///
/// Every use panics while its loop does not run on the thread, as that of a [`LoopBound`].
pub struct Shared<T: 'static>(LoopBound<Rc<T>>);

impl<T> Shared<T> {
    /// Shares a value among the handlers of the loop that runs here.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::from_rc(Rc::new(value))
    }

    /// Shares a value that is shared already.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[track_caller]
    pub fn from_rc(value: Rc<T>) -> Self {
        Self(LoopBound::new(value))
    }

    /// The `Rc` inside.
    #[must_use]
    pub fn rc(&self) -> &Rc<T> {
        &self.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.0).finish()
    }
}

impl<S, T> FromRequestParts<S> for Shared<T>
where
    Self: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self::from_ref(state))
    }
}
