//! All of several futures, concurrently.
//!
//! A group whose children leave their outputs in places that they borrow. No child is awaited alone.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_task::{StepBack, propagate_here};
use pin_project_lite::pin_project;

use crate::in_place::{
    Array, Gathering, TryGathering, Tuple1, Tuple2, Tuple3, Tuple4, Tuple5, Tuple6, Tuple7, Tuple8,
    Tuple9, Tuple10, Tuple11, Tuple12,
};
use crate::outputs::NeverFails;
use crate::task_group::{TaskGroup, task_group};

/// Runs several futures concurrently and gives all their outputs, in order.
///
/// Takes a tuple of up to twelve futures, an array, or a `Vec`; any other iterator goes through
/// [`gather_iter`]. The futures may borrow, and have ended when this returns.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_loop::*; }
/// use asyncio::{gather, sleep};
/// use std::time::Duration;
/// # asyncio_loop::run(async {
/// let name = String::from("ada");
/// let (length, upper) = gather((async { name.len() }, async { name.to_uppercase() })).await;
/// assert_eq!((length, &*upper), (3, "ADA"));
///
/// let squares = gather((1..4).map(|n| async move { n * n }).collect::<Vec<_>>()).await;
/// assert_eq!(squares, [1, 4, 9]);
/// # });
/// ```
///
/// The futures of a tuple and of an array are polled in place: parts of the task that awaits this, without an
/// allocation. Each wake-up polls all that have not returned, in order. Each future of a `Vec` or of an iterator is a
/// task. It has a name and a context of its own, and is polled when it is woken.
///
/// Unlike Python's, no future runs on afterwards: if this is cancelled or a future panics, all are cancelled and
/// awaited. [`try_gather`] ends at the first error; `gather` gives errors as values.
///
/// # Cancellation
///
/// The request goes to all futures, and on when all have ended. Earlier outputs are lost. If each future that got the
/// request has [swallowed](crate::Cancelled::swallow) it, it ends here, and the outputs are returned. If a future ends
/// without a value, the others are cancelled, also those that have swallowed the request. If the task of one future of
/// a `Vec` is cancelled, all are.
///
/// # Panics
///
/// If a future panics, when the others have ended. When polled outside of any task.
#[doc(alias("join", "join_all"))]
#[track_caller]
pub fn gather<G: Gather>(futures: G) -> impl Future<Output = G::Outputs> {
    futures.gather(Location::caller())
}

/// Runs the futures of an iterator concurrently, as [`gather`] does, and returns their outputs in order.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::gather_iter;
/// # asyncio_loop::run(async {
/// let words = ["one", "three"];
/// assert_eq!(gather_iter(words.iter().map(async |word| word.len())).await, [3, 5]);
/// # });
/// ```
///
/// # Cancellation
///
/// As with [`gather`].
///
/// # Panics
///
/// As [`gather`].
#[track_caller]
pub fn gather_iter<I>(futures: I) -> impl Future<Output = Vec<<I::Item as Future>::Output>>
where
    I: IntoIterator<Item: Future>,
{
    gather_all(futures, Location::caller())
}

async fn gather_all<I>(futures: I, place: Place) -> Vec<<I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    let futures = futures.into_iter().map(NeverFails::new);
    let Ok(outputs): Result<_, Infallible> = try_gather_all(futures, place).await;
    outputs
}

/// Runs several futures concurrently until all have returned, or one has failed. Then the others are cancelled and
/// awaited, and its error is returned.
///
/// Takes a tuple of up to twelve futures, which may return values of different types, an array, or a `Vec`. For any
/// other iterator there is [`try_gather_iter`]. The `Result` of a future's await decides whether it has failed. The
/// await of a task that returned an `Err` gives `Ok(Err(…))`, which is a value here. So pass the futures, not tasks
/// that were spawned from them.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::try_gather;
/// # asyncio_loop::run(async {
/// let fetch = async |n: u32| if n == 2 { Err("no such page") } else { Ok(n) };
/// let title = async { Ok("a title") };
/// assert_eq!(try_gather((fetch(1), title)).await, Ok((1, "a title")));
/// assert_eq!(try_gather([fetch(1), fetch(3)]).await, Ok([1, 3]));
/// assert_eq!(try_gather([fetch(1), fetch(2)]).await, Err("no such page"));
/// # });
/// ```
///
/// # Errors
///
/// The first error. Earlier values are lost. The other futures are not polled to a value or an error any more, unless
/// they clean up; errors of cleanups are dropped. A [`task_group`] keeps all errors.
///
/// # Cancellation
///
/// As with [`gather`].
///
/// # Panics
///
/// As [`gather`].
#[doc(alias("try_join", "try_join_all"))]
#[track_caller]
pub fn try_gather<G: TryGather>(futures: G) -> impl Future<Output = Result<G::Outputs, G::Error>> {
    futures.try_gather(Location::caller())
}

/// Runs the futures of an iterator concurrently until all have returned, or one has failed, as [`try_gather`] does.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::try_gather_iter;
/// # asyncio_loop::run(async {
/// let parse = async |text: &str| text.parse::<u32>();
/// assert_eq!(try_gather_iter("1 2 3".split(' ').map(parse)).await, Ok(vec![1, 2, 3]));
/// assert!(try_gather_iter("1 two 3".split(' ').map(parse)).await.is_err());
/// # });
/// ```
///
/// # Errors
///
/// As [`try_gather`].
///
/// # Cancellation
///
/// As with [`gather`].
///
/// # Panics
///
/// As [`gather`].
#[track_caller]
pub fn try_gather_iter<I, T, E>(futures: I) -> impl Future<Output = Result<Vec<T>, E>>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    try_gather_all(futures, Location::caller())
}

async fn try_gather_all<I, T, E>(futures: I, place: Place) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let outputs = RefCell::new(Vec::new());
    let gathered = task_group(async |tg: TaskGroup<'_, E>| {
        let futures = futures.into_iter();
        let at_least = futures.size_hint().0;
        outputs.borrow_mut().reserve(at_least);
        for (n, future) in futures.enumerate() {
            outputs.borrow_mut().push(None);
            let outputs = &outputs;
            spawn(&tg, place, future, move |value| {
                outputs.borrow_mut()[n] = Some(value);
            });
        }
        Ok(())
    });
    gathered.await.map_err(crate::ErrorGroup::into_first)?;
    let outputs = outputs.into_inner().into_iter();
    match outputs.collect() {
        Some(values) => Ok(values),
        None => cancelled_with_a_part().await,
    }
}

/// The call of a gather or a race. Debug mode names its futures by this place.
pub(crate) type Place = &'static Location<'static>;

/// Starts one of several.
#[inline]
fn spawn<'env, T, E: 'env, F, S>(tg: &TaskGroup<'env, E>, place: Place, future: F, store: S)
where
    F: Future<Output = Result<T, E>> + 'env,
    S: FnOnce(T) + 'env,
{
    let part = Part::new(tg, future, store);
    drop(tg.spawn_at(place, part));
}

pin_project! {
    /// A future of several, which leaves its value beside those of the others.
    pub(crate) struct Part<'env, F, S, E> {
        #[pin]
        future: F,
        ending: Ending<'env, S, E>,
    }
}

impl<'env, F, S, E> Part<'env, F, S, E> {
    pub(crate) fn new(tg: &TaskGroup<'env, E>, future: F, store: S) -> Self {
        Self {
            future,
            ending: Ending {
                store: Some(store),
                group: tg.clone(),
            },
        }
    }
}

/// Cancels the other futures if this one ends without a value, because the gather has no result then.
struct Ending<'env, S, E> {
    /// Until it has returned.
    store: Option<S>,
    group: TaskGroup<'env, E>,
}

impl<S, E> Drop for Ending<'_, S, E> {
    #[inline]
    fn drop(&mut self) {
        if self.store.is_some() {
            self.group.end_children();
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>, S: FnOnce(T)> Future for Part<'_, F, S, E> {
    type Output = Result<(), E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let this = self.project();
        let result = std::task::ready!(this.future.poll(cx));
        let store = this.ending.store.take();
        Poll::Ready(result.map(|value| {
            if let Some(store) = store {
                store(value);
            }
        }))
    }
}

/// Propagates a cancellation: a task that is needed here was cancelled, so the waiting code is cancelled too.
#[cold]
pub(crate) async fn cancelled_with_a_part<T>() -> T {
    let propagation = propagate_here();
    let again = "a race or a gather was awaited again after it had been cancelled";
    poll_fn(|_| propagation.poll_again(again)).await
}

/// Several futures that [`gather`] can run: tuples, arrays, vectors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple, array or `Vec` of futures",
    note = "any other iterator of futures goes through `gather_iter`"
)]
pub trait Gather: sealed::Sealed {
    /// Their outputs, in order.
    type Outputs;

    /// Runs them.
    #[doc(hidden)]
    fn gather(self, place: Place) -> impl Future<Output = Self::Outputs>;
}

/// Several futures that [`try_gather`] can run: tuples, arrays, vectors, of futures that give a `Result` with one
/// type of error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no tuple, array or `Vec` of futures that give a `Result` with one type of error",
    note = "any other iterator of such futures goes through `try_gather_iter`"
)]
pub trait TryGather: sealed::Sealed {
    /// Their values, in order.
    type Outputs;
    /// The error of any of them.
    type Error;

    /// Runs them.
    #[doc(hidden)]
    fn try_gather(self, place: Place) -> impl Future<Output = Result<Self::Outputs, Self::Error>>;
}

mod sealed {
    pub trait Sealed {}
}

impl<F: Future> sealed::Sealed for Vec<F> {}

impl<F: Future> Gather for Vec<F> {
    type Outputs = Vec<F::Output>;

    fn gather(self, place: Place) -> impl Future<Output = Self::Outputs> {
        gather_all(self, place)
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> TryGather for Vec<F> {
    type Outputs = Vec<T>;
    type Error = E;

    fn try_gather(self, place: Place) -> impl Future<Output = Result<Vec<T>, E>> {
        try_gather_all(self, place)
    }
}

impl<F: Future, const N: usize> sealed::Sealed for [F; N] {}

impl<F: Future, const N: usize> Gather for [F; N] {
    type Outputs = [F::Output; N];

    fn gather(self, place: Place) -> impl Future<Output = Self::Outputs> {
        Gathering::new(Array::of(self), place)
    }
}

impl<T, E, F: Future<Output = Result<T, E>>, const N: usize> TryGather for [F; N] {
    type Outputs = [T; N];
    type Error = E;

    fn try_gather(self, place: Place) -> impl Future<Output = Result<[T; N], E>> {
        TryGathering::new(Array::of(self), place)
    }
}

impl sealed::Sealed for () {}

impl Gather for () {
    type Outputs = ();

    async fn gather(self, _: Place) {
        StepBack::new().await;
    }
}

macro_rules! gather_tuple {
    ($name:ident: $($future:ident $value:ident)+) => {
        impl<$($future: Future),+> sealed::Sealed for ($($future,)+) {}

        impl<$($future: Future),+> Gather for ($($future,)+) {
            type Outputs = ($($future::Output,)+);

            fn gather(self, place: Place) -> impl Future<Output = Self::Outputs> {
                Gathering::new($name::of(self), place)
            }
        }

        impl<Error, $($value, $future),+> TryGather for ($($future,)+)
        where
            $($future: Future<Output = Result<$value, Error>>,)+
        {
            type Outputs = ($($value,)+);
            type Error = Error;

            fn try_gather(self, place: Place) -> impl Future<Output = Result<Self::Outputs, Error>> {
                TryGathering::new($name::of(self), place)
            }
        }
    };
}

gather_tuple!(Tuple1: A VA);
gather_tuple!(Tuple2: A VA B VB);
gather_tuple!(Tuple3: A VA B VB C VC);
gather_tuple!(Tuple4: A VA B VB C VC D VD);
gather_tuple!(Tuple5: A VA B VB C VC D VD E VE);
gather_tuple!(Tuple6: A VA B VB C VC D VD E VE F VF);
gather_tuple!(Tuple7: A VA B VB C VC D VD E VE F VF G VG);
gather_tuple!(Tuple8: A VA B VB C VC D VD E VE F VF G VG H VH);
gather_tuple!(Tuple9: A VA B VB C VC D VD E VE F VF G VG H VH I VI);
gather_tuple!(Tuple10: A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ);
gather_tuple!(Tuple11: A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ K VK);
gather_tuple!(Tuple12: A VA B VB C VC D VD E VE F VF G VG H VH I VI J VJ K VK L VL);
