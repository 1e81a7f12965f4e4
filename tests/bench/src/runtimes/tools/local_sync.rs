//! local-sync: semaphore, channel and oneshot for one thread, made for monoio.

use std::future::Future;

use local_sync::mpsc::bounded;
use local_sync::oneshot;
use local_sync::semaphore::Semaphore;

use crate::primitives::{BoundedQueue, Hold, Lacking, Primitives, Reply};

/// local-sync.
#[derive(Debug)]
pub(crate) struct LocalSync;

impl Primitives for LocalSync {
    type Lock = Lacking;
    type Semaphore = Semaphore;
    type Event = Lacking;
    type Queue = Bounded;
    type Sorted = Lacking;
    type Reply = Oneshot;
    type Latest = Lacking;
    type ForAll = Lacking;
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

/// local-sync's bounded channel.
#[derive(Debug)]
pub(crate) struct Bounded;

impl BoundedQueue for Bounded {
    type Sender = bounded::Tx<u64>;
    type Receiver = bounded::Rx<u64>;

    fn new(room: usize) -> (Self::Sender, Self::Receiver) {
        bounded::channel(room)
    }

    async fn put(sender: &mut Self::Sender, value: u64) {
        assert!(sender.send(value).await.is_ok(), "the receiver is there");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("a sender is there")
    }
}

/// local-sync's oneshot channel.
#[derive(Debug)]
pub(crate) struct Oneshot;

impl Reply for Oneshot {
    type Setter = oneshot::Sender<u64>;
    type Waiter = oneshot::Receiver<u64>;

    fn new() -> (Self::Setter, Self::Waiter) {
        oneshot::channel()
    }

    fn set(setter: Self::Setter, value: u64) {
        assert!(setter.send(value).is_ok(), "the receiver is there");
    }

    async fn wait(waiter: Self::Waiter) -> u64 {
        waiter.await.expect("it is set")
    }
}
