//! The futures crate's locks and channels.

use std::future::Future;

use futures::channel::{mpsc, oneshot};
use futures::lock::Mutex;
use futures::{SinkExt, StreamExt};

use crate::primitives::{BoundedQueue, Hold, Lacking, Primitives, Reply};

/// `futures::lock` and `futures::channel`.
#[derive(Debug)]
pub(crate) struct Futures;

impl Primitives for Futures {
    type Lock = Mutex<u64>;
    type Semaphore = Lacking;
    type Event = Lacking;
    type Queue = Mpsc;
    type Sorted = Lacking;
    type Reply = Oneshot;
    type Latest = Lacking;
    type ForAll = Lacking;
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

/// The bounded channel. It has one more place than the bound for each sender.
#[derive(Debug)]
pub(crate) struct Mpsc;

impl BoundedQueue for Mpsc {
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn new(room: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(room - 1)
    }

    async fn put(sender: &mut Self::Sender, value: u64) {
        sender.send(value).await.expect("the receiver is there");
    }

    async fn get(receiver: &mut Self::Receiver) -> u64 {
        receiver.next().await.expect("a sender is there")
    }
}

/// The oneshot channel.
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
