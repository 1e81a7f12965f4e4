//! A bakery: three bakers, a shelf for eight loaves, two sellers, and closing time.
//!
//! ```text
//! cargo run -p asyncio-sync --example producer_consumer
//! ```
//!
//! The shelf is a bounded queue: the bakers wait when it is full, and the sellers wait when it is
//! empty. When the last baker is done, the shelf is shut down, and each seller ends when it is
//! empty. A watcher draws the number of loaves on the shelf. Work is measured in turns of the
//! executor and not by a clock, so each run is the same.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use asyncio_sync::{Event, Queue};
use futures::executor::block_on;
use futures::future::join_all;

/// The bakers: name, number of loaves, turns for each loaf.
const BAKERS: [(&str, u32, u32); 3] = [("Ada", 12, 2), ("Bob", 9, 3), ("Cleo", 6, 5)];

/// The sellers: name, turns for each loaf. They come late, so the shelf fills up first.
const SELLERS: [(&str, u32); 2] = [("Dan", 3), ("Eve", 4)];
const SELLERS_COME_AFTER: u32 = 16;

struct Loaf {
    baker: &'static str,
}

fn main() {
    let shelf = Queue::new(8);
    let closed = Event::new();
    let sold = Cell::new(0);

    let bake = async |&(name, loaves, turns): &(&'static str, u32, u32)| {
        for _ in 0..loaves {
            work(turns).await;
            // Also true if the only free slot is reserved for another waiting baker.
            if shelf.full() {
                println!("{} {name} waits for room", Shelf(shelf.qsize()));
            }
            shelf
                .put(Loaf { baker: name })
                .await
                .expect("the shelf is open until all bakers are done");
        }
        println!("{} {name} goes home", Shelf(shelf.qsize()));
    };
    let bakery = async {
        join_all(BAKERS.iter().map(bake)).await;
        println!("{} all is baked: no more loaves", Shelf(shelf.qsize()));
        shelf.shutdown(false);
        shelf.join().await;
        println!("{} all is sold", Shelf(shelf.qsize()));
    };

    let sell = async |&(name, turns): &(&'static str, u32)| {
        work(SELLERS_COME_AFTER).await;
        let mut by_ada = 0;
        while let Ok(loaf) = shelf.get_item().await {
            work(turns).await;
            by_ada += u32::from(loaf.baker == "Ada");
            sold.set(sold.get() + 1);
            // The loaf is dropped here, which marks it done.
        }
        println!(
            "{} {name} goes home and has sold {by_ada} of Ada's",
            Shelf(shelf.qsize())
        );
    };
    let shop = async {
        join_all(SELLERS.iter().map(sell)).await;
        closed.set();
    };

    let watch = async {
        while !closed.is_set() {
            println!("{}", Shelf(shelf.qsize()));
            work(4).await;
        }
    };

    block_on(async { futures::join!(bakery, shop, watch) });

    let baked: u32 = BAKERS.iter().map(|(_, loaves, _)| loaves).sum();
    assert_eq!(sold.get(), baked);
    println!("{} loaves baked and sold", sold.get());
}

/// A drawing of the number of loaves on the shelf.
struct Shelf(usize);

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:<8}]", "=".repeat(self.0))
    }
}

/// Works for a number of turns, and yields after each.
async fn work(turns: u32) {
    for _ in 0..turns {
        let mut has_yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
