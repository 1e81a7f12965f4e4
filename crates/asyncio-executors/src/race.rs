//! The first of several.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::panic::Location;
use std::time::Duration;

use crate::catch_cancel::catch_cancel;
use crate::error_group::ErrorGroup;
use crate::gather::{Place, cancelled_with_a_part};
use crate::in_place::{
    Array, Racing, Tuple1, Tuple2, Tuple3, Tuple4, Tuple5, Tuple6, Tuple7, Tuple8, Tuple9, Tuple10,
    Tuple11, Tuple12,
};
use crate::signal::Signal;
use crate::task_group::{TaskGroup, task_group};
use crate::timeout::timeout;

/// Runs several futures concurrently, and gives the output of the first that returns. The others are cancelled and
/// awaited.
///
/// Takes a tuple of up to twelve futures, an array, or a `Vec`; any other iterator goes through [`race_iter`].
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{race, sleep};
/// use std::time::Duration;
/// # let builder = asyncio_loop::Runner::builder().virtual_time(true);
/// # asyncio_loop::run_with(builder, async {
/// let mirror = async |name: &'static str, ms| {
///     sleep(Duration::from_millis(ms)).await;
///     name
/// };
/// assert_eq!(race([mirror("far", 50), mirror("near", 1)]).await, "near");
///
/// // A tuple takes futures of different types that return the same.
/// let cached = async { "from the cache" };
/// assert_eq!(race((mirror("far", 50), cached)).await, "from the cache");
/// # });
/// ```
///
/// The futures of a tuple and of an array are polled in place: parts of the task that awaits this, without an
/// allocation. Each wake-up polls all of them, in order, so the first of several that are ready wins. Of a `Vec` and of
/// an iterator each is a task, and is polled when it is woken.
///
/// No loser is polled to a value after the first has returned. A loser is dropped where it waits. A loser that catches
/// the cancellation cleans up first. So an item on its way to a loser goes to the next in line. A loop of races over
/// queues or sockets loses nothing. The same holds if its contenders are races, or groups whose body awaits a child. A
/// loser loses only what it holds itself:
/// - what it took at an earlier await;
/// - the outputs of a [`gather`](crate::gather) inside of it that has not got all;
/// - the value of a task whose handle it has;
/// - the value of a race inside of it whose own losers still clean up.
///
/// # Cancellation
///
/// The request goes to all contenders. When all have ended, it goes on.
/// - If a contender returns a value all the same, the race returns it, and the request takes the next await. Where
///   nothing can take that value either (rule 5 of the page on cancellation), as in a child of a group that is
///   cancelled, the race is dropped where it waits.
/// - If each contender that got the request has [swallowed](crate::Cancelled::swallow) it, it ends here.
/// - If a contender has returned before, and others still clean up, the request is a second one for these. The race
///   returns the value, and the request takes the next await. A plain drop at that moment loses the value.
///
/// # Panics
///
/// If there is no contender. If a contender panics, in its cleanup as well, when the others have ended. When polled
/// outside of any task.
#[doc(alias("select", "select_ok"))]
#[track_caller]
pub fn race<R: Race>(futures: R) -> impl Future<Output = R::Output> {
    futures.race(Location::caller())
}

/// Runs the futures of an iterator concurrently, as [`race`] does, and returns the first output.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{race_iter, sleep};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let mirrors = [("far", 50), ("near", 1)];
/// let answer = race_iter(mirrors.iter().map(async |(name, ms)| {
///     sleep(Duration::from_millis(*ms)).await;
///     *name
/// }));
/// assert_eq!(answer.await, "near");
/// # });
/// ```
///
/// # Cancellation
///
/// As with [`race`].
///
/// # Panics
///
/// As [`race`].
#[track_caller]
pub fn race_iter<I>(futures: I) -> impl Future<Output = <I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    race_all(futures, Location::caller())
}

async fn race_all<I>(futures: I, place: Place) -> <I::Item as Future>::Output
where
    I: IntoIterator<Item: Future>,
{
    let winner = RefCell::new(None);
    let raced = task_group(async |tg: TaskGroup<'_, Infallible>| {
        tg.open_contest();
        for future in futures {
            enter(&tg, place, &winner, future);
        }
        assert!(!tg.is_empty(), "a race needs at least one future");
        Ok(())
    });
    let Ok(()) = raced.await.map_err(ErrorGroup::into_first);
    first(winner).await
}

/// Starts one contender of a race.
fn enter<'env, F>(
    tg: &TaskGroup<'env, Infallible>,
    place: Place,
    winner: &'env RefCell<Option<F::Output>>,
    future: F,
) where
    F: Future + 'env,
{
    let group = tg.clone();
    let contender = async move {
        let output = future.await;
        // A loser that could not be cut, in a shield say, comes too late.
        if winner.borrow().is_none() {
            winner.replace(Some(output));
            group.decide();
        }
        Ok(())
    };
    drop(tg.spawn_at(place, contender));
}

/// The output of the first future that returned.
async fn first<T>(winner: RefCell<Option<T>>) -> T {
    match winner.into_inner() {
        Some(output) => output,
        None => cancelled_with_a_part().await, // each of them was
    }
}

/// Several futures that can run a [`race`]: tuples, arrays, vectors, of futures that return the same.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple, array or `Vec` of futures with one type of output",
    note = "any other iterator of futures goes through `race_iter`"
)]
pub trait Race: sealed::Sealed {
    /// The output of each of them.
    type Output;

    /// Runs them.
    #[doc(hidden)]
    fn race(self, place: Place) -> impl Future<Output = Self::Output>;
}

mod sealed {
    pub trait Sealed {}
}

impl<F: Future> sealed::Sealed for Vec<F> {}

impl<F: Future> Race for Vec<F> {
    type Output = F::Output;

    fn race(self, place: Place) -> impl Future<Output = F::Output> {
        race_all(self, place)
    }
}

impl<F: Future, const N: usize> sealed::Sealed for [F; N] {}

impl<F: Future, const N: usize> Race for [F; N] {
    type Output = F::Output;

    fn race(self, place: Place) -> impl Future<Output = F::Output> {
        assert!(N > 0, "a race needs at least one future");
        Racing::new(Array::of(self), place)
    }
}

macro_rules! race_tuple {
    ($name:ident: $($future:ident)+) => {
        impl<Output, $($future: Future<Output = Output>),+> sealed::Sealed for ($($future,)+) {}

        impl<Output, $($future: Future<Output = Output>),+> Race for ($($future,)+) {
            type Output = Output;

            fn race(self, place: Place) -> impl Future<Output = Output> {
                Racing::new($name::of(self), place)
            }
        }
    };
}

race_tuple!(Tuple1: A);
race_tuple!(Tuple2: A B);
race_tuple!(Tuple3: A B C);
race_tuple!(Tuple4: A B C D);
race_tuple!(Tuple5: A B C D E);
race_tuple!(Tuple6: A B C D E F);
race_tuple!(Tuple7: A B C D E F G);
race_tuple!(Tuple8: A B C D E F G H);
race_tuple!(Tuple9: A B C D E F G H I);
race_tuple!(Tuple10: A B C D E F G H I J);
race_tuple!(Tuple11: A B C D E F G H I J K);
race_tuple!(Tuple12: A B C D E F G H I J K L);

/// The end of a contender in a [`staggered_race`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender<E> {
    /// The contender won.
    Won,
    /// The contender failed, of its own accord or while it was cancelled.
    Failed(E),
    /// The contender was cancelled, because another one won or its own task was cancelled.
    Cancelled,
}

/// The outcome of a [`staggered_race`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaggeredRace<T, E> {
    /// The winner's value and place, if there is a winner.
    pub winner: Option<(T, usize)>,
    /// The end of each contender that was started, in order.
    pub contenders: Vec<Contender<E>>,
}

/// Starts contenders one after the other until one succeeds; then the others are cancelled and awaited. Each starts
/// when the one before has ended without success, or when `delay` has passed since its start.
///
/// Without a delay the next starts only when the one before has failed or was cancelled. This is how a connection is
/// made to a host of several addresses ("happy eyeballs", RFC 8305).
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{Contender, sleep, staggered_race};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let connect = async |address: &'static str| match address {
///     "::1" => Err("unreachable"),
///     address => Ok(address),
/// };
/// let race = staggered_race(["::1", "127.0.0.1"].map(|address| move || connect(address)), None).await;
/// assert_eq!(race.winner, Some(("127.0.0.1", 1)));
/// assert_eq!(race.contenders, [Contender::Failed("unreachable"), Contender::Won]);
/// # });
/// ```
///
/// As in a [`race`], no contender is polled to a value after the first success.
///
/// # Cancellation
///
/// The request goes to all contenders that run, and on when they have ended. If one has won by then, the rules are
/// those of [`race`]. No further contender is started.
///
/// # Panics
///
/// If one of them does. When polled outside of any task.
#[track_caller]
pub fn staggered_race<I, M, F, T, E>(
    contenders: I,
    delay: Option<Duration>,
) -> impl Future<Output = StaggeredRace<T, E>>
where
    I: IntoIterator<Item = M>,
    M: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    staggered(contenders, delay, Location::caller())
}

async fn staggered<I, M, F, T, E>(
    contenders: I,
    delay: Option<Duration>,
    place: Place,
) -> StaggeredRace<T, E>
where
    I: IntoIterator<Item = M>,
    M: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    let winner = RefCell::new(None);
    let states = RefCell::new(Vec::new());
    let decided = Cell::new(false);
    let next = Signal::default();
    let raced = task_group(async |tg: TaskGroup<'_, Infallible>| {
        tg.open_contest();
        let starting = async {
            for (n, start) in contenders.into_iter().enumerate() {
                states.borrow_mut().push(Contender::Cancelled);
                let turn = Turn {
                    n,
                    states: &states,
                    decided: &decided,
                    next: &next,
                };
                enter_staggered(&tg, place, &winner, turn, start);
                match delay {
                    Some(delay) => drop(timeout(delay, next.wait()).await),
                    None => next.wait().await,
                }
                if decided.get() {
                    break;
                }
            }
        };
        if let Err(cancelled) = catch_cancel(starting).await {
            // No further contender is started. The group passes the request on, unless a contender wins all the same.
            cancelled.swallow();
            tg.passes_request();
        }
        Ok(())
    });
    let Ok(()) = raced.await.map_err(ErrorGroup::into_first);
    StaggeredRace {
        winner: winner.into_inner(),
        contenders: states.into_inner(),
    }
}

/// Starts one contender of a staggered race.
fn enter_staggered<'env, F, T, E>(
    tg: &TaskGroup<'env, Infallible>,
    place: Place,
    winner: &'env RefCell<Option<(T, usize)>>,
    turn: Turn<'env, E>,
    start: impl FnOnce() -> F + 'env,
) where
    F: Future<Output = Result<T, E>>,
{
    let group = tg.clone();
    let contender = async move {
        let Turn {
            n, states, decided, ..
        } = turn;
        match start().await {
            Ok(_) if decided.get() => {}
            Ok(value) => {
                decided.set(true);
                winner.replace(Some((value, n)));
                states.borrow_mut()[n] = Contender::Won;
                group.decide();
            }
            Err(error) => states.borrow_mut()[n] = Contender::Failed(error),
        }
        drop(turn);
        Ok(())
    };
    drop(tg.spawn_at(place, contender));
}

/// Lets the next contender start when this one ends, however it ends.
struct Turn<'a, E> {
    n: usize,
    states: &'a RefCell<Vec<Contender<E>>>,
    decided: &'a Cell<bool>,
    next: &'a Signal,
}

impl<E> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        // A failure starts the next contender early only if that has not started yet.
        let is_last = self.n + 1 == self.states.borrow().len();
        if is_last || self.decided.get() {
            self.next.set();
        }
    }
}
