//! Work that rarely has to wait: a look into a cache, and a fetch only if the page is not there.
//!
//! - A task spawned with `eager_start` takes its first step before the spawn returns. A page in the cache is there at
//!   once, without a turn of the loop.
//! - A task that has to wait goes on like any other task, together with the others.
//!
//! `cargo run --example eager_start`

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{SpawnOptions, Task, gather, sleep, spawn_with};

#[derive(Clone, Default)]
struct Pages(Rc<RefCell<HashMap<&'static str, String>>>);

impl Pages {
    async fn get(self, path: &'static str) -> String {
        let cached = self.0.borrow().get(path).cloned();
        if let Some(page) = cached {
            return page;
        }
        println!("fetching {path}");
        sleep(Duration::from_millis(10)).await;
        let page = format!("<h1>{path}</h1>");
        self.0.borrow_mut().insert(path, page.clone());
        page
    }

    fn get_soon(&self, path: &'static str) -> Task<String> {
        spawn_with(SpawnOptions::new().eager_start(), self.clone().get(path))
    }
}

#[asyncio::main]
async fn main() {
    let pages = Pages::default();
    let (home, about) = (pages.get_soon("/home"), pages.get_soon("/about"));
    println!("both are fetched at the same time");
    let (home, about) = gather((home, about)).await;
    println!("{} {}", home.unwrap(), about.unwrap());

    let again = pages.get_soon("/home");
    println!("in the cache, so it is done: {}", again.is_finished());
    println!("{}", again.await.unwrap());
}
