//! Acquire, use, release.

use crate::catch_cancel::Work;

/// Lends `resource` to `work`, and gives it to `release` afterwards, however the work ends: Python's `async with`.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{TimedOut, bracket, sleep, timeout};
/// use std::time::Duration;
/// struct Connection {
///     sent: u32,
/// }
///
/// impl Connection {
///     async fn open() -> Self {
///         Self { sent: 0 }
///     }
///
///     async fn send(&mut self) {
///         sleep(Duration::from_millis(2)).await;
///         self.sent += 1;
///     }
///
///     async fn close(self) {
///         sleep(Duration::from_millis(1)).await; // say goodbye
///         println!("{} sent", self.sent);
///     }
/// }
///
/// # asyncio_loop::run(async {
/// let connection = Connection::open().await;
/// let sent = bracket(
///     connection,
///     async |connection: &mut Connection| {
///         connection.send().await;
///         connection.sent
///     },
///     Connection::close,
/// );
/// assert_eq!(sent.await, 1);
///
/// // A time limit cuts the work, and waits for the release.
/// let connection = Connection::open().await;
/// let endless = async |connection: &mut Connection| loop {
///     connection.send().await
/// };
/// let sent = timeout(Duration::from_millis(5), bracket(connection, endless, Connection::close));
/// assert_eq!(sent.await, Err::<(), _>(TimedOut));
/// # });
/// ```
///
/// The work has been dropped when the release begins. It is [`try_finally`](crate::try_finally), with a resource that
/// the two cannot both own. An acquisition that must not be cut goes into a [`shield`](crate::shield) in front of this.
///
/// # Cancellation
///
/// The work is cancelled, and the resource is released; then the request goes on. A second request interrupts the
/// release, as with [`try_finally`](crate::try_finally): [`shield`](crate::shield) what is in it if that must not be. A
/// plain drop while the work runs drops the work and then the resource, and nothing is awaited.
///
/// # Panics
///
/// If the work panics, after the release. If the release panics as well, the exception handler receives that panic.
#[doc(alias("async with", "AsyncExitStack"))]
pub async fn bracket<R, T>(
    mut resource: R,
    work: impl AsyncFnOnce(&mut R) -> T,
    release: impl AsyncFnOnce(R),
) -> T {
    // The call is a part of the work: it may panic before it has made a future.
    let end = Work::run(async { work(&mut resource).await }).await;
    end.clean_up(async { release(resource).await }).await
}
