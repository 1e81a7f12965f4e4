//! The operations that a workload needs from a library's locks and queues.
//!
//! There is a trait for each kind, as narrow as the workloads need. [`Lacking`] takes the place of a missing kind.

use std::future::Future;

/// A library's locks and queues, one type for each kind.
pub(crate) trait Primitives: 'static {
    type Lock: Hold;
    type Semaphore: Hold;
    type Event: Flag;
    type Queue: BoundedQueue;
    type Sorted: SortedQueue;
    type Reply: Reply;
    type Latest: Latest;
    type ForAll: ForAll;
}

/// A lock or a semaphore.
pub(crate) trait Hold: 'static {
    const HERE: bool = true;

    fn new() -> Self;

    /// Holds the lock while `inside` runs.
    fn hold<F: Future<Output = ()>>(&self, inside: F) -> impl Future<Output = ()>;
}

/// An event.
pub(crate) trait Flag: 'static {
    const HERE: bool = true;

    fn new() -> Self;
    fn set(&self);

    /// Waits until the event is set, and clears it.
    fn taken(&self) -> impl Future<Output = ()>;
}

/// A bounded queue of numbers, for several producers and one consumer.
pub(crate) trait BoundedQueue: 'static {
    const HERE: bool = true;
    type Sender: Clone + 'static;
    type Receiver: 'static;

    fn new(room: usize) -> (Self::Sender, Self::Receiver);
    fn put(sender: &mut Self::Sender, value: u64) -> impl Future<Output = ()>;
    fn get(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// A queue that gives the smallest number first.
pub(crate) trait SortedQueue: 'static {
    const HERE: bool = true;

    fn new() -> Self;
    fn put(&self, value: u64) -> impl Future<Output = ()>;
    fn get(&self) -> impl Future<Output = u64>;
}

/// A oneshot for a number.
pub(crate) trait Reply: 'static {
    const HERE: bool = true;
    type Setter: 'static;
    type Waiter: 'static;

    fn new() -> (Self::Setter, Self::Waiter);
    fn set(setter: Self::Setter, value: u64);
    fn wait(waiter: Self::Waiter) -> impl Future<Output = u64>;
}

/// A channel for the latest number.
pub(crate) trait Latest: 'static {
    const HERE: bool = true;
    type Sender: 'static;
    type Receiver: Clone + 'static;

    fn new() -> (Self::Sender, Self::Receiver);
    fn set(sender: &Self::Sender, value: u64);

    /// Waits for a number that this receiver has not seen.
    fn changed(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// A channel that gives each number to all receivers.
pub(crate) trait ForAll: 'static {
    const HERE: bool = true;
    type Sender: 'static;
    type Receiver: 'static;

    /// A channel that keeps at least `room` numbers.
    fn new(room: usize, receivers: usize) -> (Self::Sender, Vec<Self::Receiver>);
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = ()>;
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// The missing kinds of a library. No workload calls them.
#[derive(Debug)]
pub(crate) struct Lacking;

const NEVER: &str = "asked for what a library lacks";

impl Primitives for Lacking {
    type Lock = Self;
    type Semaphore = Self;
    type Event = Self;
    type Queue = Self;
    type Sorted = Self;
    type Reply = Self;
    type Latest = Self;
    type ForAll = Self;
}

impl Hold for Lacking {
    const HERE: bool = false;

    fn new() -> Self {
        unreachable!("{NEVER}")
    }

    async fn hold<F: Future<Output = ()>>(&self, _inside: F) {}
}

impl Flag for Lacking {
    const HERE: bool = false;

    fn new() -> Self {
        unreachable!("{NEVER}")
    }

    fn set(&self) {}

    async fn taken(&self) {}
}

impl BoundedQueue for Lacking {
    const HERE: bool = false;
    type Sender = ();
    type Receiver = ();

    fn new(_room: usize) -> ((), ()) {
        unreachable!("{NEVER}")
    }

    async fn put((): &mut (), _value: u64) {}

    async fn get((): &mut ()) -> u64 {
        0
    }
}

impl SortedQueue for Lacking {
    const HERE: bool = false;

    fn new() -> Self {
        unreachable!("{NEVER}")
    }

    async fn put(&self, _value: u64) {}

    async fn get(&self) -> u64 {
        0
    }
}

impl Reply for Lacking {
    const HERE: bool = false;
    type Setter = ();
    type Waiter = ();

    fn new() -> ((), ()) {
        unreachable!("{NEVER}")
    }

    fn set((): (), _value: u64) {}

    async fn wait((): ()) -> u64 {
        0
    }
}

impl Latest for Lacking {
    const HERE: bool = false;
    type Sender = ();
    type Receiver = ();

    fn new() -> ((), ()) {
        unreachable!("{NEVER}")
    }

    fn set((): &(), _value: u64) {}

    async fn changed((): &mut ()) -> u64 {
        0
    }
}

impl ForAll for Lacking {
    const HERE: bool = false;
    type Sender = ();
    type Receiver = ();

    fn new(_room: usize, _receivers: usize) -> ((), Vec<()>) {
        unreachable!("{NEVER}")
    }

    async fn send((): &(), _value: u64) {}

    async fn recv((): &mut ()) -> u64 {
        0
    }
}
