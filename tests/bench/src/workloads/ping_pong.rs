//! Two tasks that wait for each other in turn: a round trip is two wake-ups.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::Work;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::{Channel, Runtime};
use crate::signal::Signal;
use crate::workload::{Column, Countable, Workload};

const ROUND_TRIPS: u64 = 1_000;

/// Round trips over two flags.
#[derive(Debug)]
pub(crate) struct Wakers;

impl Work for Wakers {
    const WORKLOAD: Workload = Workload {
        name: "ping-pong",
        what: "ping-pong round trip between two tasks, bare wakers",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(async move {
            let ping = Rc::new(Signal::default());
            let pong = Rc::new(Signal::default());
            let over = Rc::new(Cell::new(false));

            let answering = {
                let (ping, pong, over) = (Rc::clone(&ping), Rc::clone(&pong), Rc::clone(&over));
                R::spawn(async move {
                    loop {
                        ping.taken().await;
                        if over.get() {
                            break;
                        }
                        pong.set();
                    }
                })
            };
            let asking = R::spawn(async move {
                let figures = measure(effort, ROUND_TRIPS, async || {
                    for _ in 0..ROUND_TRIPS {
                        ping.set();
                        pong.taken().await;
                    }
                })
                .await;
                over.set(true);
                ping.set();
                figures
            });
            let figures = R::join(asking).await;
            R::join(answering).await;
            figures
        }))
    }
}

/// Round trips over two of the runtime's own channels.
#[derive(Debug)]
pub(crate) struct OwnChannel;

impl Work for OwnChannel {
    const WORKLOAD: Workload = Workload {
        name: "ping-pong-channel",
        what: "ping-pong round trip, the runtime's own channel",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const OVER: u64 = u64::MAX;
        R::CAN.channel.then(|| {
            R::block_on(async move {
                let (ask, mut asked) = R::Channel::new();
                let (answer, mut answered) = R::Channel::new();
                let answering = R::spawn(async move {
                    loop {
                        match R::Channel::receive(&mut asked).await {
                            OVER => break,
                            value => R::Channel::send(&answer, value).await,
                        }
                    }
                });
                let asking = R::spawn(async move {
                    let figures = measure(effort, ROUND_TRIPS, async || {
                        for value in 0..ROUND_TRIPS {
                            R::Channel::send(&ask, value).await;
                            assert_eq!(R::Channel::receive(&mut answered).await, value);
                        }
                    })
                    .await;
                    R::Channel::send(&ask, OVER).await;
                    figures
                });
                let figures = R::join(asking).await;
                R::join(answering).await;
                figures
            })
        })
    }
}

/// Round trips between a task of the runtime and one of tokio's, over two channels of tokio's.
#[derive(Debug)]
pub(crate) struct TaskOfTokio;

impl Work for TaskOfTokio {
    const WORKLOAD: Workload = Workload {
        name: "ping-pong-tokio",
        what: "ping-pong round trip with a task of tokio's",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::block_on(async move {
            let (ask, mut asked) = mpsc::unbounded_channel();
            let (answer, mut answered) = mpsc::unbounded_channel();
            let answering = async move {
                while let Some(value) = asked.recv().await {
                    if answer.send(value).is_err() {
                        break;
                    }
                }
            };
            if !R::spawn_on_tokio(answering) {
                return None;
            }
            let asking = R::spawn(async move {
                measure(effort, ROUND_TRIPS, async || {
                    for value in 0..ROUND_TRIPS {
                        ask.send(value).expect("the task of tokio's is there");
                        assert_eq!(answered.recv().await, Some(value));
                    }
                })
                .await
            });
            Some(R::join(asking).await)
        })
    }
}
