//! tokio's `JoinSet` and `tokio::sync`.

use std::future::Future;
use std::marker::PhantomData;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::super::tokio::Kind;
use crate::group::{Group, GroupAbilities};
use crate::primitives::{BoundedQueue, Flag, Hold, Lacking, Primitives, Reply};
use crate::threads::Threads;

/// A `JoinSet` whose tasks are spawned in the way `K` says.
#[derive(Debug)]
pub(crate) struct Set<K>(PhantomData<K>);

impl<K: Kind> Group for Set<K> {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: false,
        catch: false,
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
