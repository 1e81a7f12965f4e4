//! The spans and events for tokio-console, heard by a subscriber that follows the rules of the console. A console that
//! is one is in `tests/ecosystem`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use asyncio::net::{
    StreamReader, StreamWriter, TcpListener, TcpStream, UdpSocket, open_connection, start_server,
};
use asyncio::sync::{
    Event, Lock, Queue, Semaphore, ThreadEvent, promise, thread_promise, thread_queue,
};
use asyncio::{Task, TaskGroup, call_soon, sleep, spawn, task_group, timeout, yield_now};
use asyncio_tests::ms;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Metadata, Subscriber};

/// A subscriber that keeps what a console would show.
#[derive(Clone, Default)]
struct Console(Arc<Shared>);

#[derive(Default)]
struct Shared {
    last: AtomicU64,
    seen: Mutex<Seen>,
    /// If not 0, every call with a multiple of this number panics.
    panics: AtomicUsize,
    calls: AtomicUsize,
    /// The next calls, so many, wake a task of the program that is watched.
    waker: Mutex<Option<(usize, std::task::Waker)>>,
}

#[derive(Default)]
struct Seen {
    spans: BTreeMap<u64, Span>,
    /// The spans that are entered on the thread of the loop.
    stack: Vec<u64>,
    /// Rules that were broken.
    faults: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Span {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
    polls: usize,
    clones: usize,
    drops: usize,
    wakes: usize,
    self_wakes: usize,
    /// The states of a resource, or the results of the polls of a wait.
    states: Vec<String>,
    /// For a wait: the task that polled it last, and its resource.
    task: Option<u64>,
    resource: Option<u64>,
    is_closed: bool,
}

impl Span {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }
}

/// How far the numbers of tasks of two loops are apart. The tests run at once, so each of their loops has any number.
const APART: u64 = 1_000_000_000_000;

impl Span {
    /// The number of a task on its loop, from that in the process.
    fn task_number(&self, field: &str) -> u64 {
        let number: u64 = self.get(field).parse().unwrap();
        assert_eq!((number / APART).to_string(), self.get("loop"));
        number % APART
    }
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

const TASK: &str = "runtime.spawn";
const RESOURCE: &str = "runtime.resource";
const WAIT: &str = "runtime.resource.async_op";

impl Console {
    /// Runs `main` with a loop on virtual time, watched by this.
    fn watch<T>(&self, main: impl AsyncFnOnce() -> T) -> T {
        tracing::subscriber::with_default(self.clone(), || {
            asyncio::EventLoop::builder()
                .virtual_time(true)
                .build_loop()
                .unwrap()
                .run_until_complete(main())
                .unwrap()
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap()
    }

    /// Misbehaves, if that was asked for.
    fn called(&self) {
        let waker = {
            let mut waker = self.0.waker.lock().unwrap();
            waker.as_mut().and_then(|(left, waker)| {
                *left = left.checked_sub(1)?;
                Some(waker.clone())
            })
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        let panics = self.0.panics.load(Ordering::Relaxed);
        assert!(panics == 0 || !call.is_multiple_of(panics), "on purpose");
    }

    fn all(&self, name: &str) -> Vec<Span> {
        let seen = self.seen();
        let spans = seen.spans.values().filter(|span| span.name == name);
        spans.cloned().collect()
    }

    fn task(&self, name: &str) -> Span {
        let mut tasks = self.all(TASK);
        tasks.retain(|task| task.get("task.name") == name);
        assert_eq!(tasks.len(), 1, "{name}: {tasks:?}");
        tasks.remove(0)
    }

    /// Asserts the facts that hold when all has ended.
    fn assert_balanced(&self) {
        let seen = self.seen();
        assert_eq!(seen.faults, <[&str; 0]>::default());
        assert!(seen.stack.is_empty());
        for span in seen.spans.values() {
            assert!(span.is_closed, "{span:?}");
            assert_eq!(span.clones, span.drops, "wakers are left: {span:?}");
        }
    }
}

impl Seen {
    /// The span of the nth task that was spawned.
    fn nth_task(&self, n: usize) -> Option<u64> {
        let tasks = self.spans.iter().filter(|(_, span)| span.name == TASK);
        tasks.map(|(id, _)| *id).nth(n - 1)
    }

    fn first_entered(&self, name: &str) -> Option<u64> {
        let is = |id: &&u64| self.spans[id].name == name;
        self.stack.iter().rev().find(is).copied()
    }

    fn event(&mut self, target: &str, fields: &BTreeMap<&'static str, String>) {
        match target {
            "runtime::waker" => {
                let id = fields["task.id"].parse().unwrap();
                let is_self = self.stack.contains(&id);
                let span = self.spans.get_mut(&id).unwrap();
                match fields["op"].as_str() {
                    "waker.clone" => span.clones += 1,
                    "waker.drop" => span.drops += 1,
                    wake => {
                        span.wakes += 1;
                        span.self_wakes += usize::from(is_self);
                        span.drops += usize::from(wake == "waker.wake");
                    }
                }
            }
            "runtime::resource::state_update" => {
                let resource = self.first_entered(RESOURCE).unwrap();
                let (name, value) = fields.iter().find(|(name, _)| !name.contains('.')).unwrap();
                let state = format!("{name} {value}");
                self.spans.get_mut(&resource).unwrap().states.push(state);
            }
            "runtime::resource::poll_op" => {
                let task = self.first_entered(TASK);
                let resource = self.first_entered(RESOURCE);
                let wait = self.first_entered(WAIT).unwrap();
                let wait = self.spans.get_mut(&wait).unwrap();
                wait.states.push(format!("ready {}", fields["is_ready"]));
                (wait.task, wait.resource) = (task, resource);
            }
            _ => self.faults.push(format!("an event of {target}")),
        }
    }
}

impl Subscriber for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut span = Span {
            name: attributes.metadata().name(),
            ..Span::default()
        };
        attributes.record(&mut Fields(&mut span.fields));
        if span.name == WAIT && self.seen().first_entered(RESOURCE).is_none() {
            self.seen().faults.push("a wait for nothing".to_owned());
        }
        self.seen().spans.insert(id, span);
        self.called();
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.seen().event(event.metadata().target(), &fields);
        self.called();
    }

    fn enter(&self, id: &Id) {
        let id = id.into_u64();
        let mut seen = self.seen();
        let is_task = seen.spans[&id].name == TASK;
        if is_task && seen.first_entered(TASK).is_some() {
            let fault = format!("task {id} is entered in another");
            seen.faults.push(fault);
        }
        if seen.spans[&id].is_closed {
            seen.faults.push(format!("{id} is entered after its end"));
        }
        seen.spans.get_mut(&id).unwrap().polls += 1;
        seen.stack.push(id);
        drop(seen);
        self.called();
    }

    fn exit(&self, id: &Id) {
        let mut seen = self.seen();
        if seen.stack.pop() != Some(id.into_u64()) {
            let fault = format!("{id:?} is exited, but is not the innermost");
            seen.faults.push(fault);
        }
        drop(seen);
        self.called();
    }

    fn clone_span(&self, id: &Id) -> Id {
        let mut seen = self.seen();
        let counts = seen.spans.get_mut(&id.into_u64()).unwrap();
        let copies = counts.fields.entry("copies").or_default();
        copies.push('+');
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut seen = self.seen();
        let span = seen.spans.get_mut(&id.into_u64()).unwrap();
        let is_last = span.fields.entry("copies").or_default().pop().is_none();
        span.is_closed |= is_last;
        drop(seen);
        self.called();
        is_last
    }
}

mod tasks {
    use super::*;

    #[test]
    fn each_is_a_span_with_its_place_name_and_parent() {
        let console = Console::default();
        let line = Cell::new(0);
        console.watch(async || {
            line.set(line!() + 1);
            let parent = asyncio::spawn_with(asyncio::SpawnOptions::new().name("parent"), async {
                spawn(async {}).await.unwrap();
            });
            parent.await.unwrap();
        });
        let [main, parent, child] = &console.all(TASK)[..] else {
            panic!("{:?}", console.all(TASK));
        };
        assert_eq!(
            (main.get("kind"), main.task_number("task.id")),
            ("block_on", 1)
        );
        assert_eq!(
            [parent.get("kind"), parent.get("task.name")],
            ["task", "parent"]
        );
        assert_eq!(parent.task_number("task.parent"), 1);
        assert!(parent.get("loc.file").ends_with("console.rs"));
        assert_eq!(parent.get("loc.line"), line.get().to_string());
        assert_ne!(parent.get("loc.col"), "");
        assert_eq!(child.task_number("task.id"), 3);
        assert_eq!(child.task_number("task.parent"), 2);
        assert_ne!(child.get("size.bytes"), "");
        console.assert_balanced();
    }

    #[test]
    fn those_of_two_loops_have_different_numbers() {
        let console = Console::default();
        for _ in 0..2 {
            console.watch(async || spawn(async {}).await.unwrap());
        }
        let numbers = console.all(TASK).into_iter().map(|task| {
            let [id, of] = ["task.id", "loop"].map(|field| task.get(field).parse::<u64>().unwrap());
            (of, id - of * APART)
        });
        let numbers: Vec<_> = numbers.collect();
        let [(first, 1), (also_first, 2), (second, 1), (also_second, 2)] = numbers[..] else {
            panic!("{numbers:?}");
        };
        assert!(first == also_first && second == also_second && first < second);
    }

    #[test]
    fn callbacks_are_not_shown() {
        let console = Console::default();
        console.watch(async || {
            call_soon(|| ());
            asyncio::call_later(ms(1), || ());
            sleep(ms(2)).await;
        });
        assert_eq!(console.all(TASK).len(), 1);
        console.assert_balanced();
    }

    #[test]
    fn steps_and_wakes_are_counted() {
        let console = Console::default();
        console.watch(async || {
            let yields = asyncio::spawn_with(asyncio::SpawnOptions::new().name("yields"), async {
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            let waits = asyncio::spawn_with(asyncio::SpawnOptions::new().name("waits"), yields);
            waits.await.unwrap().unwrap();
        });
        let yields = console.task("yields");
        // The last is the drop of the future.
        assert_eq!([yields.polls, yields.wakes, yields.self_wakes], [4, 3, 3]);
        let waits = console.task("waits");
        assert_eq!([waits.polls, waits.wakes, waits.self_wakes], [2, 1, 0]);
        console.assert_balanced();
    }

    #[test]
    fn each_end_closes_the_span() {
        let console = Console::default();
        console.watch(async || {
            let cancelled = spawn(pending::<()>());
            yield_now().await;
            cancelled.cancel();
            assert!(cancelled.await.is_err());
            drop(spawn(pending::<()>()));
            spawn(async { panic!("on purpose") }).await.unwrap_err();
            spawn(pending::<()>()).detach(); // until the loop closes
        });
        assert_eq!(console.all(TASK).len(), 5);
        console.assert_balanced();
    }

    #[test]
    fn a_wake_from_another_thread_is_counted() {
        let console = Console::default();
        console.watch(async || {
            let task = spawn(yield_now());
            let waker = task.as_ref().waker();
            let watched = Dispatch::new(console.clone());
            let elsewhere = move || tracing::dispatcher::with_default(&watched, || waker.wake());
            thread::spawn(elsewhere).join().unwrap();
            task.await.unwrap();
        });
        let task = &console.all(TASK)[1];
        assert_eq!([task.wakes, task.self_wakes], [2, 1]);
        console.assert_balanced();
    }
}

mod groups {
    use super::*;

    #[test]
    fn a_child_is_shown_and_the_body_is_a_part_of_its_task() {
        let console = Console::default();
        console.watch(async || {
            let sum = Cell::new(0);
            task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    sleep(ms(1)).await;
                    sum.set(sum.get() + 1);
                    Ok::<_, asyncio::BoxError>(())
                });
                sleep(ms(2)).await;
                sum.set(sum.get() + 1);
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(sum.get(), 2);
        });
        let [main, child] = &console.all(TASK)[..] else {
            panic!("{:?}", console.all(TASK));
        };
        assert_eq!(
            (child.get("kind"), child.task_number("task.parent")),
            ("task", 1)
        );
        // Each of the sleeps is a wait of the task that polls it.
        let waits = console.all(WAIT);
        let tasks: Vec<_> = waits.iter().map(|wait| wait.task.unwrap()).collect();
        assert_eq!(tasks.len(), 2);
        assert_ne!(tasks[0], tasks[1]);
        assert!(main.wakes >= 1 && child.wakes >= 1);
        console.assert_balanced();
    }

    #[test]
    fn nested_groups_are_entered_one_at_a_time() {
        let console = Console::default();
        console.watch(async || {
            let nest = |depth: u32| async move {
                task_group(async |tg: TaskGroup<'_>| {
                    for _ in 0..depth {
                        tg.spawn(async {
                            yield_now().await;
                            Ok::<_, asyncio::BoxError>(())
                        });
                    }
                    Ok(())
                })
                .await
            };
            let both = asyncio::gather((nest(2), nest(3))).await;
            both.0.and(both.1).unwrap();
            let late = timeout(ms(5), nest(1)).await;
            late.unwrap().unwrap();
        });
        assert!(console.all(TASK).len() >= 7);
        console.assert_balanced();
    }

    #[test]
    fn children_that_are_cut_short_are_closed() {
        let console = Console::default();
        console.watch(async || {
            let failed = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(pending::<Result<(), asyncio::BoxError>>());
                tg.spawn(async { Err::<(), asyncio::BoxError>("no".into()) });
                Ok(())
            });
            failed.await.unwrap_err();
            let dropped = task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(pending::<Result<(), asyncio::BoxError>>());
                Ok(())
            });
            let mut dropped = Box::pin(dropped);
            assert!(futures::poll!(&mut dropped).is_pending());
            drop(dropped);
        });
        console.assert_balanced();
    }
}

mod waits {
    use super::*;

    /// The states of the only resource of a type.
    fn resource(console: &Console, concrete_type: &str) -> Span {
        let mut all = console.all(RESOURCE);
        all.retain(|resource| resource.get("concrete_type") == concrete_type);
        assert_eq!(all.len(), 1, "{concrete_type}: {all:?}");
        all.remove(0)
    }

    #[test]
    fn a_sleep_is_a_timer_with_a_duration() {
        let console = Console::default();
        console.watch(async || sleep(ms(250)).await);
        let sleep = resource(&console, "Sleep");
        assert_eq!(sleep.get("kind"), "timer");
        assert!(sleep.get("loc.file").ends_with("console.rs"));
        assert!(
            sleep.states.contains(&"duration 250".to_owned()),
            "{sleep:?}"
        );
        let [wait] = &console.all(WAIT)[..] else {
            panic!("one wait");
        };
        assert_eq!(wait.get("source"), "sleep");
        assert_eq!(wait.states, ["ready false", "ready true"]);
        console.assert_balanced();
    }

    #[test]
    fn a_lock_shows_who_waits() {
        let console = Console::default();
        let line = Cell::new(0);
        console.watch(async || {
            line.set(line!() + 1);
            let lock = Rc::new(Lock::new(()));
            let held = lock.lock().await;
            let waiting: Vec<Task<()>> = [0, 1]
                .map(|_| {
                    let lock = lock.clone();
                    spawn(async move { drop(lock.lock().await) })
                })
                .into();
            yield_now().await;
            drop(held);
            for task in waiting {
                task.await.unwrap();
            }
        });
        let lock = resource(&console, "Lock");
        assert_eq!(lock.get("loc.line"), line.get().to_string());
        let states = ["waiters 1", "waiters 2", "waiters 1", "waiters 0"];
        assert_eq!(lock.states, states);
        assert_eq!(console.all(WAIT).len(), 2);
        console.assert_balanced();
    }

    #[test]
    fn a_wait_that_is_cancelled_is_closed() {
        let console = Console::default();
        console.watch(async || {
            let (event, full, empty) = (Event::new(), Queue::new(1), Queue::<()>::new(0));
            full.put_nowait(()).unwrap();
            let none = Semaphore::new(0);
            timeout(ms(1), event.wait()).await.unwrap_err();
            timeout(ms(1), full.put(())).await.unwrap_err();
            timeout(ms(1), full.reserve()).await.map(drop).unwrap_err();
            timeout(ms(1), empty.get()).await.unwrap_err();
            timeout(ms(1), none.acquire()).await.map(drop).unwrap_err();
            for name in ["Event", "Semaphore"] {
                assert_eq!(resource(&console, name).states, ["waiters 1", "waiters 0"]);
            }
        });
        let sources: Vec<_> = console.all(WAIT);
        let sources: Vec<_> = sources.iter().map(|wait| wait.get("source")).collect();
        assert_eq!(sources, ["wait", "put", "put", "get", "acquire"]);
        console.assert_balanced();
    }

    #[test]
    fn a_queue_shows_both_sides() {
        let console = Console::default();
        console.watch(async || {
            let queue = Queue::new(1);
            let (sum, ()) = asyncio::gather((
                async {
                    let mut sum = 0;
                    while let Ok(n) = queue.get().await {
                        sum += n;
                    }
                    sum
                },
                async {
                    for n in 0..5 {
                        queue.put(n).await.unwrap();
                    }
                    queue.shutdown(false);
                },
            ))
            .await;
            assert_eq!(sum, 10);
        });
        assert_eq!(
            resource(&console, "Queue").states.last().unwrap(),
            "waiters 0"
        );
        console.assert_balanced();
    }

    #[test]
    fn a_promise_shows_the_wait_for_its_answer() {
        let console = Console::default();
        let line = Cell::new(0);
        console.watch(async || {
            line.set(line!() + 1);
            let (to_set, answer) = promise::<u32>();
            let waits = spawn(answer);
            yield_now().await;
            to_set.set_result(7).unwrap();
            assert_eq!(waits.await.unwrap().unwrap(), 7);
        });
        let shown = resource(&console, "Promise");
        assert_eq!(shown.get("loc.line"), line.get().to_string());
        assert_eq!(shown.states, ["waiters 1", "waiters 0"]);
        let [wait] = &console.all(WAIT)[..] else {
            panic!("one wait");
        };
        assert_eq!(wait.states, ["ready false", "ready true"]);
        assert_eq!(wait.task, console.seen().nth_task(2));
        console.assert_balanced();
    }

    #[test]
    fn an_answer_that_is_dropped_or_shared_is_closed() {
        let console = Console::default();
        let line = Cell::new(0);
        console.watch(async || {
            let (_held, answer) = promise::<u32>();
            timeout(ms(1), answer).await.map(drop).unwrap_err();
            line.set(line!() + 1);
            let (to_set, answer) = promise::<u32>();
            let mut answer = answer;
            assert!(futures::poll!(&mut answer).is_pending());
            let shared = answer.shared();
            let waits = spawn(shared.clone());
            yield_now().await;
            to_set.set_result(7).unwrap();
            assert_eq!(waits.await.unwrap().unwrap(), 7);
        });
        // The place of the promise, not that of a line of ours.
        let shared = resource(&console, "SharedAnswer");
        assert_eq!(shared.get("loc.line"), line.get().to_string());
        assert!(shared.get("loc.file").ends_with("console.rs"));
        console.assert_balanced();
    }

    #[test]
    fn primitives_for_threads_are_shown() {
        let console = Console::default();
        console.watch(async || {
            let (tasks, threads) = thread_queue::<u32>(0);
            let (to_set, answer) = thread_promise::<u32>();
            let event = ThreadEvent::new();
            let elsewhere = event.clone();
            let waits_for_event = spawn(async move { event.wait().await });
            let waits_for_item = spawn(async move { tasks.get().await });
            let waits_for_answer = spawn(answer);
            let watched = Dispatch::new(console.clone());
            let work = move || {
                elsewhere.set();
                threads.put(3).unwrap();
                to_set.set_result(4).unwrap();
            };
            yield_now().await;
            let thread = move || tracing::dispatcher::with_default(&watched, work);
            thread::spawn(thread).join().unwrap();
            waits_for_event.await.unwrap();
            assert_eq!(waits_for_item.await.unwrap().unwrap(), 3);
            assert_eq!(waits_for_answer.await.unwrap().unwrap(), 4);
            // The wait that is cancelled is closed.
            let never = ThreadEvent::new();
            timeout(ms(1), never.wait()).await.unwrap_err();
        });
        let shown = console.all(RESOURCE);
        let types: Vec<_> = shown.iter().map(|one| one.get("concrete_type")).collect();
        let expected = ["ThreadEvent", "ThreadQueue", "ThreadPromise", "ThreadEvent"];
        assert_eq!(types, expected);
        for one in &shown {
            assert!(one.get("loc.file").ends_with("console.rs"));
        }
        // The promise ends with its wait.
        assert_eq!(shown[1].states, ["waiters 1", "waiters 0"]);
        console.assert_balanced();
    }

    #[test]
    fn a_socket_shows_the_task_that_waits_for_it() {
        let console = Console::default();
        console.watch(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = spawn(async move {
                let (client, _) = listener.accept().await.unwrap();
                let mut buf = [0; 4];
                client.read(&mut buf).await.unwrap()
            });
            yield_now().await;
            let client = TcpStream::connect(address).await.unwrap();
            // The server waits for the first byte.
            sleep(ms(1)).await;
            client.write_all(b"hi").await.unwrap();
            assert_eq!(server.await.unwrap(), 2);
        });
        let waits = console.all(WAIT);
        let shown = console.seen();
        let of_server = waits.iter().filter(|wait| wait.task == shown.nth_task(2));
        let of_server: Vec<_> = of_server
            .map(|wait| {
                let socket = &shown.spans[&wait.resource.unwrap()];
                assert_eq!(socket.get("kind"), "socket");
                (socket.get("concrete_type"), wait.get("source"))
            })
            .collect();
        assert_eq!(of_server, [("TcpListener", "read"), ("TcpStream", "read")]);
        drop(shown);
        console.assert_balanced();
    }

    /// The lines at which the resources of a type were created, all in this file.
    fn lines_of(console: &Console, concrete_type: &str) -> Vec<u32> {
        let all = console.all(RESOURCE);
        let of_type = all
            .iter()
            .filter(|one| one.get("concrete_type") == concrete_type);
        let lines = of_type.map(|one| {
            assert!(one.get("loc.file").ends_with("console.rs"), "{one:?}");
            one.get("loc.line").parse().unwrap()
        });
        lines.collect()
    }

    /// The lines of several resources of a type, each once.
    fn different_lines_of(console: &Console, concrete_type: &str) -> Vec<u32> {
        let mut lines = lines_of(console, concrete_type);
        lines.sort();
        lines.dedup();
        lines
    }

    #[test]
    fn a_socket_has_the_place_at_which_it_was_made() {
        let console = Console::default();
        let mut made = Vec::new();
        console.watch(async || {
            let (listening, listener) = (line!(), TcpListener::bind("127.0.0.1:0").await.unwrap());
            let address = listener.local_addr().unwrap();
            let server = spawn(async move {
                let (client, _) = listener.accept().await.unwrap();
                let mut buf = [0; 4];
                client.read(&mut buf).await.unwrap();
                client.write_all(b"hi").await.unwrap();
            });
            yield_now().await;
            let (connecting, client) = (line!(), TcpStream::connect(address).await.unwrap());
            sleep(ms(1)).await;
            client.write_all(b"hi").await.unwrap();
            client.read(&mut [0; 4]).await.unwrap();
            server.await.unwrap();
            let (binding, socket) = (line!(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
            timeout(ms(1), socket.recv(&mut [])).await.unwrap_err();
            made.extend([listening, connecting, binding]);
        });
        let [listening, connecting, binding] = made[..] else {
            unreachable!("three are made")
        };
        assert_eq!(lines_of(&console, "TcpListener"), [listening]);
        // A connection that a listener accepts has the listener's place.
        let streams = different_lines_of(&console, "TcpStream");
        assert_eq!(streams, [listening, connecting]);
        assert_eq!(lines_of(&console, "UdpSocket"), [binding]);
    }

    #[test]
    fn a_server_and_a_connection_with_buffers_have_their_places() {
        let console = Console::default();
        let mut made = Vec::new();
        console.watch(async || {
            let echo = async |mut reader: StreamReader, writer: StreamWriter| {
                let line = reader.readline().await?;
                writer.write(line);
                std::io::Result::Ok(())
            };
            let (starting, server) = (line!(), start_server(echo, "127.0.0.1:0").await.unwrap());
            let (opening, opened) = (line!(), open_connection(server.addresses()).await);
            let (mut reader, writer) = opened.unwrap();
            sleep(ms(1)).await;
            writer.write("hi\n");
            assert_eq!(reader.readline().await.unwrap(), b"hi\n");
            server.close();
            server.wait_closed().await;
            made.extend([starting, opening]);
        });
        let [starting, opening] = made[..] else {
            unreachable!("two are made")
        };
        assert_eq!(lines_of(&console, "TcpListener"), [starting]);
        let streams = different_lines_of(&console, "TcpStream");
        assert_eq!(streams, [starting, opening]);
    }

    #[cfg(unix)]
    #[test]
    fn sockets_and_descriptors_of_unix_have_their_places() {
        use asyncio::net::{AsyncFd, UnixDatagram, UnixStream};
        let console = Console::default();
        let mut made = Vec::new();
        console.watch(async || {
            let (pair, (stream, _other)) = (line!(), UnixStream::pair().unwrap());
            timeout(ms(1), stream.read(&mut [0])).await.unwrap_err();
            let (unbound, datagram) = (line!(), UnixDatagram::unbound().unwrap());
            timeout(ms(1), datagram.recv(&mut [0])).await.unwrap_err();
            let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let (wrapping, fd) = (line!(), AsyncFd::new(ours).unwrap());
            timeout(ms(1), fd.readable()).await.unwrap_err();
            made.extend([pair, unbound, wrapping]);
        });
        let types = ["UnixStream", "UnixDatagram", "Fd"];
        let lines: Vec<_> = types
            .iter()
            .flat_map(|concrete_type| lines_of(&console, concrete_type))
            .collect();
        assert_eq!(lines, made);
    }

    #[test]
    fn a_wait_for_a_socket_that_is_cancelled_is_closed() {
        let console = Console::default();
        console.watch(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let waits = spawn(async move { listener.accept().await.map(drop) });
            yield_now().await;
            waits.cancel();
            assert!(waits.await.is_err());
        });
        let listener = resource(&console, "TcpListener");
        assert_eq!(listener.states, ["waiters 1", "waiters 0"]);
        console.assert_balanced();
    }

    #[test]
    fn an_operation_that_need_not_wait_is_not_shown() {
        let console = Console::default();
        console.watch(async || {
            let lock = Lock::new(());
            drop(lock.lock().await);
            let queue = Queue::new(0);
            queue.put(()).await.unwrap();
            queue.get().await.unwrap();
        });
        assert_eq!(console.all(RESOURCE).len() + console.all(WAIT).len(), 0);
    }
}

mod subscribers {
    use super::*;

    async fn work() {
        let lock = Rc::new(Lock::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let lock = lock.clone();
                spawn(async move {
                    sleep(ms(n)).await;
                    let mut held = lock.lock().await;
                    *held += 1;
                    sleep(ms(2)).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock.lock().await, 4);
    }

    #[test]
    fn a_panic_in_any_call_disturbs_no_task() {
        for panics in 1..=7 {
            let console = Console::default();
            console.0.panics.store(panics, Ordering::Relaxed);
            console.watch(work);
        }
    }

    #[test]
    fn a_subscriber_may_wake_what_it_watches() {
        let console = Console::default();
        console.watch(async || {
            let sleeper = spawn(pending::<()>());
            yield_now().await;
            let waker = asyncio::current_task().unwrap().waker();
            *console.0.waker.lock().unwrap() = Some((200, waker));
            work().await;
            let waker = console.0.waker.lock().unwrap().take();
            drop(waker); // which is a call
            sleeper.cancel();
        });
        assert!(console.seen().stack.is_empty());
    }

    #[test]
    fn nobody_listening_is_nothing_shown() {
        asyncio::run(work());
        let console = Console::default();
        assert_eq!(console.all(TASK).len(), 0);
    }
}
