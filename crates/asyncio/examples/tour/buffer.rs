//! Three producers and two consumers around a bounded queue, its length as it changes, and a clean end.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use asyncio::sync::Queue;
use asyncio::{BoxError, TaskGroup, interval, sleep, task_group};

use crate::scene::{Report, Scene, Stage, promise};
use crate::words::{grouped, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "Three producers, two consumers, a buffer",
    play: |stage| Box::pin(play(stage)),
};

const ROOM: usize = 8;
const PRODUCERS: u64 = 3;

async fn play(stage: Stage) -> io::Result<Report> {
    let each = stage.size(100_u64, 20);
    let buffer = Queue::new(ROOM);
    let eaten = RefCell::new(Vec::new());
    let chart = RefCell::new(String::new());
    let left = Cell::new(0);
    let start = Instant::now();

    task_group(async |tg: TaskGroup<'_>| {
        let watching = tg.spawn(async {
            let mut beats =
                interval(stage.size(Duration::from_millis(25), Duration::from_millis(5)));
            loop {
                beats.tick().await;
                chart.borrow_mut().push(bar(buffer.qsize()));
                show(&chart.borrow(), buffer.qsize());
            }
            #[allow(unreachable_code)] // tells the group its type
            Ok::<(), BoxError>(())
        });
        let consumers: Vec<_> = [4, 6]
            .map(|millis| {
                let (buffer, eaten) = (&buffer, &eaten);
                tg.spawn(async move {
                    while let Ok(loaf) = buffer.get().await {
                        sleep(Duration::from_millis(millis)).await;
                        eaten.borrow_mut().push(loaf);
                    }
                    Ok(()) // the queue is shut down and empty
                })
            })
            .into();
        task_group(async |bakery: TaskGroup<'_>| {
            for producer in 0..PRODUCERS {
                let buffer = &buffer;
                bakery.spawn(async move {
                    for n in 0..each {
                        // Puts items in bursts, and waits while there is no room.
                        if n % 10 == 0 {
                            sleep(Duration::from_millis(45 + 20 * producer)).await;
                        }
                        buffer.put((producer, n)).await?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        left.set(buffer.qsize());
        buffer.shutdown(false);
        for consumer in consumers {
            consumer.await?;
        }
        watching.cancel();
        Ok(())
    })
    .await
    .map_err(|errors| io::Error::other(errors.to_string()))?;
    let took = start.elapsed();

    let mut eaten = eaten.into_inner();
    eaten.sort_unstable();
    let baked = (0..PRODUCERS).flat_map(|producer| (0..each).map(move |n| (producer, n)));
    promise(baked.eq(eaten), || {
        "not what was baked was eaten".to_owned()
    })?;
    Ok(Report::new(took)
        .happened(format!(
            "{} loaves baked and eaten, each once; where there was no room for a loaf its baker waited",
            grouped(PRODUCERS * each)
        ))
        .happened(format!(
            "at the end the bakers were done first, {} loaves left; then the eaters, nothing left",
            left.get()
        ))
        .line("queue", format!("│{}│ 0 to {ROOM} loaves in it", chart.into_inner()))
        .took(seconds(took))
        .in_threads("five threads, a mutex and two condition variables"))
}

/// A queue of this length, as a column.
fn bar(length: usize) -> char {
    [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][length.min(ROOM)]
}

/// Draws over the last chart, on a terminal only. A file gets the results alone.
fn show(chart: &str, length: usize) {
    let mut out = io::stdout();
    if out.is_terminal() {
        let recent = chart.chars().count().saturating_sub(60);
        let recent: String = chart.chars().skip(recent).collect();
        // If nobody can see it, nobody misses it.
        let _ = write!(out, "\r   {recent} {length} in the queue\x1b[K\r");
        let _ = out.flush();
    }
}
