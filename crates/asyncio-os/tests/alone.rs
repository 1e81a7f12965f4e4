//! Tests that count all children and descriptors of their process, or lower its limits. So one runs at a time, and no
//! other test is in this program.
#![cfg(target_os = "linux")]

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use asyncio_executors::{gather_iter, timeout};
use asyncio_loop::{run, sleep};
use asyncio_os::process::{Command, Stdio};
use asyncio_os::signal::{Signal, signal};
use asyncio_testkit::{ms, secs};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Waits until no other test runs.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|error| error.into_inner())
}

/// Lowers a limit of the process until it is dropped.
struct Lowered(Resource, Rlimit);

impl Lowered {
    fn new(resource: Resource, current: u64) -> Self {
        let before = getrlimit(resource);
        let limit = Rlimit {
            current: Some(current),
            ..before
        };
        setrlimit(resource, limit).unwrap();
        Lowered(resource, before)
    }
}

impl Drop for Lowered {
    fn drop(&mut self) {
        setrlimit(self.0, self.1).unwrap();
    }
}

/// The descriptors of this program.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The ended children of this program that are not reaped.
fn zombies() -> usize {
    let me = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap();
    let stats =
        processes.filter_map(|process| fs::read_to_string(process.ok()?.path().join("stat")).ok());
    let is_ours = |stat: &String| {
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            return false;
        };
        let mut fields = rest.split(' ');
        fields.next() == Some("Z") && fields.next() == Some(&me)
    };
    stats.filter(is_ours).count()
}

/// The children of this process that are not reaped.
fn children() -> String {
    // Each thread has its own.
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children"));
    threads
        .map(|thread| of(thread.unwrap()).unwrap_or_default())
        .collect()
}

#[test]
fn a_thousand_short_ones_leave_nothing_behind() {
    let _alone = alone();
    run(async {
        let before = zombies();
        let all = (0..1000).map(|n| async move {
            let mut command = Command::new("true");
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            match child {
                Ok(child) if n % 3 == 0 => drop(child),
                Ok(child) => assert!(child.wait().await.unwrap().success()),
                // Too many for this machine.
                Err(error) => assert!(error.to_string().contains("cannot start"), "{error}"),
            }
        });
        gather_iter(all).await;
        while zombies() > before {
            sleep(ms(5)).await;
        }
    });
}

/// The names of the threads of this program that are this one's, or the reaper's. A new thread has the name of the
/// thread that starts it.
fn threads_like_this() -> Vec<String> {
    let name = |task: &Path| fs::read_to_string(task.join("comm")).unwrap_or_default();
    let here = name(Path::new("/proc/thread-self"));
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| name(&task.unwrap().path()));
    names
        .filter(|name| *name == here || name.starts_with("asyncio-reaper"))
        .collect()
}

#[test]
fn no_thread_waits_for_a_child_that_is_dropped_on_a_loop() {
    let _alone = alone();
    run(async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (stdin, id) = (child.stdin.take(), child.id().to_string());
        drop(child);
        let threads = threads_like_this();
        assert_eq!(threads.len(), 1, "{threads:?}");
        drop(stdin);
        while children().split(' ').any(|child| child == id) {
            sleep(ms(1)).await;
        }
    });
}

/// Pseudo-random numbers below a limit.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Starts a process that ends soon, on SIGTERM, or on SIGKILL alone, and lets it come to one of its ends.
async fn some_process(random: &mut Random) {
    let scripts = [
        "exit 3",
        "sleep 0.00$0; exit 3",
        "exec sleep 1000",
        "trap '' TERM; while :; do sleep 0.01; done",
        "sleep 1000 & exec sleep 1000",
        "head -c 100000 /dev/zero; exec cat",
    ];
    let script = scripts[random.below(scripts.len() as u64) as usize];
    let mut command = Command::shell(script);
    command
        .arg(random.below(10).to_string())
        .grace(ms(random.below(10)));
    // The group is one's own, so that a grandchild ends with it.
    command.process_group(0).kill_on_drop(true);
    if random.below(2) == 0 {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
    } else {
        command.stdin(Stdio::null()).stdout(Stdio::null());
    }
    let patience = Duration::from_micros(random.below(20_000));
    let grace = ms(random.below(10));
    match random.below(8) {
        0 => drop(timeout(patience, command.status()).await),
        1 => drop(timeout(patience, command.output()).await),
        2 => drop(command.spawn().unwrap()),
        3 => {
            let mut child = command.spawn().unwrap();
            drop(timeout(patience, child.communicate(b"")).await);
        }
        4 => {
            let child = command.spawn().unwrap();
            sleep(patience).await;
            child.stop(grace).await.unwrap();
        }
        5 => {
            let child = command.spawn().unwrap();
            child.send_signal(Signal::STOP).unwrap();
            sleep(patience).await;
            child.send_signal_to_group(Signal::KILL).unwrap();
            child.send_signal(Signal::CONT).unwrap();
            let status = child.wait().await.unwrap();
            assert!(matches!(
                (status.code(), status.signal()),
                (Some(0 | 3), _) | (_, Some(9))
            ));
        }
        6 => {
            let child = Rc::new(command.spawn().unwrap());
            let waits = (0..3).map(|_| timeout(patience, child.wait()));
            gather_iter(waits).await;
        }
        _ => {
            let child = command.spawn().unwrap();
            drop(timeout(patience, child.wait_or_stop(grace)).await);
        }
    }
}

#[test]
fn random_ends_leave_nothing_behind() {
    let _alone = alone();
    let seeds = match std::env::var_os("ASYNCIO_HEAVY") {
        Some(_) => 1..500,
        None => 1..7,
    };
    for seed in seeds {
        run(async move {
            let mut random = Random(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
            sleep(ms(1)).await; // the first one opens a timer
            let before = descriptors();
            let all = (0..20).map(|_| {
                let mut own = Random(random.below(u64::MAX) | 1);
                async move { some_process(&mut own).await }
            });
            gather_iter(all).await;
            let patience = timeout(secs(20), async {
                while !children().is_empty() || descriptors() > before {
                    sleep(ms(1)).await;
                }
            });
            let left = patience
                .await
                .map_err(|_| (descriptors() - before, children()));
            assert_eq!(
                left,
                Ok(()),
                "seed {seed}: descriptors and children are left"
            );
        });
    }
}

#[test]
fn too_few_descriptors_are_an_error_and_nothing_is_left() {
    let _alone = alone();
    run(async {
        // One that works, so that all that is kept is there.
        let mut cat = Command::new("cat");
        cat.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        cat.spawn().unwrap().communicate(b"").await.unwrap();
        sleep(ms(1)).await; // the first one opens a timer
        let before = descriptors();
        for room in 0..24 {
            let limited = Lowered::new(Resource::Nofile, (before - 1 + room) as u64);
            let started = cat.spawn();
            drop(limited);
            if let Ok(mut child) = started {
                child.communicate(b"x").await.unwrap();
                assert!(room > 3);
            } else {
                assert!(room < 20);
            }
            assert_eq!(descriptors(), before, "room for {room}");
        }
        for room in 0..24 {
            let endless = || {
                let mut sleep = Command::new("sleep");
                sleep.arg("1000").stdin(Stdio::null());
                sleep
            };
            let limited = Lowered::new(Resource::Nofile, (before - 1 + room) as u64);
            let started = endless().pipe(endless()).pipe(endless()).spawn();
            drop(limited);
            match started {
                Ok(mut running) => {
                    for child in running.children() {
                        child.kill().unwrap();
                    }
                }
                Err(error) => assert!(error.to_string().contains("cannot start"), "{error}"),
            }
            // Killed, and reaped in the background.
            while !children().is_empty() {
                sleep(ms(1)).await;
            }
            assert_eq!(descriptors(), before, "room for {room}");
        }
    });
}

#[test]
fn a_limit_of_the_size_cuts_a_write() {
    let _alone = alone();
    run(async {
        // Otherwise the limit ends the process by SIGXFSZ.
        let number = signal_hook::consts::SIGXFSZ;
        let _signals = signal(Signal::from_raw(number)).unwrap();
        let mut file = asyncio_os::fs::temp_file().await.unwrap();
        let limited = Lowered::new(Resource::Fsize, 6000);
        let error = file.write_all(&[7; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(file.position(), Some(6000));
        assert_eq!(file.metadata().await.unwrap().len(), 6000);
        // Of several parts that were accepted, the position tells how much was written.
        file.set_len(0).await.unwrap();
        file.seek(io::SeekFrom::Start(0)).await.unwrap();
        let outcome = async {
            for _ in 0..5 {
                file.write_behind(&[7; 4000]).await?;
            }
            file.settle().await
        };
        let error = outcome.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        drop(limited);
        let written = file.metadata().await.unwrap().len();
        assert_eq!((written, file.position()), (6000, Some(6000)));
        file.write_all(b"more").await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 6004);
    });
}
