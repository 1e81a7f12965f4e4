//! A pool of connections: at most two are open, users wait for one in order, and a broken one is replaced.
//!
//! `bracket` gives a connection back however its user ends. A user that is cancelled in the middle of a query leaves an
//! answer on the way, so its connection is closed.
//!
//! `cargo run --example connection_pool`

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use asyncio::sync::Semaphore;
use asyncio::{BoxError, TaskGroup, bracket, shield, sleep, task_group, time, timeout};

struct Connection {
    number: u32,
    /// A query was sent, and its answer not read.
    is_busy: bool,
}

impl Connection {
    async fn query(&mut self, text: &str) -> io::Result<usize> {
        self.is_busy = true;
        sleep(Duration::from_secs(text.len() as u64)).await;
        self.is_busy = false;
        match text {
            "" => Err(io::Error::other("an empty query")),
            text => Ok(text.len()),
        }
    }

    async fn close(self) {
        sleep(Duration::from_millis(100)).await;
        println!("connection {} closed", self.number);
    }
}

struct Pool {
    permits: Semaphore,
    idle: RefCell<Vec<Connection>>,
    opened: Cell<u32>,
}

impl Pool {
    fn new(most: usize) -> Self {
        Self {
            permits: Semaphore::new(most),
            idle: RefCell::default(),
            opened: Cell::new(0),
        }
    }

    async fn connect(&self) -> Connection {
        sleep(Duration::from_millis(500)).await;
        self.opened.set(self.opened.get() + 1);
        Connection {
            number: self.opened.get(),
            is_busy: false,
        }
    }

    /// Waits for a connection, and lends it to `work`.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> T) -> T {
        let _permit = self.permits.acquire().await;
        let idle = self.idle.borrow_mut().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await,
        };
        let give_back = async |connection: Connection| {
            if connection.is_busy {
                shield(connection.close()).await;
            } else {
                self.idle.borrow_mut().push(connection);
            }
        };
        bracket(connection, work, give_back).await
    }

    async fn close(self) {
        for connection in self.idle.into_inner() {
            connection.close().await;
        }
    }
}

#[asyncio::main(clock = "virtual")]
async fn main() -> Result<(), BoxError> {
    let (start, pool) = (time(), Pool::new(2));
    task_group(async |tg: TaskGroup<'_>| {
        for user in ["ada", "grace", "barbara", ""] {
            let pool = &pool;
            tg.spawn_ok(async move {
                let answer = pool.with(async |c| (c.number, c.query(user).await)).await;
                let (number, answer) = answer;
                let at = (time() - start).as_secs_f32();
                match answer {
                    Ok(length) => {
                        println!("{at} s: connection {number} counts {length} for {user}")
                    }
                    Err(error) => println!("{at} s: connection {number}: {error}"),
                }
            });
        }
        let slow = pool.with(async |c| c.query("a slow query").await);
        tg.spawn_ok(async {
            if let Err(late) = timeout(Duration::from_secs(7), slow).await {
                println!("{} s: {late}", (time() - start).as_secs_f32());
            }
        });
        Ok(())
    })
    .await?;
    println!("{} connections were opened", pool.opened.get());
    pool.close().await;
    Ok(())
}
