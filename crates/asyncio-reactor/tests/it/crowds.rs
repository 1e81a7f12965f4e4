//! Sources with many waiters: an event wakes the first ones, and the rest while the source stays
//! ready.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use asyncio_reactor::{Direction, Interest, Reactor, Registered};
use mio::unix::pipe::{self, Receiver, Sender};
use proptest::prelude::*;

use crate::support::{CountingWaker, LONG, NOW};

fn source(reactor: &Reactor) -> (Sender, Registered<Receiver>) {
    let (sender, receiver) = pipe::new().unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let read = |mut pipe: &Receiver| pipe.read(&mut [0]);
    assert!(receiver.poll_read_with(&mut cx, 1, read).is_pending());
    reactor.turn(NOW).unwrap();
    (sender, receiver)
}

struct Task<'a, T> {
    future: Option<Pin<Box<dyn Future<Output = T> + 'a>>>,
    woken: Arc<CountingWaker>,
    waker: std::task::Waker,
    polled: usize,
}

impl<'a, T> Task<'a, T> {
    fn new(future: impl Future<Output = T> + 'a) -> Self {
        let (woken, waker) = CountingWaker::new();
        Task {
            future: Some(Box::pin(future)),
            woken,
            waker,
            polled: usize::MAX,
        }
    }

    /// Polls the future if it was woken, or never polled.
    fn run(&mut self) -> Option<T> {
        if self.polled == self.woken.get() {
            return None;
        }
        self.polled = self.woken.get();
        self.poll()
    }

    fn poll(&mut self) -> Option<T> {
        let future = self.future.as_mut()?;
        match future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(value) => {
                self.future = None;
                Some(value)
            }
            Poll::Pending => None,
        }
    }

    fn is_over(&self) -> bool {
        self.future.is_none()
    }
}

fn read_byte(source: &Registered<Receiver>) -> impl Future<Output = u8> + '_ {
    let mut buf = [0];
    async move {
        let read = source.io(Direction::Read, |mut pipe| pipe.read(&mut buf));
        assert_eq!(read.await.unwrap(), 1);
        buf[0]
    }
}

const MANY: usize = 2000;

#[test]
fn all_are_woken_while_the_source_stays_ready() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, source) = source(&reactor);
    let mut tasks: Vec<_> = (0..MANY).map(|_| Task::new(source.readable())).collect();
    for task in &mut tasks {
        assert!(task.run().is_none());
    }
    sender.write_all(b"x").unwrap();
    let mut turns = 0;
    while tasks.iter().any(|task| !task.is_over()) {
        // Only the first of these turns may wait.
        reactor.turn(LONG).unwrap();
        turns += 1;
        assert!(
            turns < 20,
            "each turn wakes twice as many as the turn before"
        );
        for task in &mut tasks {
            if let Some(outcome) = task.run() {
                outcome.unwrap();
            }
        }
    }
    assert!(tasks.iter().all(|task| task.woken.get() == 1));
}

#[test]
fn few_are_woken_for_a_byte_that_one_task_reads() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, source) = source(&reactor);
    let mut tasks: Vec<_> = (0..MANY).map(|_| Task::new(read_byte(&source))).collect();
    for task in &mut tasks {
        assert!(task.run().is_none());
    }
    let mut order = Vec::new();
    for byte in 0..MANY {
        sender.write_all(&[byte as u8]).unwrap();
        reactor.turn(LONG).unwrap();
        for (at, task) in tasks.iter_mut().enumerate() {
            if let Some(read) = task.run() {
                assert_eq!(read, byte as u8);
                order.push(at);
            }
        }
        // The rest of the crowd is not woken: the byte has been read.
        reactor.turn(NOW).unwrap();
    }
    assert_eq!(order.len(), MANY);
    let wakes: usize = tasks.iter().map(|task| task.woken.get()).sum();
    assert!(wakes <= 17 * MANY, "{wakes} wakes for {MANY} bytes");
}

#[test]
fn a_woken_task_that_is_never_polled_delays_no_other() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, source) = source(&reactor);
    let mut tasks: Vec<_> = (0..200).map(|_| Task::new(read_byte(&source))).collect();
    for task in &mut tasks {
        assert!(task.run().is_none());
    }
    sender.write_all(b"x").unwrap();
    for _ in 0..10 {
        reactor.turn(LONG).unwrap();
        // All tasks but one are never polled again.
        if tasks[199].run().is_some() {
            return;
        }
    }
    panic!("the last task was not woken");
}

#[test]
fn a_waiter_of_a_crowd_that_is_polled_early_leaves_no_waker() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, source) = source(&reactor);
    let mut tasks: Vec<_> = (0..100).map(|_| Task::new(source.readable())).collect();
    for task in &mut tasks {
        assert!(task.run().is_none());
    }
    sender.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    let last = &mut tasks[99];
    assert_eq!(last.woken.get(), 0);
    assert!(last.poll().is_some());
    assert_eq!(Arc::strong_count(&last.woken), 2);
    while reactor.turn(NOW).unwrap() > 0 || tasks[98].woken.get() == 0 {}
    assert_eq!(tasks[99].woken.get(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Spawn(bool),
    Cancel(usize),
    Send(u8),
    /// A turn. Afterwards the woken tasks run, except every nth.
    Turn(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(Step::Spawn),
        2 => (0..100usize).prop_map(Step::Cancel),
        2 => (1..30u8).prop_map(Step::Send),
        3 => (2..5usize).prop_map(Step::Turn),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Tasks read, only watch, are cancelled, or are not polled for a while. No byte is lost, comes
    /// twice or out of order, and no task waits while there is something to read.
    #[test]
    fn no_task_waits_while_there_is_data(steps in steps()) {
        let reactor = Reactor::new().unwrap();
        let (mut sender, source) = source(&reactor);
        let mut sent = VecDeque::new();
        let mut next = 0_u8;
        let mut tasks: Vec<Task<'_, Option<u8>>> = Vec::new();
        let run = |tasks: &mut Vec<Task<'_, Option<u8>>>, sent: &mut VecDeque<u8>, but: usize| {
            for (at, task) in tasks.iter_mut().enumerate() {
                if at % but == but - 1 {
                    continue;
                }
                if let Some(Some(byte)) = task.run() {
                    assert_eq!(Some(byte), sent.pop_front());
                }
            }
            tasks.retain(|task| !task.is_over());
        };
        for step in steps {
            match step {
                Step::Spawn(reads) => tasks.push(if reads {
                    Task::new(async { Some(read_byte(&source).await) })
                } else {
                    Task::new(async {
                        source.readable().await.unwrap();
                        None
                    })
                }),
                Step::Cancel(at) if at < tasks.len() => drop(tasks.remove(at)),
                Step::Cancel(_) => {}
                Step::Send(bytes) => {
                    for _ in 0..bytes {
                        sender.write_all(&[next]).unwrap();
                        sent.push_back(next);
                        next = next.wrapping_add(1);
                    }
                }
                Step::Turn(but) => {
                    reactor.turn(NOW).unwrap();
                    run(&mut tasks, &mut sent, but);
                }
            }
        }
        // Until no task makes progress.
        for _ in 0..50 {
            reactor.turn(NOW).unwrap();
            run(&mut tasks, &mut sent, usize::MAX);
        }
        prop_assert!(tasks.is_empty() || sent.is_empty(), "{} wait for {} bytes", tasks.len(), sent.len());
    }
}
