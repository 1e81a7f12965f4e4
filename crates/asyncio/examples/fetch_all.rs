//! Fetches a thousand URLs at the same time, with a limit and without, and prints the time that one after the other
//! would take.
//!
//! `cargo run --release --features http --example fetch_all`. The pages come from a server in the same program, which
//! takes 10 ms for each. `-- 200` fetches fewer.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use asyncio::http::{FetchError, Request, Server, Session};
use asyncio::net::TcpListener;
use asyncio::{BoxError, interval, sleep, spawn, try_gather_iter};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The time that the server takes for each page.
const DELAY: Duration = Duration::from_millis(10);

/// Fetches all pages at the same time, and returns the bytes of each.
async fn fetch_all(
    session: &Session,
    urls: &[String],
    progress: &ProgressBar,
) -> Result<Vec<usize>, FetchError> {
    let fetches = urls.iter().map(async |url| {
        let page = session.get(url).send().await?.error_for_status()?;
        let size = page.bytes().await?.len();
        progress.inc(1);
        Ok(size)
    });
    try_gather_iter(fetches).await
}

#[asyncio::main]
async fn main() -> Result<(), BoxError> {
    let number = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => 1000,
    };
    let page = async |request: Request| {
        sleep(DELAY).await;
        format!("<h1>{}</h1>", request.uri().path())
    };
    let server = Server::builder().start(page, [TcpListener::bind("127.0.0.1:0").await?]);
    let base = format!("http://{}", server.addresses()[0]);
    let urls: Vec<_> = (0..number).map(|n| format!("{base}/page/{n}")).collect();

    // A few, one after the other, tell what all would take.
    let few = urls.len().min(20);
    let session = Session::new();
    let start = Instant::now();
    for url in &urls[..few] {
        session.get(url).send().await?.bytes().await?;
    }
    let one = start.elapsed() / u32::try_from(few.max(1))?;
    let in_turn = one * u32::try_from(urls.len())?;
    println!("one after the other: {:.1} s", in_turn.as_secs_f64());

    for limit in [20, 200] {
        let session = Session::builder().max_per_host(limit).build();
        let progress = bar(urls.len() as u64);
        let start = Instant::now();
        let sizes = fetch_all(&session, &urls, &progress).await?;
        let took = start.elapsed();
        progress.finish_and_clear();
        let bytes: usize = sizes.iter().sum();
        println!(
            "at most {limit} at a time: {} pages, {bytes} bytes in {:.2} s, {:.0} times as fast",
            sizes.len(),
            took.as_secs_f64(),
            in_turn.as_secs_f64() / took.as_secs_f64()
        );
    }
    server.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// A progress bar on a terminal. A task of ours draws it, so it needs no thread.
fn bar(length: u64) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} pages, {elapsed}");
    bar.set_style(style.expect("the template is valid"));
    let drawn = bar.clone();
    spawn(async move {
        let mut beats = interval(Duration::from_millis(100));
        while !drawn.is_finished() {
            beats.tick().await;
            drawn.tick();
        }
    })
    .detach();
    bar
}
