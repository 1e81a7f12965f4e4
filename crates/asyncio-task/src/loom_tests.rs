//! The places where threads meet, in every order that the memory model allows: the inbox, the park
//! word, and the life of a waker on another thread.
//!
//! Each model is small, so that its interleavings can be counted through. "Found" in its comment names mistakes that
//! were put into the code and made it fail. (Not found, as it is no mistake: relaxed accesses to the park word. The
//! lock of the inbox orders what the word announces.)
//!
//! The checker sees the data of the owner's thread through the task's state, a cell that it tracks. Any two accesses
//! that are not ordered fail a model. So does the freeing of a cell whose last use on another thread is not ordered
//! before.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::AtomicUsize as Count;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Poll, Waker};

use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use crate::cell::cell_ref::{Inbox, Lease, Message, Owner};
use crate::queue::inbox::Unpark;
use crate::{SpawnOptions, Tasks};

/// Somewhere to wait, and how often it was called for to end the wait.
#[derive(Default)]
struct Bench {
    notify: Notify,
    calls: Count,
}

impl Bench {
    fn unpark(self: &Arc<Self>) -> impl Fn() + Send + Sync + 'static {
        let this = self.clone();
        move || {
            this.calls.fetch_add(1, SeqCst);
            this.notify.notify();
        }
    }
}

/// The messages that arrived, in order.
type Log = Arc<StdMutex<Vec<(&'static str, u32)>>>;

fn message(log: &Log, from: &'static str, n: u32) -> Message {
    let log = log.clone();
    let call = move || log.lock().unwrap().push((from, n));
    Message::Call(Box::new(call), std::panic::Location::caller())
}

fn open(messages: Vec<Message>) {
    for message in messages {
        if let Message::Call(call, _) = message {
            call();
        }
    }
}

fn taken(lease: &Lease) -> Vec<Message> {
    let mut messages = Vec::new();
    lease.take(&mut messages);
    messages
}

fn numbers(log: &Log, from: &str) -> Vec<u32> {
    let log = log.lock().unwrap();
    log.iter()
        .filter(|(f, _)| *f == from)
        .map(|(_, n)| *n)
        .collect()
}

/// Found: emptying the inbox before the word is cleared. Announcing, or looking for an announcement, before the message
/// is in the inbox. Leaving out the announcement.
// Proves M1, M2.
#[test]
fn nothing_posted_is_lost_or_comes_twice_and_each_sender_keeps_its_order() {
    loom::model(|| {
        let lease = Lease::new(Arc::new(|| ()));
        let log = Log::default();
        let send = |from: &'static str, owner: Owner, log: Log| {
            move || {
                for n in 0..2 {
                    owner.post(message(&log, from, n)).unwrap();
                }
            }
        };
        let other = thread::spawn(send("a", lease.owner(), log.clone()));
        open(taken(&lease));
        send("b", lease.owner(), log.clone())();
        open(taken(&lease));
        other.join().unwrap();
        let so_far = log.lock().unwrap().len();
        assert!(
            so_far == 4 || lease.has_messages(),
            "what is in the inbox has announced itself"
        );
        open(taken(&lease));
        assert_eq!(numbers(&log, "a"), [0, 1]);
        assert_eq!(numbers(&log, "b"), [0, 1]);
    });
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Waits for messages as a loop does, until `enough`.
fn wait_for_messages(lease: &Lease, bench: &Bench, enough: impl Fn() -> bool) -> usize {
    let mut parked = 0;
    loop {
        if lease.has_messages() {
            open(taken(lease));
        }
        if enough() {
            return parked;
        }
        if lease.park() {
            parked += 1;
            bench.notify.wait();
        }
        lease.unpark();
    }
}

/// Found: parking or announcing by a load and a store instead of an exchange. Clearing the word after the wait without
/// a look at it. (These lose the wake-up: a deadlock.) Unparking for each message (more calls than waits).
// Proves M3.
#[test]
fn a_parked_owner_is_unparked_and_once_for_a_burst() {
    loom::model(|| {
        let bench = Arc::new(Bench::default());
        let lease = Lease::new(Arc::new(bench.unpark()));
        let log = Log::default();
        let senders = ["a", "b"].map(|from| {
            let (owner, log) = (lease.owner(), log.clone());
            thread::spawn(move || owner.post(message(&log, from, 0)).unwrap())
        });
        let parked = wait_for_messages(&lease, &bench, || log.lock().unwrap().len() == 2);
        join(senders);
        assert!(
            bench.calls.load(SeqCst) <= parked,
            "a call for each time it parked"
        );
    });
}

/// Found: no look at the generation, or a generation that stays the same (the next lease opens the message). Messages
/// that stay in the inbox when a lease ends (neither opened nor dropped).
#[test]
fn a_message_posted_while_the_lease_ends_is_refused_or_dropped_and_never_lost() {
    loom::model(|| {
        let inbox = {
            let lease = Lease::new(Arc::new(|| ()));
            lease.owner().site()
        };
        let lease = Lease::again(inbox, Arc::new(|| ()));
        let owner = lease.owner();
        let log = Log::default();
        let proof = Arc::new(());
        let sender = {
            let (proof, log) = (proof.clone(), log.clone());
            thread::spawn(move || {
                let call = move || {
                    let _proof = proof;
                    log.lock().unwrap().push(("opened", 0));
                };
                let location = std::panic::Location::caller();
                // Refused: it comes back, here.
                owner.post(Message::Call(Box::new(call), location)).is_err()
            })
        };
        drop(lease);
        let next = Lease::again(inbox, Arc::new(|| ()));
        open(taken(&next));
        sender.join().unwrap();
        open(taken(&next));
        assert_eq!(Arc::strong_count(&proof), 1, "its destructor ran");
        assert!(
            log.lock().unwrap().is_empty(),
            "the next lease does not get it"
        );
    });
}

/// A message is posted under an old lease while that ends and the inbox is leased again. Its announcement belongs to
/// the old lease. A later one would take the word of the new owner from PARKED, and the next sender would find it
/// NOTIFIED.
///
/// Found: an announcement after the lock is released, which calls the closure of the sender's own lease (a deadlock).
// Proves M4.
#[test]
fn an_announcement_to_an_old_lease_does_not_cost_the_new_one_its_wake_up() {
    loom::model(|| {
        let old = Lease::new(Arc::new(|| ()));
        let inbox: &'static Inbox = old.owner().site();
        let log = Log::default();
        let late = {
            let (owner, log) = (old.owner(), log.clone());
            thread::spawn(move || drop(owner.post(message(&log, "old", 0))))
        };
        drop(old);
        let bench = Arc::new(Bench::default());
        let unpark: Unpark = Arc::new(bench.unpark());
        let new = Lease::again(inbox, unpark);
        let sender = {
            let (owner, log) = (new.owner(), log.clone());
            thread::spawn(move || owner.post(message(&log, "new", 0)).unwrap())
        };
        wait_for_messages(&new, &bench, || !log.lock().unwrap().is_empty());
        late.join().unwrap();
        sender.join().unwrap();
        assert_eq!(*log.lock().unwrap(), [("new", 0)]);
    });
}

/// Runs tasks as a loop does, until `done`.
fn run_until(tasks: &Tasks, bench: &Bench, done: impl Fn() -> bool) {
    loop {
        while tasks.run_one() {}
        if done() {
            return;
        }
        if tasks.park() {
            bench.notify.wait();
        }
        tasks.unpark();
        if tasks.has_messages() {
            tasks.deliver();
        }
    }
}

fn tasks() -> (Tasks, Arc<Bench>) {
    let bench = Arc::new(Bench::default());
    let tasks = Tasks::new(bench.unpark());
    tasks.on_unhandled(|unhandled| {
        eprintln!("{unhandled}");
        std::process::abort(); // a panic would be caught
    });
    (tasks, bench)
}

/// Each of two threads writes something and then wakes the task. The second may find the wake-up of the first still on
/// its way, and add none. Then the next poll has to see both writes, because no other poll follows.
///
/// Found: `posted` swapped without release in `post`, without acquire in `arrive`, cleared there by a store, or never
/// cleared. All are deadlocks: a poll has missed a write, and no other wake-up follows.
#[test]
fn a_skipped_wake_up_hands_over_what_was_written_before_it() {
    loom::model(|| {
        let (tasks, bench) = tasks();
        tasks.enter(&(), || {
            let written = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
            let seen = written.clone();
            let task = tasks.spawn_with(
                SpawnOptions::new().dormant(),
                poll_fn(move |_| {
                    let all = seen.iter().all(|one| one.load(Relaxed) == 1);
                    if all { Poll::Ready(()) } else { Poll::Pending }
                }),
            );
            let threads = written.map(|one| {
                let waker = task.as_ref().waker();
                thread::spawn(move || {
                    one.store(1, Relaxed);
                    waker.wake();
                })
            });
            run_until(&tasks, &bench, || task.is_finished());
            join(threads);
        });
    });
}

/// A future that notes on which thread it is dropped, how often.
struct Noted(thread::ThreadId, Rc<Cell<u32>>);

impl Noted {
    fn new(drops: &Rc<Cell<u32>>) -> Self {
        Self(thread::current().id(), drops.clone())
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if thread::current().id() != self.0 {
            eprintln!("dropped on a thread that is not its own");
            std::process::abort(); // a panic would be caught
        }
        self.1.set(self.1.get() + 1);
    }
}

/// Uses a waker as another thread would.
fn use_up(waker: Waker) {
    let clone = waker.clone();
    waker.wake_by_ref();
    drop(waker);
    clone.wake();
}

fn freed(inbox: &Inbox) -> usize {
    inbox.content.freed.load(Relaxed)
}

/// Runs a model: a task that waits, a thread that uses its waker up meanwhile, and `meanwhile` for the
/// owner's thread. Afterwards all is gone, once.
fn with_a_waker_elsewhere(
    meanwhile: impl Fn(Tasks, &Bench, crate::Task<()>) + Send + Sync + 'static,
) {
    loom::model(move || {
        let (tasks, bench) = tasks();
        let inbox = tasks.owner().site();
        let drops = Rc::new(Cell::new(0));
        let noted = Noted::new(&drops);
        let task = tasks.enter(&(), || {
            let task = tasks.spawn(async move {
                let _noted = noted;
                let mut woken = false;
                poll_fn(|_| {
                    if std::mem::replace(&mut woken, true) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            });
            tasks.run_one();
            task
        });
        let waker = task.as_ref().waker();
        let thread = thread::spawn(move || use_up(waker));
        meanwhile(tasks, &bench, task);
        thread.join().unwrap();
        assert_eq!(drops.get(), 1, "the future is dropped once");
        assert_eq!(freed(inbox), 1, "the cell is freed once");
    });
}

/// Found: the merge `Relaxed`, or no fence before freeing (an unordered access to the state). A merge by a load and a
/// store (freed twice, or never). `MERGED` noted after the merge, or not at all. A remote clone or drop that counts as
/// local. No bias, or a remote drop that frees at the bias (freed in use). One anchor at birth, or three. A message
/// without a reference of its own. Waking by touching the state from the other thread. The announcement left out.
// Proves W1.
#[test]
fn a_waker_is_used_up_elsewhere_while_its_task_runs_and_completes() {
    with_a_waker_elsewhere(|tasks, bench, task| {
        tasks.enter(&(), || {
            run_until(&tasks, bench, || task.is_finished());
            drop(task);
        });
    });
}

/// Found: the same as above, but for the announcement.
#[test]
fn a_waker_is_used_up_elsewhere_while_its_task_is_cancelled() {
    with_a_waker_elsewhere(|tasks, _, task| {
        tasks.enter(&(), || {
            drop(task);
            tasks.run_one();
            tasks.deliver();
            while tasks.run_one() {}
            assert!(tasks.is_empty());
        });
    });
}

/// Found: the same again; posting to an ended lease, and messages that stay in the inbox when it ends (the cell
/// is never freed).
#[test]
fn a_waker_is_used_up_elsewhere_while_its_loop_closes() {
    with_a_waker_elsewhere(|tasks, _, task| {
        drop(tasks);
        assert!(task.is_finished());
    });
}

/// The owner lets go first, without looking at its inbox; whoever is last frees the cell, and nothing but
/// the cell.
///
/// Found: the decrement `Relaxed`, no fence (unordered); no merge, or one that forgets the local count (never freed).
// Proves N2, N5.
#[test]
fn the_last_reference_frees_the_cell_on_whatever_thread() {
    loom::model(|| {
        let (tasks, _) = tasks();
        let inbox = tasks.owner().site();
        let drops = Rc::new(Cell::new(0));
        let noted = Noted::new(&drops);
        let task = tasks.spawn(async move {
            let _noted = noted;
            pending::<()>().await;
        });
        let wakers = [(); 2].map(|()| task.as_ref().waker());
        let threads = wakers.map(|waker| thread::spawn(move || drop(waker)));
        drop(task);
        drop(tasks);
        assert_eq!(drops.get(), 1);
        join(threads);
        assert_eq!(freed(inbox), 1);
    });
}

/// A task without a future to speak of, and the inbox that counts whether its cell is freed.
fn waiting_task(tasks: &Tasks) -> (crate::Task<()>, &'static Inbox) {
    (tasks.spawn(pending()), tasks.owner().site())
}

/// Ends all tasks and lets go of one of them, as a loop does that runs.
fn end(tasks: Tasks, task: crate::Task<()>) {
    tasks.enter(&(), || {
        drop(task);
        while tasks.run_one() {}
        assert!(tasks.is_empty());
    });
}

/// The waker is made on the owner's thread and dropped on another one, its clone the other way round. When the last
/// local reference is gone, the local count is back at zero. The remaining waker shows in the remote count alone.
///
/// Found: a last anchor that frees if the local count is zero, or the remote one, or without a look (freed in use). A
/// clone that was sent without any order between the threads, on which N4 in `refs.rs` relies.
// Proves N4.
#[test]
fn a_clone_that_came_home_does_not_hide_the_waker_that_it_was_made_from() {
    loom::model(|| {
        let (tasks, _) = tasks();
        let (task, inbox) = waiting_task(&tasks);
        let waker = task.as_ref().waker();
        let sent = Arc::new(loom::sync::Mutex::new(None));
        let thread = {
            let sent = sent.clone();
            thread::spawn(move || {
                let clone = waker.clone();
                *sent.lock().unwrap() = Some(clone);
                assert_eq!(freed(inbox), 0, "there is a waker");
                drop(waker);
            })
        };
        tasks.enter(&(), || {
            let came = sent.lock().unwrap().take();
            drop(came);
        });
        end(tasks, task);
        thread.join().unwrap();
        let late = sent.lock().unwrap().take();
        if late.is_some() {
            assert_eq!(freed(inbox), 0, "there is a clone");
        }
        drop(late);
        assert_eq!(freed(inbox), 1);
    });
}

/// A local reference outlives owner and handle, so that the merge counts it with the remote ones.
///
/// Found: as above, but for the missing order; a merge by a load and a store (freed twice, or never).
// Proves N3.
#[test]
fn the_last_local_or_remote_reference_after_the_merge_frees_the_cell_once() {
    loom::model(|| {
        let (tasks, _) = tasks();
        let (task, inbox) = waiting_task(&tasks);
        let kept = task.as_ref();
        let waker = kept.waker();
        let thread = thread::spawn(move || {
            drop(waker.clone());
            assert_eq!(freed(inbox), 0, "there is a waker");
            drop(waker);
        });
        end(tasks, task);
        drop(kept.clone());
        assert_eq!(freed(inbox), 0, "there is a local reference");
        drop(kept);
        thread.join().unwrap();
        assert_eq!(freed(inbox), 1);
    });
}

/// Wakers are cloned and dropped on both sides while there is a handle, of which other threads know nothing.
///
/// Found: no bias, or a remote drop that frees at the bias.
#[test]
fn no_one_frees_a_cell_that_is_anchored() {
    loom::model(|| {
        let (tasks, _) = tasks();
        let (task, inbox) = waiting_task(&tasks);
        let waker = task.as_ref().waker();
        let thread = thread::spawn(move || {
            drop(waker.clone());
            drop(waker);
        });
        tasks.enter(&(), || {
            let waker = task.as_ref().waker();
            drop(waker.clone());
        });
        drop(tasks);
        assert!(task.is_finished());
        assert_eq!(freed(inbox), 0, "there is a handle");
        thread.join().unwrap();
        assert_eq!(freed(inbox), 0, "there is a handle");
        drop(task);
        assert_eq!(freed(inbox), 1);
    });
}

/// Found: posting to an ended lease, and messages that stay in the inbox when it ends (neither made nor
/// dropped).
#[test]
fn a_call_from_elsewhere_is_made_or_dropped_at_home_or_given_back() {
    loom::model(|| {
        let (tasks, _) = tasks();
        let remote = tasks.remote();
        let home = thread::current().id();
        let ends = Arc::new(StdMutex::new(Vec::new()));
        struct End(Arc<StdMutex<Vec<thread::ThreadId>>>);
        impl Drop for End {
            fn drop(&mut self) {
                self.0.lock().unwrap().push(thread::current().id());
            }
        }
        let end = End(ends.clone());
        let thread = thread::spawn(move || remote.call(move || drop(end)).is_err());
        tasks.enter(&(), || {
            tasks.deliver();
            while tasks.run_one() {}
        });
        drop(tasks);
        let given_back = thread.join().unwrap();
        let ends = ends.lock().unwrap();
        assert_eq!(ends.len(), 1, "once");
        assert_eq!(ends[0] != home, given_back);
    });
}

/// The local wake-up puts the task into the ready queue, and the remote one into the inbox. The last poll sees both,
/// whichever the first one sees.
///
/// Found: the state touched by the posting thread (an unordered access); the announcement left out, or made
/// before the message is in the inbox.
#[test]
fn a_task_woken_from_elsewhere_and_at_home_at_once_is_polled_for_both() {
    loom::model(|| {
        let (tasks, bench) = tasks();
        tasks.enter(&(), || {
            let here = Rc::new(RefCell::new(0));
            let there = Arc::new(AtomicUsize::new(0));
            let (h, t) = (here.clone(), there.clone());
            let task = tasks.spawn_with(
                SpawnOptions::new().dormant(),
                poll_fn(move |_| match *h.borrow() + t.load(Relaxed) {
                    2 => Poll::Ready(()),
                    _ => Poll::Pending,
                }),
            );
            let waker = task.as_ref().waker();
            let thread = thread::spawn(move || {
                there.store(1, Relaxed);
                waker.wake();
            });
            *here.borrow_mut() = 1;
            task.as_ref().waker().wake();
            run_until(&tasks, &bench, || task.is_finished());
            thread.join().unwrap();
        });
    });
}
