//! A server on each loop of a pool.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::support::Outcome;
use asyncio::LoopPool;
use asyncio::http::{Request, Session, serve};
use asyncio::net::{TcpListener, shared_listeners};

#[test]
fn each_loop_serves_with_its_own_state_and_stops_in_order() -> Outcome {
    let pool = LoopPool::builder().loops(2).start()?;
    let listeners = shared_listeners(SocketAddr::from(([127, 0, 0, 1], 0)), pool.len())?;
    let address = listeners[0].local_addr()?;
    let servers = pool.run_on_each(
        listeners.into_iter().enumerate(),
        |(number, listener)| async move {
            let count = Rc::new(Cell::new(0)); // not `Send`
            let answer = async move |_: Request| {
                count.set(count.get() + 1);
                format!("loop {number}, request {}", count.get())
            };
            serve(TcpListener::from_std(listener)?, answer).await
        },
    )?;
    let mut answers = asyncio::run(async move {
        let mut answers = Vec::new();
        // A session each, so that each has a connection of its own.
        for _ in 0..50 {
            let session = Session::new();
            let response = session.get(format!("http://{address}/")).send().await?;
            answers.push(response.text().await?);
        }
        Ok::<_, asyncio::BoxError>(answers)
    })?;
    answers.sort();
    answers.dedup();
    assert_eq!(
        answers.len(),
        50,
        "each request is counted once: {answers:?}"
    );
    drop(servers);
    pool.stop(Duration::from_secs(5))?;
    Ok(())
}
