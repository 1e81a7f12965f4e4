//! The cost of the local path: nanoseconds per operation, the median of many rounds.
//!
//! `cargo run --release -p asyncio-task --example measure`

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use asyncio_task::{Tasks, spawn};

fn median(rounds: usize, per_round: usize, mut f: impl FnMut()) -> f64 {
    let mut all: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_nanos() as f64 / per_round as f64
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[rounds / 2]
}

async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn main() {
    let tasks = Tasks::new(|| ());
    tasks.enter(&(), || {
        let spawn_join = median(200, 1000, || {
            let main = spawn(async {
                let all: Vec<_> = (0..1000u32).map(|n| spawn(async move { n })).collect();
                for task in all {
                    std::hint::black_box(task.await.unwrap());
                }
            });
            while tasks.run_one() {}
            assert!(main.is_finished());
        });
        println!("spawn+join, batches of 1000   {spawn_join:6.1} ns");
        for n in [1usize, 1000, 20_000] {
            let yields = 2_000_000 / n / 10;
            let cost = median(11, yields * n, || {
                for _ in 0..n {
                    spawn(async move {
                        for _ in 0..yields {
                            yield_now().await;
                        }
                    })
                    .detach();
                }
                while tasks.run_one() {}
            });
            println!("self-wake among {n:6} tasks  {cost:6.1} ns");
        }
    });
}
