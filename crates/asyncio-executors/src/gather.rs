//! All of several futures, concurrently.

use std::convert::Infallible;
use std::future::pending;

use asyncio_task::unwind_here;

use crate::child::Child;
use crate::task_group::{TaskGroup, task_group};

/// Runs several futures concurrently and gives all their outputs, in order.
///
/// Takes a tuple of up to twelve futures, an array, or a `Vec`; any other iterator goes through
/// [`gather_iter`]. Each runs as a task of its own, may borrow, and ends with this at the latest.
///
/// ```
/// # use std::time::Duration;
/// # use asyncio_executors::gather;
/// # use asyncio_loop::sleep;
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
/// Unlike Python's, nothing runs on afterwards: if this is cancelled or one of them panics, all are cancelled
/// and awaited. For futures that fail there is [`try_gather`]; to have the errors as values, `gather` those.
///
/// # Cancellation
///
/// The request goes to all of them, and on when all have ended. Outputs that were there are lost.
///
/// # Panics
///
/// If one of them does, when the others have ended. When polled outside of any task.
pub async fn gather<G: Gather>(futures: G) -> G::Outputs {
    futures.gather().await
}

/// [`gather`], over any iterator of futures.
pub async fn gather_iter<I>(futures: I) -> Vec<<I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    never_fails(
        task_group(async |tg: TaskGroup<'_, Infallible>| {
            let children: Vec<_> = futures
                .into_iter()
                .map(|future| spawn(&tg, future))
                .collect();
            let mut outputs = Vec::with_capacity(children.len());
            for child in children {
                outputs.push(output(child).await);
            }
            Ok(outputs)
        })
        .await,
    )
}

/// Runs several futures concurrently until all have returned, or one has failed: the others are cancelled then
/// and awaited, and its error is what comes back.
///
/// ```
/// # use std::{future::pending, time::Duration};
/// # use asyncio_executors::try_gather;
/// # asyncio_loop::run(async {
/// let fetch = async |n: u32| if n == 2 { Err("no such page") } else { Ok(n) };
/// assert_eq!(try_gather([fetch(1), fetch(3)]).await, Ok(vec![1, 3]));
/// assert_eq!(try_gather([fetch(1), fetch(2)]).await, Err("no such page"));
/// # });
/// ```
///
/// # Errors
///
/// The first error. Those that come while the others end are dropped; a [`task_group`] keeps all.
///
/// # Cancellation
///
/// As with [`gather`].
///
/// # Panics
///
/// As [`gather`].
pub async fn try_gather<I, T, E>(futures: I) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    let gathered = task_group(async |tg: TaskGroup<'_, E>| {
        let children: Vec<_> = futures.into_iter().map(|future| tg.spawn(future)).collect();
        let mut values = Vec::with_capacity(children.len());
        for child in children {
            values.push(output(child).await);
        }
        Ok(values)
    });
    gathered.await.map_err(crate::ErrorGroup::into_first)
}

fn spawn<'env, F: Future + 'env>(
    tg: &TaskGroup<'env, Infallible>,
    future: F,
) -> Child<'env, F::Output> {
    tg.spawn(async move { Ok(future.await) })
}

/// What a child returns. If it comes to no value, the group is ending, or somebody has cancelled just this
/// child, and then whoever gathers is cancelled with it.
async fn output<T>(child: Child<'_, T>) -> T {
    match child.await {
        Ok(value) => value,
        Err(error) => {
            if error.is_cancelled() {
                unwind_here();
            }
            pending().await
        }
    }
}

fn never_fails<T>(result: Result<T, crate::ErrorGroup<Infallible>>) -> T {
    result.unwrap_or_else(|errors| match errors.into_first() {})
}

/// Several futures that [`gather`] can run: tuples, arrays, vectors.
pub trait Gather: sealed::Sealed {
    /// Their outputs, in order.
    type Outputs;

    /// Runs them.
    #[doc(hidden)]
    fn gather(self) -> impl Future<Output = Self::Outputs>;
}

mod sealed {
    pub trait Sealed {}
}

impl<F: Future> sealed::Sealed for Vec<F> {}
impl<F: Future> Gather for Vec<F> {
    type Outputs = Vec<F::Output>;

    fn gather(self) -> impl Future<Output = Self::Outputs> {
        gather_iter(self)
    }
}

impl<F: Future, const N: usize> sealed::Sealed for [F; N] {}
impl<F: Future, const N: usize> Gather for [F; N] {
    type Outputs = [F::Output; N];

    async fn gather(self) -> Self::Outputs {
        let outputs: Result<[F::Output; N], _> = gather_iter(self).await.try_into();
        outputs.unwrap_or_else(|_| unreachable!("as many outputs as futures"))
    }
}

impl sealed::Sealed for () {}
impl Gather for () {
    type Outputs = ();

    async fn gather(self) {}
}

macro_rules! gather_tuple {
    ($($future:ident)+) => {
        impl<$($future: Future),+> sealed::Sealed for ($($future,)+) {}
        impl<$($future: Future),+> Gather for ($($future,)+) {
            type Outputs = ($($future::Output,)+);

            #[allow(non_snake_case)] // a future and its type have one name here
            async fn gather(self) -> Self::Outputs {
                let ($($future,)+) = self;
                never_fails(
                    task_group(async |tg: TaskGroup<'_, Infallible>| {
                        $(let $future = spawn(&tg, $future);)+
                        Ok(($(output($future).await,)+))
                    })
                    .await,
                )
            }
        }
    };
}

gather_tuple!(A);
gather_tuple!(A B);
gather_tuple!(A B C);
gather_tuple!(A B C D);
gather_tuple!(A B C D E);
gather_tuple!(A B C D E F);
gather_tuple!(A B C D E F G);
gather_tuple!(A B C D E F G H);
gather_tuple!(A B C D E F G H I);
gather_tuple!(A B C D E F G H I J);
gather_tuple!(A B C D E F G H I J K);
gather_tuple!(A B C D E F G H I J K L);
