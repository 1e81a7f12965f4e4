//! A thousand fetches from an HTTP server, both in the same loop, beside the time that one after the other would take.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::http::{FetchError, Request, Server, Session};
use asyncio::net::TcpListener;
use asyncio::{sleep, try_gather_iter};

use crate::machine::open_files;
use crate::scene::{Progress, Report, Scene, Stage, promise};
use crate::words::{grouped, rate, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "Fetches from an HTTP server, all at once",
    play: |stage| Box::pin(play(stage)),
};

/// The time that the server takes for a page.
const DELAY: Duration = Duration::from_millis(5);
/// The number of connections of the client, at most.
const CONNECTIONS: u64 = 100;

async fn play(stage: Stage) -> io::Result<Report> {
    let fetches = stage.size(1_000_u64, 200);
    let served = Rc::new(Cell::new(0_u64));
    let page = {
        let served = served.clone();
        async move |request: Request| {
            sleep(DELAY).await;
            served.set(served.get() + 1);
            format!("<h1>{}</h1>", request.uri().path())
        }
    };
    let server = Server::builder().start(page, [TcpListener::bind("127.0.0.1:0").await?]);
    let base = format!("http://{}", server.addresses()[0]);
    // Two files for each connection, and some for everything else.
    let files = open_files(2 * CONNECTIONS + 64);
    let most = usize::try_from(CONNECTIONS.min(files.saturating_sub(64) / 2).max(1));
    let most = most.map_err(io::Error::other)?;
    let session = Session::builder().max_per_host(most).build();
    let fetch = async |n: u64| -> Result<u64, FetchError> {
        let page = session.get(format!("{base}/page/{n}")).send().await?;
        Ok(page.error_for_status()?.bytes().await?.len() as u64)
    };

    // A few, one after the other, tell what all would take.
    let start = Instant::now();
    for n in 0..10 {
        fetch(n).await.map_err(io::Error::other)?;
    }
    let in_turn = start.elapsed().mul_f64(fetches as f64 / 10.0);

    let progress = Progress::new(fetches, "pages");
    let shown = stage.show(&progress);
    let start = Instant::now();
    let all = (0..fetches).map(async |n| {
        let size = fetch(n).await?;
        progress.step();
        Ok::<_, FetchError>(size)
    });
    let sizes = try_gather_iter(all).await.map_err(io::Error::other)?;
    let took = start.elapsed();
    drop(shown);

    let connections = server.connections();
    let in_order = server.shutdown(Duration::from_secs(5)).await;
    promise(sizes.len() as u64 == fetches, || {
        "pages are missing".to_owned()
    })?;
    promise(served.get() == fetches + 10, || {
        format!("the server has served {} pages", served.get())
    })?;
    promise(connections <= most, || {
        format!("the client had {connections} connections")
    })?;
    promise(in_order, || "the server did not stop in order".to_owned())?;
    Ok(Report::new(took)
        .happened(format!(
            "{} pages of {} ms each, over {connections} connections; {} bytes",
            grouped(fetches),
            DELAY.as_millis(),
            grouped(sizes.iter().sum())
        ))
        .took(format!(
            "{}: {} pages a second; one after the other {}",
            seconds(took),
            rate(fetches, took),
            seconds(in_turn)
        ))
        .in_threads(stage.threads.cost_of(2 * connections as u64)))
}
