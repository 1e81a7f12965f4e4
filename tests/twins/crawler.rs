//! The example `crawler`, on tokio.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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

struct Crawl {
    requests: Semaphore,
    hosts: Mutex<HashMap<&'static str, Arc<Semaphore>>>,
}

/// A page and its links, or why there are none.
type Visited = (&'static str, Result<&'static [&'static str], String>);

impl Crawl {
    fn host_of(&self, url: &'static str) -> Arc<Semaphore> {
        let host = url.split('/').next().unwrap_or(url);
        let mut hosts = self.hosts.lock().expect("no panic with the lock");
        hosts
            .entry(host)
            .or_insert_with(|| Arc::new(Semaphore::new(1)))
            .clone()
    }

    async fn visit(self: Arc<Self>, url: &'static str) -> Visited {
        let _request = self.requests.acquire().await.expect("it stays open");
        let host = self.host_of(url);
        let _permit = host.acquire().await.expect("it stays open");
        let fetched = match timeout(Duration::from_secs(1), fetch(url)).await {
            Ok(fetched) => fetched.map_err(|error| error.to_string()),
            Err(_late) => Err("timed out".to_owned()),
        };
        (url, fetched)
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let start = Instant::now();
    let crawl = Arc::new(Crawl {
        requests: Semaphore::new(4),
        hosts: Mutex::default(),
    });
    let (mut seen, mut found) = (HashSet::new(), BTreeMap::new());
    let mut visits = JoinSet::new();
    seen.insert("a.example/");
    visits.spawn(crawl.clone().visit("a.example/"));
    let all = async {
        while let Some(visit) = visits.join_next().await {
            let (url, fetched) = visit.expect("no visit panics");
            for &link in fetched.as_deref().unwrap_or_default() {
                if seen.insert(link) {
                    visits.spawn(crawl.clone().visit(link));
                }
            }
            found.insert(url, fetched.map(|links| links.len()));
        }
    };
    let in_time = timeout(Duration::from_secs(2), all).await;
    visits.shutdown().await;
    for (url, outcome) in found {
        match outcome {
            Ok(links) => println!("{url}: {links} links"),
            Err(error) => println!("{url}: {error}"),
        }
    }
    let seen = seen.len();
    let ended = if in_time.is_ok() {
        "complete"
    } else {
        "cut by the deadline"
    };
    println!("{seen} pages seen, {ended} after {:?}", start.elapsed());
}
