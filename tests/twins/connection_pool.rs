//! The example `connection_pool`, on tokio.
//!
//! A user that is cut cannot wait for the close of its connection, because a `Drop` does not await. A task does it, and
//! the user is told before the connection is closed.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    opened: AtomicU32,
    closing: TaskTracker,
}

/// A connection in use. Dropped, it goes back to its pool.
struct Pooled {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is in use")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is in use")
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let (connection, permit) = (self.connection.take(), self.permit.take());
        let connection = connection.expect("it was in use");
        if connection.is_busy {
            self.pool.closing.spawn(async move {
                connection.close().await;
                drop(permit);
            });
        } else {
            let mut idle = self.pool.idle.lock().expect("no panic with the lock");
            idle.push(connection);
        }
    }
}

impl Pool {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(most)),
            idle: Mutex::default(),
            opened: AtomicU32::new(0),
            closing: TaskTracker::new(),
        })
    }

    async fn connect(&self) -> Connection {
        sleep(Duration::from_millis(500)).await;
        Connection {
            number: self.opened.fetch_add(1, Ordering::Relaxed) + 1,
            is_busy: false,
        }
    }

    /// Waits for its turn, and takes a connection.
    async fn get(self: &Arc<Self>) -> Pooled {
        let permit = self.permits.clone().acquire_owned().await;
        let idle = self.idle.lock().expect("no panic with the lock").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect().await,
        };
        Pooled {
            pool: self.clone(),
            connection: Some(connection),
            permit: permit.ok(),
        }
    }

    async fn close(&self) {
        self.closing.close();
        self.closing.wait().await;
        let idle = std::mem::take(&mut *self.idle.lock().expect("no panic with the lock"));
        for connection in idle {
            connection.close().await;
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    let (start, pool) = (Instant::now(), Pool::new(2));
    let mut users = JoinSet::new();
    for user in ["ada", "grace", "barbara", ""] {
        let pool = pool.clone();
        users.spawn(async move {
            let mut connection = pool.get().await;
            let answer = connection.query(user).await;
            let number = connection.number;
            drop(connection);
            let at = start.elapsed().as_secs_f32();
            match answer {
                Ok(length) => println!("{at} s: connection {number} counts {length} for {user}"),
                Err(error) => println!("{at} s: connection {number}: {error}"),
            }
        });
    }
    let slow = pool.clone();
    users.spawn(async move {
        let slow = async { slow.get().await.query("a slow query").await };
        if timeout(Duration::from_secs(7), slow).await.is_err() {
            println!("{} s: timed out", start.elapsed().as_secs_f32());
        }
    });
    while let Some(ended) = users.join_next().await {
        ended?;
    }
    println!(
        "{} connections were opened",
        pool.opened.load(Ordering::Relaxed)
    );
    pool.close().await;
    Ok(())
}
