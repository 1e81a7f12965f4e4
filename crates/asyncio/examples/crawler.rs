//! A crawler with four requests at a time, and one for each host. Each request has a time limit, and all have a
//! deadline. Pages that were found by the deadline are kept.
//!
//! The pages borrow the crawl's state, without `Arc` and `Mutex`. The web is a table, so that this runs without a
//! network.
//!
//! `cargo run --example crawler`

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::Semaphore;
use asyncio::{BoxError, TaskGroup, move_on_after, sleep, task_group, time, timeout};

/// The pages: how long each takes, in milliseconds, and what it links to.
const WEB: &[(&str, u64, &[&str])] = &[
    (
        "a.example/",
        100,
        &["a.example/news", "b.example/", "c.example/"],
    ),
    ("a.example/news", 200, &["a.example/", "a.example/missing"]),
    (
        "b.example/",
        300,
        &["b.example/1", "b.example/2", "b.example/3"],
    ),
    ("b.example/1", 400, &[]),
    ("b.example/2", 400, &[]),
    ("b.example/3", 400, &["d.example/"]),
    ("c.example/", 60_000, &[]),
    ("d.example/", 9_000, &[]),
];

async fn fetch(url: &str) -> Result<&'static [&'static str], BoxError> {
    let page = WEB.iter().find(|page| page.0 == url);
    let (_, millis, links) = page.ok_or("no such page")?;
    sleep(Duration::from_millis(*millis)).await;
    Ok(links)
}

#[derive(Default)]
struct Crawl {
    seen: RefCell<HashSet<&'static str>>,
    hosts: RefCell<HashMap<&'static str, Rc<Semaphore>>>,
    /// The number of links of each page, or why there is none.
    found: RefCell<BTreeMap<&'static str, Result<usize, String>>>,
}

impl Crawl {
    fn host_of(&self, url: &'static str) -> Rc<Semaphore> {
        let host = url.split('/').next().unwrap_or(url);
        let mut hosts = self.hosts.borrow_mut();
        hosts
            .entry(host)
            .or_insert_with(|| Rc::new(Semaphore::new(1)))
            .clone()
    }

    /// Fetches a page, unless it was seen before, and starts a child for each of its links.
    async fn visit<'env>(&'env self, tg: TaskGroup<'env>, url: &'static str) {
        if !self.seen.borrow_mut().insert(url) {
            return;
        }
        let host = self.host_of(url);
        let permit = host.acquire().await;
        let fetched = match timeout(Duration::from_secs(1), fetch(url)).await {
            Ok(fetched) => fetched.map_err(|error| error.to_string()),
            Err(late) => Err(late.to_string()),
        };
        drop(permit);
        for &link in fetched.as_deref().unwrap_or_default() {
            tg.spawn_ok(Box::pin(self.visit(tg.clone(), link)));
        }
        let outcome = fetched.map(|links| links.len());
        self.found.borrow_mut().insert(url, outcome);
    }
}

#[asyncio::main(clock = "virtual")]
async fn main() {
    let (start, crawl) = (time(), Crawl::default());
    let all = task_group(async |tg: TaskGroup<'_>| {
        tg.limit(4);
        tg.spawn_ok(crawl.visit(tg.clone(), "a.example/"));
        Ok(())
    });
    let in_time = move_on_after(Duration::from_secs(2), all).await;
    for (url, outcome) in crawl.found.take() {
        match outcome {
            Ok(links) => println!("{url}: {links} links"),
            Err(error) => println!("{url}: {error}"),
        }
    }
    let seen = crawl.seen.borrow().len();
    let ended = if in_time.is_some() {
        "complete"
    } else {
        "cut by the deadline"
    };
    println!("{seen} pages seen, {ended} after {:?}", time() - start);
}
