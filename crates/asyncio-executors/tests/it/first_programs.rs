//! The programs one writes first with a group, each as a newcomer would: they compile as they stand.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use asyncio_executors::{BoxError, TaskGroup, task_group};
use asyncio_loop::{EventLoop, sleep};

fn run<T>(main: impl Future<Output = Result<T, BoxError>>) -> T {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().expect("a selector");
    let outcome = event_loop.run_until_complete(main);
    outcome.expect("it ends").expect("it succeeds")
}

#[test]
fn fetch_many_and_collect_the_handles() {
    async fn fetch(url: &str) -> Result<&str, BoxError> {
        sleep(Duration::from_millis(url.len() as u64)).await;
        Ok(url.strip_prefix("https://").ok_or("no such scheme")?)
    }

    let hosts = run(async {
        let urls = vec![String::from("https://rust"), String::from("https://python")];
        let hosts = task_group(async |tg: TaskGroup| {
            let mut pages = Vec::new();
            for url in &urls {
                pages.push(tg.spawn(fetch(url)));
            }
            let mut hosts = Vec::new();
            for page in pages {
                hosts.push(page.await?);
            }
            Ok(hosts)
        })
        .await?;
        Ok(hosts.join(" "))
    });
    assert_eq!(hosts, "rust python");
}

#[test]
fn disjoint_mutable_borrows() {
    let counts = run(async {
        let (mut even, mut odd) = (0, 0);
        let mut by_name = BTreeMap::from([("a", 1), ("b", 2)]);
        task_group(async |tg: TaskGroup| {
            tg.spawn(async {
                sleep(Duration::from_millis(1)).await;
                even += 2;
                Ok(())
            });
            tg.spawn(async {
                odd += 1;
                Ok(())
            });
            for count in by_name.values_mut() {
                tg.spawn(async move {
                    *count *= 10;
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        Ok((even, odd, by_name["a"], by_name["b"]))
    });
    assert_eq!(counts, (2, 1, 10, 20));
}

#[test]
fn a_server_with_self_whose_children_spawn_children() {
    struct Server {
        clients: u32,
        served: Cell<u32>,
    }

    impl Server {
        async fn serve(&self) -> Result<(), BoxError> {
            task_group(async |tg: TaskGroup| {
                let connections = tg.clone();
                tg.spawn(async move {
                    for client in 0..self.clients {
                        sleep(Duration::from_millis(1)).await; // accept
                        connections.spawn(self.handle(client));
                    }
                    Ok(())
                });
                Ok(())
            })
            .await?;
            Ok(())
        }

        async fn handle(&self, _client: u32) -> Result<(), BoxError> {
            sleep(Duration::from_millis(10)).await;
            self.served.set(self.served.get() + 1);
            Ok(())
        }
    }

    let served = run(async {
        let server = Server {
            clients: 5,
            served: Cell::new(0),
        };
        server.serve().await?;
        Ok(server.served.get())
    });
    assert_eq!(served, 5);
}

#[test]
fn a_recursive_tree_of_groups() {
    struct Folder {
        size: u64,
        folders: Vec<Folder>,
    }

    fn total(folder: &Folder) -> Pin<Box<dyn Future<Output = Result<u64, BoxError>> + '_>> {
        Box::pin(async move {
            let inside = task_group(async |tg: TaskGroup| {
                let mut sizes = Vec::new();
                for folder in &folder.folders {
                    sizes.push(tg.spawn(total(folder)));
                }
                let mut sum = 0;
                for size in sizes {
                    sum += size.await?;
                }
                Ok(sum)
            })
            .await?;
            Ok(folder.size + inside)
        })
    }

    fn tree(depth: u32) -> Folder {
        let folders = (0..depth).map(|_| tree(depth - 1)).collect();
        Folder { size: 1, folders }
    }

    // 1 + 4 + 4·3 + 4·3·2 + 4·3·2·1
    assert_eq!(run(async { total(&tree(4)).await }), 65);
}

#[test]
fn chunks_of_one_array() {
    let squares = run(async {
        let mut numbers: Vec<u64> = (0..10).collect();
        task_group(async |tg: TaskGroup| {
            for chunk in numbers.chunks_mut(3) {
                tg.spawn(async move {
                    for number in chunk {
                        sleep(Duration::from_millis(1)).await;
                        *number *= *number;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        Ok(numbers)
    });
    assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
}
