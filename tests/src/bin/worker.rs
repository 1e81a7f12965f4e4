//! A worker process, a program that should be one and is none, or a program that makes a pool of itself.
//!
//! The first argument names the scene, also where it is started as a worker.

#[cfg(unix)]
fn main() {
    scenes::main();
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod scenes {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use asyncio::{ProcessPool, run, sleep};
    use asyncio_tests::remote::{double, hangs, nothing, pid};

    pub(crate) fn main() {
        let scene = std::env::args().nth(1).unwrap_or_default();
        match scene.as_str() {
            // As a worker.
            "waits" => std::thread::sleep(Duration::from_secs(60)),
            "makes a pool" => makes_a_pool(),
            "exits" => std::process::exit(3),
            "writes" => writes(&std::env::args().nth(2).unwrap_or_default()),
            "is killed from start 2 to 6" => killed_from_start_2_to_6(),
            "is late from start 2" if count_of_starts(2) > 1 => {
                std::thread::sleep(Duration::from_millis(1_500));
            }
            "is late" => std::thread::sleep(Duration::from_millis(300)),
            _ => {}
        }
        asyncio::run_if_worker();
        match scene.as_str() {
            "own pool" => own_pool(),
            "workers outlive nobody" => workers_outlive_nobody(),
            "prints" => println!("a program of its own"),
            "forgotten" => forgotten(),
            other => panic!("there is no scene {other:?}"),
        }
    }

    /// A pool of this program, without a word about it.
    fn own_pool() {
        run(async {
            let pool = ProcessPool::builder().workers(2).build();
            let doubled = pool.run(double, 21).await.expect("it doubles");
            let others = pool.run(pid, ()).await.expect("it has one");
            println!("{doubled} {}", others != std::process::id());
        });
    }

    /// Prints its workers' numbers, one of them busy, and waits for its own end.
    fn workers_outlive_nobody() {
        run(async {
            let pool = ProcessPool::builder().workers(2).build();
            pool.start_workers().await.expect("they start");
            let busy = pool.run(hangs, ());
            sleep(Duration::from_millis(20)).await;
            let ids = pool
                .worker_ids()
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>();
            println!("{}", ids.join(" "));
            let _ = busy.await;
        });
    }

    /// Was started as a worker and does not know.
    fn makes_a_pool() {
        run(async {
            let pool = ProcessPool::builder().workers(4).build();
            let calls: Vec<_> = (0..10).map(|_| pool.run(nothing, ())).collect();
            for call in calls {
                let error = call.await.expect_err("it has no worker");
                eprintln!("in the program that forgot: {error}");
            }
        });
        std::thread::sleep(Duration::from_secs(60));
    }

    fn killed_from_start_2_to_6() {
        if (2..=6).contains(&count_of_starts(2)) {
            asyncio_tests::remote::kills_itself();
        }
    }

    /// The number of starts so far, with this one. A file, whose name is this argument, has a byte for each.
    fn count_of_starts(argument: usize) -> u64 {
        let path = std::env::args().nth(argument);
        let path = path.expect("the file is named");
        let mut starts = std::fs::OpenOptions::new();
        let mut starts = starts
            .append(true)
            .create(true)
            .open(path)
            .expect("it opens");
        starts.write_all(b".").expect("it is written");
        starts.metadata().expect("it has a length").len()
    }

    /// A pool of a program that forgets, which is this one.
    fn forgotten() {
        let started = std::time::Instant::now();
        run(async {
            let pool = ProcessPool::builder()
                .workers(4)
                .arg("makes a pool")
                .build();
            let calls: Vec<_> = (0..10).map(|_| pool.run(nothing, ())).collect();
            for call in calls {
                let error = call.await.expect_err("it has no worker");
                println!("{error}");
            }
        });
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    /// A worker that writes this to its parent, after or in place of saying hello.
    fn writes(what: &str) {
        let socket = std::io::stdin().as_fd().try_clone_to_owned();
        let socket = UnixStream::from(socket.expect("there is a socket"));
        let words = std::env::var("ASYNCIO_WORKER").expect("it is set");
        let numbered = |kind: u8, number: u64, body: &[u8]| {
            let length = body.len() as u32 + 9;
            let number = number.to_le_bytes();
            [&length.to_le_bytes(), &[kind][..], &number, body].concat()
        };
        let frame = |kind: u8, body: &[u8]| numbered(kind, 0, body);
        // To the first call that this is sent.
        let answer = |kind: u8, body: &[u8]| numbered(kind, 1, body);
        let hello = format!("asyncio worker {} {words}", std::process::id());
        let hello = frame(1, hello.as_bytes());
        // The parent may have seen enough.
        let send = |bytes: &[u8]| drop((&socket).write_all(bytes));
        match what {
            "zeros" => send(&[0; 100_000]),
            "another hello" => send(&frame(1, b"asyncio worker 1 of somebody else")),
            "a value first" => send(&frame(5, &[1])),
            _ => {
                // Its limits come first, and a call when it has said hello.
                let mut buf = [0; 64];
                let _ = (&socket).read(&mut buf[..13]);
                let _ = (&socket).read(&mut buf);
                send(&hello);
                if what == "hello and no more" {
                    count_of_starts(3);
                    std::process::exit(6);
                }
                let _ = (&socket).read(&mut buf);
                match what {
                    "a long frame" => send(&[255; 5]),
                    "an endless frame" => {
                        send(&[0, 0, 0, 3, 5]);
                        for _ in 0..1000 {
                            send(&[0; 65536]);
                        }
                    }
                    "an unknown kind" => send(&frame(77, b"?")),
                    "no kind" => send(&[0; 4]),
                    "hello again" => send(&hello),
                    "two answers" => send(&[answer(5, &[2]), answer(5, &[2])].concat()),
                    "nothing more, and has an heir" => {
                        count_of_starts(3);
                        // It ends when the parent has closed its end.
                        let mut heir = std::process::Command::new("cat");
                        let heir = heir.stdin(std::process::Stdio::inherit());
                        let heir = heir.stdout(std::process::Stdio::null()).spawn();
                        heir.expect("it starts");
                        std::process::exit(5);
                    }
                    "another answer when it may" => {
                        let path = std::env::args().nth(3).expect("the file is named");
                        send(&answer(5, &[2]));
                        while std::fs::metadata(&path).is_err() {
                            std::thread::sleep(Duration::from_millis(2));
                        }
                        send(&answer(5, &[2]));
                        std::fs::remove_file(&path).expect("it is there");
                    }
                    "an answer to another call" => send(&numbered(5, 2, &[2])),
                    "no text" => send(&answer(6, &[255, 254, 253])),
                    "a bad value" => send(&answer(5, &[255; 40])),
                    "half a frame" => {
                        send(&answer(5, &[1; 40])[..20]);
                        std::process::exit(4);
                    }
                    "nothing" => {
                        let _ = socket.shutdown(std::net::Shutdown::Both);
                        std::thread::sleep(Duration::from_secs(60));
                    }
                    other => panic!("there is nothing called {other:?}"),
                }
            }
        }
        // Until the parent goes, or kills this.
        let _ = std::io::copy(&mut &socket, &mut std::io::sink());
    }
}
