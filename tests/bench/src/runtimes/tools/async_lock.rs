//! async-lock, and async-channel with a bound, as programs on smol use them.

use std::future::Future;

use async_lock::{Mutex, Semaphore};

use crate::primitives::{BoundedQueue, Hold, Lacking, Primitives};

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
