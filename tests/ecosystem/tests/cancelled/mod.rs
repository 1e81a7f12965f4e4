//! Libraries of tokio's in tasks of ours that are cancelled in the middle: in groups, under limits, in shields, in
//! cleanups, by a host that goes away.

mod grpc;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use asyncio::tokio::{Guest, run};
use asyncio::{
    BoxError, TaskGroup, catch_cancel, on_cancel, race, running_loop, shield, sleep, spawn,
    task_group, timeout, to_thread,
};
use futures_util::{SinkExt, StreamExt};
use reqwest::Client;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalRuntime};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A server of small pages, on a thread of its own: `/hang` gives no answer, and each other path its name.
struct Site {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    /// The paths in the order in which they were asked for.
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Site {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            open: Arc::default(),
            asked: Arc::default(),
        };
        let (open, asked) = (site.open.clone(), site.asked.clone());
        thread::spawn(move || {
            let mut builder = Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (open, asked) = (open.clone(), asked.clone());
                    open.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        let _ = converse(stream, &asked).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        site
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until the server has been asked for `path`.
    async fn wait_asked(&self, path: &str) {
        while !self.asked().iter().any(|asked| asked == path) {
            sleep(ms(1)).await;
        }
    }

    /// Waits until so many connections are left.
    async fn wait_open(&self, left: usize) {
        while self.open.load(Ordering::SeqCst) != left {
            sleep(ms(1)).await;
        }
    }
}

async fn converse(
    stream: tokio::net::TcpStream,
    asked: &std::sync::Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut path = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.split(' ').nth(1) {
                Some(asked) if path.is_empty() => path = asked[1..].to_owned(),
                _ if line == "\r\n" => break,
                _ => {}
            }
        }
        asked.lock().unwrap().push(path.clone());
        if path == "hang" {
            let mut rest = [0; 64];
            while stream.read(&mut rest).await? > 0 {}
            return Ok(());
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}",
            path.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn get(client: &Client, url: String) -> Result<String, BoxError> {
    Ok(client.get(url).send().await?.text().await?)
}

/// Fails a test that stands still.
async fn soon<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(30), future).await;
    waited.expect("it stands still")
}

mod http {
    use super::*;

    #[test]
    fn a_limit_closes_the_connection_of_a_request_and_the_client_goes_on() {
        run(soon(async {
            let (site, client) = (Site::start(), client());
            let late = timeout(ms(20), get(&client, site.url("hang"))).await;
            assert!(late.is_err());
            site.wait_open(0).await;
            assert_eq!(get(&client, site.url("after")).await.unwrap(), "after");
        }));
    }

    #[test]
    fn a_failing_child_ends_the_requests_of_the_others() {
        run(soon(async {
            let (site, client) = (Site::start(), client());
            let (site, client) = (&site, &client);
            let failed = task_group(async |tg: TaskGroup<'_>| {
                for _ in 0..20 {
                    tg.spawn(get(client, site.url("hang")));
                }
                site.wait_open(20).await;
                tg.spawn(async { Err::<(), BoxError>("no".into()) });
                Ok(())
            });
            assert_eq!(failed.await.unwrap_err().into_first().to_string(), "no");
            site.wait_open(0).await;
        }));
    }

    #[test]
    fn a_shield_brings_its_request_to_the_end() {
        run(soon(async {
            let (site, client) = (Rc::new(Site::start()), client());
            let saved = Rc::new(RefCell::new(String::new()));
            let saving = spawn({
                let (site, saved) = (site.clone(), saved.clone());
                async move {
                    let work = async {
                        sleep(ms(5)).await;
                        *saved.borrow_mut() = get(&client, site.url("saved")).await.unwrap();
                    };
                    shield(work).await;
                }
            });
            asyncio::yield_now().await;
            saving.cancel();
            saving.await.unwrap(); // nothing is awaited after the shield
            assert_eq!(*saved.borrow(), "saved");
        }));
    }

    #[test]
    fn a_cleanup_sends_a_request_while_the_loop_closes() {
        let site = Arc::new(Site::start());
        let (asked, waits) = (site.clone(), site.clone());
        run(soon(async move {
            let client = client();
            spawn(async move {
                let work = get(&client, site.url("hang"));
                let goodbye = async {
                    get(&client, site.url("goodbye")).await.unwrap();
                };
                on_cancel(work, goodbye).await.unwrap();
            })
            .detach();
            while waits.asked().is_empty() {
                sleep(ms(1)).await;
            }
        }));
        assert_eq!(asked.asked(), ["hang", "goodbye"]);
    }

    #[test]
    fn hedged_requests_leave_no_connection_behind() {
        run(soon(async {
            let (site, client) = (Site::start(), client());
            for n in 0..50 {
                let quick = get(&client, site.url(&n.to_string()));
                let slow = get(&client, site.url("hang"));
                let won = race((quick, slow)).await;
                assert_eq!(won.unwrap(), n.to_string());
            }
            // The pool keeps those that were answered.
            while site.open.load(Ordering::SeqCst) > 2 {
                sleep(ms(1)).await;
            }
        }));
    }

    #[test]
    fn a_limit_of_tokio_drops_a_group_of_ours() {
        run(soon(async {
            let (site, client) = (Site::start(), client());
            let dropped = Rc::new(Cell::new(0));
            let group = task_group(async |tg: TaskGroup<'_>| {
                for _ in 0..3 {
                    tg.spawn(async {
                        let _on_drop = OnDrop(dropped.clone());
                        get(&client, site.url("hang")).await
                    });
                }
                Ok(())
            });
            assert!(tokio::time::timeout(ms(20), group).await.is_err());
            assert_eq!(dropped.get(), 3);
            site.wait_open(0).await;
        }));
    }
}

/// Counts its drops.
struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

mod databases {
    use super::*;
    use crate::servers::{Postgres, Redis};
    use sqlx::Row;
    use sqlx::sqlite::SqlitePoolOptions;

    async fn sqlite() -> sqlx::SqlitePool {
        let options = SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect("sqlite::memory:").await.unwrap();
        let table = "CREATE TABLE lines (line INTEGER NOT NULL)";
        sqlx::query(table).execute(&pool).await.unwrap();
        pool
    }

    async fn count(pool: &sqlx::SqlitePool) -> i64 {
        let row = sqlx::query("SELECT count(*) FROM lines").fetch_one(pool);
        row.await.unwrap().get(0)
    }

    #[test]
    fn a_cancelled_transaction_is_rolled_back_and_its_cleanup_has_the_connection() {
        run(soon(async {
            let pool = sqlite().await;
            let counted = Cell::new(-1);
            let work = async {
                let mut transaction = pool.begin().await.unwrap();
                let insert = sqlx::query("INSERT INTO lines VALUES (1)");
                insert.execute(&mut *transaction).await.unwrap();
                pending::<()>().await;
                transaction.commit().await.unwrap();
            };
            // The only connection of the pool, given back by the transaction that was dropped.
            let cleanup = async { counted.set(count(&pool).await) };
            timeout(ms(20), on_cancel(work, cleanup)).await.unwrap_err();
            assert_eq!(counted.get(), 0);
            pool.close().await;
        }));
    }

    #[test]
    fn a_wait_for_a_connection_is_cut_by_a_limit_of_ours() {
        run(soon(async {
            let pool = sqlite().await;
            let held = pool.acquire().await.unwrap();
            for _ in 0..10 {
                timeout(ms(2), pool.acquire()).await.map(drop).unwrap_err();
            }
            drop(held);
            assert_eq!(count(&pool).await, 0);
        }));
    }

    #[test]
    fn a_query_of_postgres_that_is_cancelled_in_the_middle_leaves_the_pool_whole() {
        let Some(server) = Postgres::start() else {
            return;
        };
        let url = server.url();
        run(soon(async move {
            let options = sqlx::postgres::PgPoolOptions::new().max_connections(2);
            let pool = options.connect(&url).await.unwrap();
            for _ in 0..5 {
                let slow = sqlx::query("SELECT pg_sleep(0.2)").execute(&pool);
                timeout(ms(10), slow).await.map(drop).unwrap_err();
                let row = sqlx::query("SELECT 7").fetch_one(&pool).await.unwrap();
                assert_eq!(row.get::<i32, _>(0), 7);
            }
            let pool = &pool;
            let failed = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async move {
                    sqlx::query("SELECT pg_sleep(0.2)").execute(pool).await?;
                    Ok::<_, BoxError>(())
                });
                tg.spawn(async move {
                    sqlx::query("SELECT nothing").execute(pool).await?;
                    Ok::<_, BoxError>(())
                });
                Ok(())
            });
            failed.await.unwrap_err();
            let row = sqlx::query("SELECT 7").fetch_one(pool).await.unwrap();
            assert_eq!(row.get::<i32, _>(0), 7);
        }));
        drop(server);
    }

    #[test]
    fn a_command_of_redis_that_is_cancelled_does_not_shift_the_answers() {
        let Some(server) = Redis::start() else {
            return;
        };
        let url = server.url();
        run(soon(async move {
            let client = redis::Client::open(url).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            for n in 0..100_u32 {
                let mut cut = connection.clone();
                let set = redis::cmd("SET").arg("a").arg(n).clone();
                // Cut after its first poll: the command is on its way, and its answer comes later.
                let sent = timeout(Duration::ZERO, set.query_async::<()>(&mut cut)).await;
                drop(sent);
                let echoed = redis::cmd("ECHO").arg(n).clone();
                let echoed: u32 = echoed.query_async(&mut connection).await.unwrap();
                assert_eq!(echoed, n);
            }
        }));
        drop(server);
    }
}

mod websockets {
    use super::*;

    #[test]
    fn a_cancelled_server_says_goodbye_to_all() {
        run(soon(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let greeted = Rc::new(Cell::new(0));
            let server = spawn({
                let greeted = greeted.clone();
                async move {
                    task_group(async |tg: TaskGroup<'_>| {
                        loop {
                            let (stream, _) = listener.accept().await?;
                            let greeted = greeted.clone();
                            tg.spawn(async move {
                                let mut socket = accept_async(stream).await?;
                                greeted.set(greeted.get() + 1);
                                match catch_cancel(socket.next()).await {
                                    Ok(_) => Ok::<_, BoxError>(()),
                                    Err(cancelled) => {
                                        socket.send(Message::text("goodbye")).await?;
                                        socket.close(None).await?;
                                        cancelled.resume().await
                                    }
                                }
                            });
                        }
                    })
                    .await
                    .unwrap_or(())
                }
            });
            let mut clients = Vec::new();
            for _ in 0..10 {
                clients.push(connect_async(url.as_str()).await.unwrap().0);
            }
            while greeted.get() < 10 {
                sleep(ms(1)).await;
            }
            server.cancel();
            assert!(server.await.is_err());
            for client in &mut clients {
                let message = client.next().await.unwrap().unwrap();
                assert_eq!(message, Message::text("goodbye"));
            }
        }));
    }
}

mod hosts {
    use super::*;

    #[test]
    fn guests_of_one_runtime_exchange_what_they_fetch() {
        let site = Arc::new(Site::start());
        LocalRuntime::new().unwrap().block_on(soon(async {
            let (there, mut here) = tokio::sync::mpsc::channel(1);
            let guests = (0..4).map(|n| {
                let (site, there) = (site.clone(), there.clone());
                let guest = Guest::new(async move {
                    let client = client();
                    for round in 0..20 {
                        let url = site.url(&format!("{n}-{round}"));
                        let page = timeout(Duration::from_secs(20), get(&client, url)).await;
                        there.send(page.unwrap().unwrap()).await.unwrap();
                    }
                });
                spawn_local(guest.unwrap())
            });
            let guests: Vec<_> = guests.collect();
            drop(there);
            let collector = Guest::new(async move {
                let mut pages = 0;
                while here.recv().await.is_some() {
                    pages += 1;
                }
                pages
            });
            let pages = spawn_local(collector.unwrap()).await.unwrap().unwrap();
            assert_eq!(pages, 80);
            for guest in guests {
                guest.await.unwrap().unwrap();
            }
        }));
    }

    #[test]
    fn a_guest_fetches_in_block_on_and_in_a_local_set() {
        let site = Site::start();
        let url = site.url("page");
        let fetch = |url: String| async move {
            let fetched = timeout(Duration::from_secs(20), async { get(&client(), url).await });
            let job = to_thread(|| 1);
            (fetched.await.unwrap().unwrap(), job.await.unwrap())
        };
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // As the future of block_on.
        let page = runtime.block_on(async { Guest::new(fetch(url.clone())).unwrap().await });
        assert_eq!(page.unwrap(), ("page".to_owned(), 1));
        // In a set, as a task and as a part of the future.
        let set = LocalSet::new();
        let page = set.block_on(&runtime, async {
            let task = spawn_local(Guest::new(fetch(url.clone())).unwrap());
            let part = Guest::new(fetch(url.clone())).unwrap();
            let (task, part) = tokio::join!(task, part);
            (task.unwrap().unwrap(), part.unwrap())
        });
        assert_eq!(page.0, page.1);
    }

    #[test]
    fn a_runtime_that_ends_first_closes_the_connections() {
        let site = Arc::new(Site::start());
        let runtime = LocalRuntime::new().unwrap();
        let dropped = Rc::new(Cell::new(0));
        runtime.block_on(soon(async {
            let (site, dropped) = (site.clone(), dropped.clone());
            let to_main = site.clone();
            let guest = Guest::new(async move {
                let _on_drop = OnDrop(dropped);
                let client = client();
                task_group(async |tg: TaskGroup<'_>| {
                    for _ in 0..5 {
                        tg.spawn(get(&client, to_main.url("hang")));
                    }
                    Ok::<_, BoxError>(())
                })
                .await
            });
            drop(spawn_local(guest.unwrap()));
            while site.open.load(Ordering::SeqCst) < 5 {
                tokio::time::sleep(ms(1)).await;
            }
        }));
        drop(runtime);
        assert_eq!(dropped.get(), 1);
        run(soon(async move { site.wait_open(0).await }));
    }

    #[test]
    fn tasks_of_tokio_cancel_tasks_of_ours_in_the_middle_of_a_request() {
        run(soon(async {
            let (site, client) = (Site::start(), client());
            let url = site.url("hang");
            let fetching = spawn(async move { get(&client, url).await });
            let handle = running_loop();
            site.wait_asked("hang").await;
            let target = fetching.as_ref();
            spawn_local(async move { target.cancel() });
            assert!(fetching.await.is_err());
            site.wait_open(0).await;
            let elsewhere = tokio::task::spawn_blocking(move || {
                handle
                    .run_coroutine_threadsafe(|| async { 7 })
                    .unwrap()
                    .wait()
            });
            assert_eq!(elsewhere.await.unwrap().unwrap(), 7);
        }));
    }

    #[test]
    fn a_thread_of_ours_blocks_on_the_runtime_of_the_host() {
        run(soon(async {
            let site = Site::start();
            let (host, url) = (tokio::runtime::Handle::current(), site.url("page"));
            let page = to_thread(move || {
                let client = client();
                host.block_on(async { get(&client, url).await.unwrap() })
            });
            assert_eq!(page.await.unwrap(), "page");
        }));
    }
}

mod tests_of_programs {
    use super::*;

    #[asyncio::test(host = "tokio")]
    async fn a_test_fetches_a_page() -> Result<(), BoxError> {
        let site = Site::start();
        assert_eq!(get(&client(), site.url("page")).await?, "page");
        Ok(())
    }

    /// Virtual time moves when the loop has nothing to do, and knows nothing of tokio's sockets, unless it is told.
    #[asyncio::test(host = "tokio", clock = "virtual")]
    async fn virtual_time_waits_for_a_page_if_the_program_says_so() -> Result<(), BoxError> {
        let site = Site::start();
        let client = client();
        let late = timeout(Duration::from_secs(3600), get(&client, site.url("hang"))).await;
        assert!(late.is_err());
        let _outside = running_loop().outside_work();
        let page = timeout(Duration::from_secs(3600), get(&client, site.url("page"))).await;
        assert_eq!(page??, "page");
        Ok(())
    }
}
