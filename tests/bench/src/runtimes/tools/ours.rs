//! asyncio's task groups, gather and catch_cancel, and the locks and queues of asyncio::sync.

use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;

use asyncio::sync::{
    Answer, BroadcastReceiver, BroadcastSender, Event, Lock, PriorityQueue, Promise, Queue,
    Semaphore, WatchReceiver, WatchSender,
};
use asyncio::{
    LoopHandle, TaskGroup, catch_cancel, gather, gather_bounded, race, select, task_group,
    try_gather,
};

use crate::group::{Group, GroupAbilities, Sure};
use crate::primitives::{BoundedQueue, Flag, ForAll, Hold, Latest, Primitives, Reply, SortedQueue};
use crate::runtime::Channel;
use crate::threads::Threads;

/// `task_group`, `gather` and `catch_cancel`.
#[derive(Debug)]
pub(crate) struct Executors;

impl Group for Executors {
    const CAN: GroupAbilities = GroupAbilities {
        group: true,
        gather: true,
        catch: true,
        race: true,
        select: true,
        join: true,
        bounded: true,
    };

    async fn run_all<F>(children: impl Iterator<Item = F>)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        task_group(async |group: TaskGroup<'_, Infallible>| {
            for child in children {
                group.spawn(async move { Ok(child.await) });
            }
            Ok(())
        })
        .await
        .expect("no child fails");
    }

    async fn sum_all<F>(children: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        task_group(async |group: TaskGroup<'_, Infallible>| {
            let children: Vec<_> = children
                .map(|child| group.spawn(async move { Ok(child.await) }))
                .collect();
            let mut sum = 0;
            for child in children {
                sum += child.await.expect("the child returns");
            }
            Ok(sum)
        })
        .await
        .expect("no child fails")
    }

    fn gather<F>(futures: Vec<F>) -> impl Future<Output = Vec<u64>>
    where
        F: Future<Output = u64> + 'static,
    {
        gather(futures)
    }

    async fn cancellable<F: Future>(future: F) -> Option<F::Output> {
        catch_cancel(future).await.ok()
    }

    async fn sum_bounded<F>(limit: usize, futures: impl Iterator<Item = F>) -> u64
    where
        F: Future<Output = u64> + Send + 'static,
    {
        gather_bounded(limit, futures).await.into_iter().sum()
    }

    fn race_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        race((a, b))
    }

    fn race_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = u64> {
        race((a, b, c))
    }

    async fn select_two(a: impl Future<Output = u64>, b: impl Future<Output = u64>) -> u64 {
        select! {
            a = a => a,
            b = b => b,
        }
    }

    async fn select_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> u64 {
        select! {
            a = a => a,
            b = b => b,
            c = c => c,
        }
    }

    fn join_two(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64)> {
        gather((a, b))
    }

    fn join_three(
        a: impl Future<Output = u64>,
        b: impl Future<Output = u64>,
        c: impl Future<Output = u64>,
    ) -> impl Future<Output = (u64, u64, u64)> {
        gather((a, b, c))
    }

    fn try_join_two(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64), ()>> {
        try_gather((a, b))
    }

    fn try_join_three(
        a: impl Future<Output = Sure>,
        b: impl Future<Output = Sure>,
        c: impl Future<Output = Sure>,
    ) -> impl Future<Output = Result<(u64, u64, u64), ()>> {
        try_gather((a, b, c))
    }
}

/// asyncio::sync.
#[derive(Debug)]
pub(crate) struct Sync;

impl Primitives for Sync {
    type Lock = Lock<u64>;
    type Semaphore = Semaphore;
    type Event = Event;
    type Queue = Queue<u64>;
    type Sorted = PriorityQueue<u64>;
    type Reply = Promise<u64>;
    type Latest = Watch;
    type ForAll = Broadcast;
}

/// `watch`.
#[derive(Debug)]
pub(crate) struct Watch;

impl Latest for Watch {
    type Sender = WatchSender<u64>;
    type Receiver = WatchReceiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        asyncio::sync::watch(0)
    }

    fn set(sender: &Self::Sender, value: u64) {
        sender.set(value);
    }

    async fn changed(receiver: &mut Self::Receiver) -> u64 {
        receiver.changed().await.expect("the sender is there")
    }
}

/// `broadcast`.
#[derive(Debug)]
pub(crate) struct Broadcast;

impl ForAll for Broadcast {
    type Sender = BroadcastSender<u64>;
    type Receiver = BroadcastReceiver<u64>;

    fn new(room: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>) {
        let (sender, first) = asyncio::sync::broadcast(room);
        (sender, vec![first; receivers])
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).expect("the receivers are there");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("it keeps up")
    }
}

impl Hold for Lock<u64> {
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
        let _permit = self.acquire().await;
        inside.await;
    }
}

impl Flag for Event {
    fn new() -> Self {
        Self::new()
    }

    fn set(&self) {
        self.set();
    }

    async fn taken(&self) {
        self.wait().await;
        self.clear();
    }
}

impl BoundedQueue for Queue<u64> {
    type Sender = Rc<Self>;
    type Receiver = Rc<Self>;

    fn new(room: usize) -> (Rc<Self>, Rc<Self>) {
        let queue = Rc::new(Self::new(room));
        (Rc::clone(&queue), queue)
    }

    async fn put(sender: &mut Rc<Self>, value: u64) {
        sender.put(value).await.expect("the queue is open");
    }

    async fn get(receiver: &mut Rc<Self>) -> u64 {
        receiver.get().await.expect("the queue is open")
    }
}

/// A queue without a bound, as the runtime's own channel.
impl Channel for Queue<u64> {
    type Sender = Rc<Self>;
    type Receiver = Rc<Self>;

    fn new() -> (Rc<Self>, Rc<Self>) {
        <Self as BoundedQueue>::new(0)
    }

    async fn send(sender: &Rc<Self>, value: u64) {
        sender.put(value).await.expect("the queue is open");
    }

    async fn receive(receiver: &mut Rc<Self>) -> u64 {
        receiver.get().await.expect("the queue is open")
    }
}

impl SortedQueue for PriorityQueue<u64> {
    fn new() -> Self {
        Self::new(0)
    }

    async fn put(&self, value: u64) {
        self.put(value).await.expect("the queue is open");
    }

    async fn get(&self) -> u64 {
        self.get().await.expect("the queue is open")
    }
}

impl Reply for Promise<u64> {
    type Setter = Self;
    type Waiter = Answer<u64>;

    fn new() -> (Self, Answer<u64>) {
        asyncio::sync::promise()
    }

    fn set(setter: Self, value: u64) {
        setter.set_result(value).expect("nobody else sets it");
    }

    async fn wait(waiter: Answer<u64>) -> u64 {
        waiter.await.expect("it is set")
    }
}

/// `to_thread` and `call_soon_threadsafe`.
#[derive(Debug)]
pub(crate) struct Pool;

impl Threads for Pool {
    const POSTS: bool = true;
    const PROCESSES: bool = true;
    type Handle = LoopHandle;

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let job = asyncio::to_thread(job);
        async move { job.await.expect("the job returns") }
    }

    fn handle() -> LoopHandle {
        asyncio::running_loop()
    }

    fn post(handle: &LoopHandle, callback: impl FnOnce() + Send + 'static) {
        handle
            .call_soon_threadsafe(callback)
            .expect("the loop runs");
    }
}
