//! Order seeds: the same seed gives the same order, and every task runs.

use std::collections::HashSet;

use crate::support::{Trace, secs};
use asyncio_loop::{EventLoop, sleep, spawn, yield_now};

fn order(seed: u64, tasks: usize, rounds: usize) -> Vec<String> {
    let builder = EventLoop::builder().virtual_time(true).order_seed(seed);
    let mut event_loop = builder.build_loop().unwrap();
    let trace = Trace::default();
    event_loop
        .run_until_complete(async {
            let tasks: Vec<_> = (0..tasks)
                .map(|n| {
                    let trace = trace.clone();
                    spawn(async move {
                        for round in 0..rounds {
                            trace.note(format!("{n}.{round}"));
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .unwrap();
    trace.take()
}

#[test]
fn a_seed_gives_one_order_and_other_seeds_give_others() {
    assert_eq!(order(7, 6, 3), order(7, 6, 3));
    let orders: HashSet<_> = (0..20).map(|seed| order(seed, 6, 3)).collect();
    assert!(orders.len() > 15, "{}", orders.len());
}

#[test]
fn every_order_of_three_tasks_occurs() {
    let orders: HashSet<_> = (0..200).map(|seed| order(seed, 3, 1)).collect();
    assert_eq!(orders.len(), 6);
}

#[test]
fn a_round_is_finished_before_the_next_begins() {
    for seed in 0..20 {
        let order = order(seed, 5, 4);
        let rounds: Vec<_> = order
            .iter()
            .map(|step| step.split('.').nth(1).unwrap())
            .collect();
        assert!(rounds.is_sorted(), "{order:?}");
    }
}

#[test]
fn batches_larger_than_the_budget_lose_no_task() {
    let order = order(1, 1000, 2);
    assert_eq!(order.len(), 2000);
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), 2000);
}

#[test]
fn sleeps_still_end_in_order_of_their_deadlines() {
    let builder = EventLoop::builder().virtual_time(true).order_seed(3);
    let mut event_loop = builder.build_loop().unwrap();
    let trace = Trace::default();
    event_loop
        .run_until_complete(async {
            let tasks = [3, 1, 2].map(|n| {
                let trace = trace.clone();
                spawn(async move {
                    sleep(secs(n)).await;
                    trace.note(n.to_string());
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
        })
        .unwrap();
    assert_eq!(trace.take(), ["1", "2", "3"]);
}
