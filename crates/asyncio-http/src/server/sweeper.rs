//! The end of connections whose clients are too slow.
//!
//! A timer for each request would cost more than the rest of our work for it. So each server has one task that looks at
//! all connections from time to time, and counts these times. Connections note the count.

use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{sleep, spawn};

use super::connection::Wait;
use super::options::ServerBuilder;
use super::shared::{Open, Shared};

/// Starts the sweeper of a server, unless it runs.
pub(super) fn begin(shared: &Rc<Shared>) {
    let sweeper = shared.sweeper.take();
    let is_over = sweeper.as_ref().is_none_or(|task| task.is_finished());
    let sweeper = match sweeper {
        Some(task) if !is_over => task,
        _ => spawn(sweep(Rc::downgrade(shared))),
    };
    shared.sweeper.set(Some(sweeper));
}

/// Looks at the connections until there are none.
async fn sweep(server: std::rc::Weak<Shared>) {
    let Some(pause) = server.upgrade().map(|shared| pause(&shared.options)) else {
        return;
    };
    loop {
        sleep(pause).await;
        let Some(shared) = server.upgrade() else {
            return;
        };
        shared.ticks.count();
        let open = shared.connections.list();
        if open.is_empty() {
            return;
        }
        for Open { task, connection } in open {
            let Some((wait, ticks)) = connection.waits() else {
                continue;
            };
            let (limit, rate) = (limit(&shared.options, wait), shared.options.min_rate);
            let is_too_slow = match wait {
                Wait::Body => connection.sends.is_too_slow(pause, limit, rate),
                Wait::Write => connection.takes.is_too_slow(pause, limit, rate),
                Wait::Request | Wait::Head => false,
            };
            // The first of the ticks may have come at once.
            if !is_too_slow && pause.saturating_mul(ticks.saturating_sub(1)) < limit {
                continue;
            }
            match wait {
                // An idle HTTP/2 client is told, so that it knows which requests were not seen. A client that is late
                // with a head is told, too.
                Wait::Request | Wait::Head if !connection.is_asked.replace(true) => {
                    connection.is_late.set(wait == Wait::Head);
                    connection.stop.set();
                }
                _ => {
                    task.cancel();
                }
            }
        }
    }
}

fn limit(options: &ServerBuilder, wait: Wait) -> Duration {
    match wait {
        Wait::Request => options.keep_alive_timeout,
        Wait::Head => options.header_timeout,
        Wait::Body => options.read_timeout,
        Wait::Write => options.write_timeout,
    }
}

/// The time between two looks: a second, or a quarter of the shortest limit.
fn pause(options: &ServerBuilder) -> Duration {
    let limits =
        [Wait::Request, Wait::Head, Wait::Body, Wait::Write].map(|wait| limit(options, wait));
    let shortest = limits.into_iter().min().unwrap_or(Duration::MAX);
    (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}
