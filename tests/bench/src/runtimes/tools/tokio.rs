//! tokio's `JoinSet` and `tokio::sync`.

use std::future::Future;
use std::marker::PhantomData;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::super::tokio::Kind;
use crate::group::{Group, GroupAbilities, Sure};
use crate::primitives::{BoundedQueue, Flag, ForAll, Hold, Lacking, Latest, Primitives, Reply};
use crate::threads::Threads;

/// A `JoinSet` whose tasks are spawned in the way `K` says.
#[derive(Debug)]
pub(crate) struct Set<K>(PhantomData<K>);

impl<K: Kind> Group for Set<K> {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: false,
        catch: false,
        race: true,
        select: true,
        join: true,
        bounded: true,
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set = JoinSet::new();
        for child in children {
            K::spawn_in(&mut set, child);
        }
        while set.join_next().await.is_some() {}
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set = JoinSet::new();
        for child in children {
            K::spawn_in(&mut set, child);
        }
        let mut sum = 0;
        while let Some(output) = set.join_next().await {
            sum += output.expect("the task returns");
        }
        sum
    }

    async fn sum_bounded<F>(limit: usize, futures: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let mut set = JoinSet::new();
        let mut sum = 0;
        for future in futures {
            if set.len() == limit {
                let output = set.join_next().await.expect("a task runs");
                sum += output.expect("the task returns");
            }
            K::spawn_in(&mut set, future);
        }
        while let Some(output) = set.join_next().await {
            sum += output.expect("the task returns");
        }
        sum
    }

    async fn race_two(a: impl Future<Output = u64>, b: impl Future<Output = u64>) -> u64 {
        tokio::select! {
            biased;
            a = a => a,
            b = b => b,
        }
    }

    async fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> u64 {
        tokio::select! {
            biased;
            a = a => a,
            b = b => b,
            c = c => c,
        }
    }

    async fn join_two(a: impl Future<Output = u64>, b: impl Future<Output = u64>) -> (u64, u64) {
        tokio::join!(a, b)
    }

    async fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> (u64, u64, u64) {
        tokio::join!(a, b, c)
    }

    async fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> Result<(u64, u64), ()> {
        tokio::try_join!(a, b)
    }

    async fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> Result<(u64, u64, u64), ()> {
        tokio::try_join!(a, b, c)
    }
}

/// `tokio::sync`.
#[derive(Debug)]
pub(crate) struct Sync;

impl Primitives for Sync {
    type Lock = Mutex<u64>;
    type Semaphore = Semaphore;
    type Event = Notify;
    type Queue = Mpsc;
    type Sorted = Lacking;
    type Reply = Oneshot;
    type Latest = Watch;
    type ForAll = Broadcast;
}

/// tokio's `watch`.
#[derive(Debug)]
pub(crate) struct Watch;

impl Latest for Watch {
    type Sender = watch::Sender<u64>;
    type Receiver = watch::Receiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        watch::channel(0)
    }

    fn set(sender: &Self::Sender, value: u64) {
        sender.send(value).expect("the receivers are there");
    }

    async fn changed(receiver: &mut Self::Receiver) -> u64 {
        receiver.changed().await.expect("the sender is there");
        *receiver.borrow_and_update()
    }
}

/// tokio's `broadcast`.
#[derive(Debug)]
pub(crate) struct Broadcast;

impl ForAll for Broadcast {
    type Sender = broadcast::Sender<u64>;
    type Receiver = broadcast::Receiver<u64>;

    fn new(room: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>) {
        let (sender, _first) = broadcast::channel(room);
        let receivers = (0..receivers).map(|_| sender.subscribe()).collect();
        (sender, receivers)
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).expect("the receivers are there");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("it keeps up")
    }
}

impl Hold for Mutex<u64> {
    fn new() -> Self {
        Self::new(0)
    }

    async fn hold<F: Future<Output = ()>>(&self, inside: F) {
        let mut guard = self.lock().await;
        inside.await;
        *guard += 1;
    }
}

impl Hold for Semaphore {
    fn new() -> Self {
        Self::new(1)
    }

    async fn hold<F: Future<Output = ()>>(&self, inside: F) {
        let _permit = self.acquire().await.expect("the semaphore is open");
        inside.await;
    }
}

impl Flag for Notify {
    fn new() -> Self {
        Self::new()
    }

    fn set(&self) {
        self.notify_one();
    }

    async fn taken(&self) {
        self.notified().await;
    }
}

/// tokio's bounded channel.
#[derive(Debug)]
pub(crate) struct Mpsc;

impl BoundedQueue for Mpsc {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn new(room: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(room)
    }

    async fn put(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect("the receiver is there");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("a sender is there")
    }
}

/// tokio's oneshot channel.
#[derive(Debug)]
pub(crate) struct Oneshot;

impl Reply for Oneshot {
    type Setter = oneshot::Sender<u64>;
    type Waiter = oneshot::Receiver<u64>;

    fn new() -> (Self::Setter, Self::Waiter) {
        oneshot::channel()
    }

    fn set(setter: Self::Setter, value: u64) {
        setter.send(value).expect("the receiver is there");
    }

    async fn wait(waiter: Self::Waiter) -> u64 {
        waiter.await.expect("it is set")
    }
}

/// `spawn_blocking`, and a task that is spawned through a `Handle`.
#[derive(Debug)]
pub(crate) struct Pool;

impl Threads for Pool {
    const POSTS: bool = true;
    type Handle = Handle;

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let job = tokio::task::spawn_blocking(job);
        async move { job.await.expect("the job returns") }
    }

    fn handle() -> Handle {
        Handle::current()
    }

    fn post(handle: &Handle, callback: impl FnOnce() + Send + 'static) {
        handle.spawn(async move { callback() });
    }
}
