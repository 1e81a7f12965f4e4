//! The floor: the cost of the work without a runtime's duties.
//!
//! A bare executor (`task`), a ring of timer ticks (`ticks`) and an epoll loop without an executor
//! for the sockets (`echo`). No other thread may wake its tasks, a panic takes all of it down, no
//! task has a name, is cancelled or is found again, time has ticks of a millisecond, and sockets
//! and timers know nothing of each other. A runtime's distance from the floor is the cost of its duties.

mod echo;
mod task;
mod ticks;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::group::NoGroup;
use crate::primitives::Lacking;
use crate::runtime::{Abilities, Channel, Runtime, Through};
use crate::threads::NoThreads;
use crate::web::NoWeb;
use crate::workloads::echo::Progress;

/// The bare executor, ticks and epoll loop.
#[derive(Debug)]
pub(crate) struct Floor;

impl Runtime for Floor {
    type Task<T: 'static> = task::Task<T>;
    type Channel = Deque;
    type Group = NoGroup;
    type Primitives = Lacking;
    type Threads = NoThreads;
    type Web = NoWeb;
    type System = super::system::blocking::Blocking;

    const CAN: Abilities = Abilities {
        foreign_wakes: false,
        own_yield: false,
        timeout: true,
        channel: true,
    };

    // The same loop, for comparison.
    const THROUGH: &'static [Through] = &[Through::Buffers, Through::Protocol];

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        let mut main = task::spawn(main);
        loop {
            task::run_ready();
            if let Some(output) = main.take_output() {
                return output;
            }
            ticks::wait_and_wake();
        }
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> task::Task<F::Output> {
        task::spawn(future)
    }

    fn join<T: 'static>(task: task::Task<T>) -> impl Future<Output = T> + 'static {
        task
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        ticks::sleep(duration)
    }

    async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut limit = pin!(ticks::sleep(limit));
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            limit.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        echo::serve(&listener, buffer, &progress).expect("epoll does what it is asked");
    }
}

/// A deque and a waker.
#[derive(Debug)]
pub(crate) struct Deque;

/// The state that the two ends of a channel share.
#[derive(Default)]
pub(crate) struct Shared {
    values: RefCell<VecDeque<u64>>,
    receiving: Cell<Option<Waker>>,
}

impl Channel for Deque {
    type Sender = Rc<Shared>;
    type Receiver = Rc<Shared>;

    fn new() -> (Rc<Shared>, Rc<Shared>) {
        let shared = Rc::new(Shared::default());
        (Rc::clone(&shared), shared)
    }

    async fn send(sender: &Rc<Shared>, value: u64) {
        sender.values.borrow_mut().push_back(value);
        if let Some(waker) = sender.receiving.take() {
            waker.wake();
        }
    }

    async fn receive(receiver: &mut Rc<Shared>) -> u64 {
        poll_fn(|context| match receiver.values.borrow_mut().pop_front() {
            Some(value) => Poll::Ready(value),
            None => {
                receiver.receiving.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
