//! async-lock, async-channel with a bound, and async-broadcast, as programs on smol use them.

use std::future::Future;

use async_lock::{Mutex, Semaphore};

use crate::primitives::{BoundedQueue, ForAll, Hold, Lacking, Primitives};

/// async-lock and async-channel.
#[derive(Debug)]
pub(crate) struct AsyncLock;

impl Primitives for AsyncLock {
    type Lock = Mutex<u64>;
    type Semaphore = Semaphore;
    type Event = Lacking;
    type Queue = Bounded;
    type Sorted = Lacking;
    type Reply = Lacking;
    type Latest = Lacking;
    type ForAll = Broadcast;
}

/// async-broadcast, whose senders wait for the slowest receiver.
#[derive(Debug)]
pub(crate) struct Broadcast;

impl ForAll for Broadcast {
    type Sender = async_broadcast::Sender<u64>;
    type Receiver = async_broadcast::Receiver<u64>;

    fn new(room: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>) {
        let (sender, first) = async_broadcast::broadcast(room);
        (sender, vec![first; receivers])
    }

    async fn send(sender: &Self::Sender, value: u64) {
        let sent = sender.broadcast_direct(value).await;
        sent.expect("the receivers are there");
    }

    async fn recv(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv_direct().await.expect("the sender is there")
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
        let _permit = self.acquire().await;
        inside.await;
    }
}

/// async-channel's bounded channel.
#[derive(Debug)]
pub(crate) struct Bounded;

impl BoundedQueue for Bounded {
    type Sender = async_channel::Sender<u64>;
    type Receiver = async_channel::Receiver<u64>;

    fn new(room: usize) -> (Self::Sender, Self::Receiver) {
        async_channel::bounded(room)
    }

    async fn put(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect("the receiver is there");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("a sender is there")
    }
}
