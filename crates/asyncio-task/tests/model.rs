//! Random programs against a naive model: tasks that wake, cancel, drop, detach and spawn each other, run
//! the loop from within a step, close it, panic, and are woken by another thread. The words of both traces
//! are the same, nothing is left over, and memory is what it was.
//!
//! `PROPTEST_CASES` says how many programs, 256 if it is not set; one that fails is made as small as it goes.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_task::{Cause, JoinError, Schedule, Step, Task, TaskRef, Tasks, with_driver};
use proptest::prelude::*;

// ---- programs ----

/// An act of a task within a poll, or of others from outside. Tasks are meant by number, modulo how
/// many there are; within a poll, the higher numbers mean the polled task.
#[derive(Clone, Debug)]
enum Act {
    Wake(usize),
    WakeFromElsewhere(usize),
    Cancel(usize),
    DropHandle(usize),
    Detach(usize),
    /// Outside of tasks only: what a task awaits is a matter of cancel scopes.
    PollHandle(usize),
    Spawn(Script),
    /// Runs the loop, some steps, from wherever this is.
    Run(usize),
    /// Runs, or drops, a step of a task with a queue elsewhere.
    RunStep,
    DropStep,
    Deliver,
    Close,
}

#[derive(Clone, Debug)]
struct Script {
    /// Each poll but the last does these and waits.
    polls: Vec<Vec<Act>>,
    /// The last poll does these and ends so.
    last: Vec<Act>,
    end: End,
    elsewhere: bool,
    wakes_itself_when_dropped: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Value,
    Error,
    Panic,
    /// Waits for ever.
    Never,
}

fn act() -> impl Strategy<Value = Act> + Clone {
    let task = 0..8_usize;
    let simple = prop_oneof![
        4 => task.clone().prop_map(Act::Wake),
        2 => task.clone().prop_map(Act::WakeFromElsewhere),
        3 => task.clone().prop_map(Act::Cancel),
        2 => task.clone().prop_map(Act::DropHandle),
        1 => task.clone().prop_map(Act::Detach),
        2 => task.prop_map(Act::PollHandle),
        8 => (1..5_usize).prop_map(Act::Run),
        6 => Just(Act::RunStep),
        1 => Just(Act::DropStep),
        2 => Just(Act::Deliver),
    ];
    simple.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            4 => inner.clone(),
            3 => script(inner).prop_map(Act::Spawn),
            1 => Just(Act::Close),
        ]
    })
}

fn script(act: impl Strategy<Value = Act> + Clone) -> impl Strategy<Value = Script> {
    let acts = prop::collection::vec(act, 0..4);
    let end = prop_oneof![
        3 => Just(End::Value),
        1 => Just(End::Error),
        1 => Just(End::Panic),
        1 => Just(End::Never),
    ];
    let polls = prop::collection::vec(acts.clone(), 0..4);
    (polls, acts, end, any::<bool>(), any::<bool>()).prop_map(
        |(polls, last, end, elsewhere, wakes_itself_when_dropped)| Script {
            polls,
            last,
            end,
            elsewhere,
            wakes_itself_when_dropped,
        },
    )
}

fn program() -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(
        prop_oneof![
            2 => script(act()).prop_map(Act::Spawn),
            3 => act(),
            2 => (1..8_usize).prop_map(Act::Run),
            1 => Just(Act::RunStep),
        ],
        1..40,
    )
}

/// Numbers from here on mean the task that is polled.
const MYSELF: usize = 5;

/// Within so many polls, one in the other, none runs a further one: in debug builds the stack would overflow.
const DEEPEST: usize = 32;

/// After so many words nothing is run any more but by the loop: polls within each other can be too many to wait for.
const MOST_WORDS: usize = 2_000;

type Trace = Arc<Mutex<Vec<String>>>;

// ---- the tasks themselves ----

type Outcome = Result<Value, String>;

/// The value that a task returns, which notes its drop.
struct Value(usize, Trace);

impl Drop for Value {
    fn drop(&mut self) {
        self.1
            .lock()
            .unwrap()
            .push(format!("value {} dropped", self.0));
    }
}

struct World {
    tasks: Tasks,
    trace: Trace,
    handles: RefCell<Vec<Option<Task<Outcome>>>>,
    taken: RefCell<Vec<bool>>,
    references: RefCell<Vec<TaskRef>>,
    /// Whose polls are under way, the innermost last.
    polled: RefCell<Vec<usize>>,
    steps: Steps,
}

#[derive(Clone, Default)]
struct Steps(Rc<RefCell<VecDeque<Step>>>);

impl Schedule for Steps {
    fn schedule(&self, step: Step) {
        self.0.borrow_mut().push_back(step);
    }
}

/// A future that does what its script says.
struct Scripted {
    n: usize,
    script: Script,
    polled: Cell<usize>,
    trace: Trace,
    waker: Option<Waker>,
}

impl Future for Scripted {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let n = self.n;
        self.waker = Some(cx.waker().clone());
        self.trace.lock().unwrap().push(format!("poll {n}"));
        let polled = self.polled.replace(self.polled.get() + 1);
        let waits = polled < self.script.polls.len();
        let acts = self.script.polls.get(polled).unwrap_or(&self.script.last);
        with_driver(|world: Option<&Rc<World>>| {
            let world = world.expect("entered with it");
            world.polled.borrow_mut().push(n);
            acts.iter().for_each(|act| world.act(act));
            world.polled.borrow_mut().pop();
        });
        match self.script.end {
            _ if waits => Poll::Pending,
            End::Never => Poll::Pending,
            End::Value => Poll::Ready(Ok(Value(n, self.trace.clone()))),
            End::Error => Poll::Ready(Err(format!("error of {n}"))),
            End::Panic => panic!("panic of {n}"),
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.trace.lock().unwrap().push(format!("drop {}", self.n));
        if let Some(waker) = self.waker.take()
            && self.script.wakes_itself_when_dropped
        {
            waker.wake();
        }
    }
}

/// The waker of somebody who awaits a task without being one.
struct Bell(usize, Trace);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(format!("bell {}", self.0));
    }
}

impl World {
    fn say(&self, words: String) {
        self.trace.lock().unwrap().push(words);
    }

    fn has_run_enough(&self) -> bool {
        let depth = self.polled.borrow().len();
        depth >= DEEPEST || depth > 0 && self.trace.lock().unwrap().len() >= MOST_WORDS
    }

    fn number(&self, n: usize) -> Option<usize> {
        match self.polled.borrow().last() {
            Some(me) if n >= MYSELF => Some(*me),
            _ => n.checked_rem(self.references.borrow().len()),
        }
    }

    fn act(self: &Rc<Self>, act: &Act) {
        let numbered = |n: &usize, f: &dyn Fn(usize)| {
            if let Some(n) = self.number(*n) {
                f(n);
            }
        };
        match act {
            Act::Wake(n) => numbered(n, &|n| {
                let waker = self.references.borrow()[n].waker();
                waker.wake();
            }),
            Act::WakeFromElsewhere(n) => numbered(n, &|n| {
                let waker = self.references.borrow()[n].waker();
                // Joined, so that all it allocated is gone.
                std::thread::spawn(|| waker.wake()).join().unwrap();
            }),
            Act::Cancel(n) => numbered(n, &|n| {
                let task = self.references.borrow()[n].clone();
                self.say(format!("cancel {n}: {}", task.cancel()));
            }),
            Act::DropHandle(n) => numbered(n, &|n| {
                let handle = self.handles.borrow_mut()[n].take();
                drop(handle);
            }),
            Act::Detach(n) => numbered(n, &|n| {
                let handle = self.handles.borrow_mut()[n].take();
                let usable = handle.filter(|_| !self.taken.borrow()[n]);
                if let Some(handle) = usable {
                    handle.detach();
                }
            }),
            Act::PollHandle(n) => numbered(n, &|n| {
                if self.taken.borrow()[n] || !self.polled.borrow().is_empty() {
                    return;
                }
                let Some(mut handle) = self.handles.borrow_mut()[n].take() else {
                    return;
                };
                let waker = Waker::from(Arc::new(Bell(n, self.trace.clone())));
                let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
                let words = match &polled {
                    Poll::Pending => "pending",
                    Poll::Ready(Ok(Ok(_))) => "a value",
                    Poll::Ready(Ok(Err(_))) => "an error",
                    Poll::Ready(Err(JoinError::Cancelled(..))) => "cancelled",
                    Poll::Ready(Err(JoinError::Panicked(..))) => "panicked",
                    Poll::Ready(Err(_)) => "something else",
                };
                self.say(format!("outcome of {n}: {words}"));
                self.taken.borrow_mut()[n] = polled.is_ready();
                drop(polled);
                self.handles.borrow_mut()[n] = Some(handle);
            }),
            Act::Spawn(script) => {
                let n = self.references.borrow().len();
                let future = Scripted {
                    n,
                    script: script.clone(),
                    polled: Cell::new(0),
                    trace: self.trace.clone(),
                    waker: None,
                };
                let handle = if script.elsewhere {
                    self.tasks.spawn_on(self.steps.clone(), future)
                } else {
                    self.tasks.spawn(future)
                };
                self.references.borrow_mut().push(handle.as_ref());
                self.taken.borrow_mut().push(false);
                self.handles.borrow_mut().push(Some(handle));
            }
            Act::Run(_) | Act::RunStep if self.has_run_enough() => {}
            Act::Run(steps) => (0..*steps).for_each(|_| {
                self.tasks.run_one();
            }),
            Act::RunStep => {
                let step = self.steps.0.borrow_mut().pop_front();
                if let Some(step) = step {
                    step.run();
                }
            }
            Act::DropStep => {
                let step = self.steps.0.borrow_mut().pop_front();
                drop(step);
            }
            Act::Deliver => self.tasks.deliver(),
            Act::Close => self.tasks.close(),
        }
    }
}

fn run_tasks(program: &[Act]) -> Vec<String> {
    let trace = Trace::default();
    let world = Rc::new(World {
        tasks: Tasks::new(|| ()),
        trace: trace.clone(),
        handles: RefCell::default(),
        taken: RefCell::default(),
        references: RefCell::default(),
        polled: RefCell::default(),
        steps: Steps::default(),
    });
    let reports = trace.clone();
    world.tasks.on_unhandled(move |unhandled| {
        let words = match unhandled.cause() {
            Cause::Panic(payload) => payload.to_string(),
            Cause::Error(error) => error.clone(),
            _ => "something else".to_owned(),
        };
        reports.lock().unwrap().push(format!("report {words}"));
    });
    world.tasks.enter(&world, || {
        program.iter().for_each(|act| world.act(act));
        world.say("the end".to_owned());
        world.tasks.close();
        let handles = world.handles.take();
        drop(handles);
    });
    assert!(world.tasks.is_empty());
    assert_eq!(world.tasks.ready(), 0);
    drop(world);
    Arc::into_inner(trace)
        .expect("all futures and values are gone")
        .into_inner()
        .unwrap()
}

// ---- the model ----

#[derive(Default)]
struct Model {
    trace: Vec<String>,
    tasks: Vec<Modelled>,
    ready: VecDeque<usize>,
    steps: VecDeque<usize>,
    mail: VecDeque<usize>,
    running: Vec<usize>,
    closed: bool,
}

struct Modelled {
    script: Script,
    polled: usize,
    scheduled: bool,
    /// Its place in the queue came up while it ran.
    missed: bool,
    running: bool,
    ending: bool,
    cancel: bool,
    last_chance: bool,
    posted: bool,
    done: Option<Done>,
    handle: Handle,
    bell: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Done {
    Value,
    Error,
    Panic,
    Cancelled,
}

#[derive(Clone, Copy, PartialEq)]
enum Handle {
    Held,
    /// Held, and its outcome taken.
    Taken,
    Detached,
    Dropped,
}

impl Model {
    fn say(&mut self, words: String) {
        self.trace.push(words);
    }

    fn has_run_enough(&self) -> bool {
        let depth = self.running.len();
        depth >= DEEPEST || depth > 0 && self.trace.len() >= MOST_WORDS
    }

    fn act(&mut self, act: &Act) {
        let tasks = self.tasks.len();
        let me = self.running.last().copied();
        let number = |n: &usize| match me {
            Some(me) if *n >= MYSELF => Some(me),
            _ => n.checked_rem(tasks),
        };
        match act {
            Act::Wake(n) => {
                if let Some(n) = number(n) {
                    self.wake(n);
                }
            }
            Act::WakeFromElsewhere(n) => {
                if let Some(n) = number(n)
                    && !std::mem::replace(&mut self.tasks[n].posted, true)
                {
                    self.mail.push_back(n);
                }
            }
            Act::Cancel(n) => {
                if let Some(n) = number(n) {
                    let asked = self.cancel(n);
                    self.say(format!("cancel {n}: {asked}"));
                }
            }
            Act::DropHandle(n) => {
                if let Some(n) = number(n) {
                    self.drop_handle(n);
                }
            }
            Act::Detach(n) => {
                if let Some(n) = number(n) {
                    self.detach(n);
                }
            }
            Act::PollHandle(n) => {
                if let Some(n) = number(n) {
                    self.poll_handle(n);
                }
            }
            Act::Spawn(script) => {
                let n = tasks;
                self.tasks.push(Modelled {
                    script: script.clone(),
                    polled: 0,
                    scheduled: false,
                    missed: false,
                    running: false,
                    ending: false,
                    cancel: false,
                    last_chance: false,
                    posted: false,
                    done: None,
                    handle: Handle::Held,
                    bell: false,
                });
                if self.closed {
                    self.end(n);
                } else {
                    self.wake(n);
                }
            }
            Act::Run(_) | Act::RunStep if self.has_run_enough() => {}
            Act::Run(steps) => (0..*steps).for_each(|_| self.run_one()),
            Act::RunStep => {
                if let Some(n) = self.steps.pop_front() {
                    self.step(n);
                }
            }
            Act::DropStep => {
                if let Some(n) = self.steps.pop_front() {
                    self.end(n);
                }
            }
            Act::Deliver => {
                for n in std::mem::take(&mut self.mail) {
                    self.tasks[n].posted = false;
                    self.wake(n);
                }
            }
            Act::Close => self.close(),
        }
    }

    fn wake(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        if task.done.is_none() && !task.ending && !task.scheduled {
            task.scheduled = true;
            self.queue(n);
        }
    }

    fn queue(&mut self, n: usize) {
        if self.tasks[n].script.elsewhere {
            self.steps.push_back(n);
        } else {
            self.ready.push_back(n);
        }
    }

    fn cancel(&mut self, n: usize) -> bool {
        let task = &mut self.tasks[n];
        if task.done.is_some() {
            return false;
        }
        let started = task.polled > 0;
        if !task.cancel && started && (task.scheduled || task.posted) {
            task.last_chance = true;
        }
        task.cancel = true;
        if !task.running {
            self.wake(n);
        }
        true
    }

    fn run_one(&mut self) {
        if let Some(n) = self.ready.pop_front() {
            self.step(n);
        }
    }

    fn step(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        if task.running {
            task.missed = true;
            return;
        }
        task.scheduled = false;
        if task.done.is_some() {
            return;
        }
        let last_chance = std::mem::take(&mut task.last_chance);
        if task.cancel && !last_chance {
            return self.drop_future(n, Done::Cancelled);
        }
        task.running = true;
        self.running.push(n);
        self.poll(n);
        self.running.pop();
    }

    fn poll(&mut self, n: usize) {
        self.say(format!("poll {n}"));
        let task = &mut self.tasks[n];
        let script = task.script.clone();
        let polled = task.polled;
        task.polled += 1;
        let acts = script.polls.get(polled).unwrap_or(&script.last);
        acts.iter().for_each(|act| self.act(act));
        let waits = polled < script.polls.len();
        match script.end {
            End::Value if !waits => self.drop_future(n, Done::Value),
            End::Error if !waits => self.drop_future(n, Done::Error),
            End::Panic if !waits => self.drop_future(n, Done::Panic),
            _ => {
                let task = &mut self.tasks[n];
                if task.cancel && !task.last_chance {
                    self.drop_future(n, Done::Cancelled);
                } else {
                    task.running = false;
                    if std::mem::take(&mut task.missed) {
                        self.queue(n);
                    }
                }
            }
        }
    }

    /// The end of a task. (Waking itself from the destructor does nothing.)
    fn drop_future(&mut self, n: usize, done: Done) {
        self.tasks[n].ending = true;
        self.say(format!("drop {n}"));
        let task = &mut self.tasks[n];
        task.done = Some(done);
        task.running = false;
        let bell = std::mem::take(&mut task.bell);
        match task.handle {
            Handle::Dropped => self.bury(n, false),
            Handle::Detached => self.bury(n, true),
            Handle::Held | Handle::Taken => {}
        }
        if bell {
            self.say(format!("bell {n}"));
        }
    }

    /// Ends a task out of turn, or after its poll.
    fn end(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        if task.done.is_some() {
        } else if task.running {
            task.cancel = true;
            task.last_chance = false;
        } else {
            self.drop_future(n, Done::Cancelled);
        }
    }

    /// An outcome that nobody takes.
    fn bury(&mut self, n: usize, errors_matter: bool) {
        match self.tasks[n].done {
            Some(Done::Value) => self.say(format!("value {n} dropped")),
            Some(Done::Error) if errors_matter => self.say(format!("report \"error of {n}\"")),
            Some(Done::Panic) => self.say(format!("report panic of {n}")),
            _ => {}
        }
    }

    fn drop_handle(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        let before = task.handle;
        if matches!(before, Handle::Detached | Handle::Dropped) {
            return;
        }
        task.handle = Handle::Dropped;
        task.bell = false;
        if task.done.is_none() {
            // The drop of a handle is no news to a task that has been asked to end: it does not even wake it.
            if !task.cancel {
                self.cancel(n);
            }
        } else if before == Handle::Held {
            self.bury(n, false);
        }
    }

    fn detach(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        match task.handle {
            Handle::Held => {
                task.handle = Handle::Detached;
                task.bell = false;
                if task.done.is_some() {
                    self.bury(n, true);
                }
            }
            Handle::Taken => task.handle = Handle::Dropped,
            Handle::Detached | Handle::Dropped => {}
        }
    }

    fn poll_handle(&mut self, n: usize) {
        let task = &mut self.tasks[n];
        if task.handle != Handle::Held || !self.running.is_empty() {
            return;
        }
        let words = match task.done {
            None => "pending",
            Some(Done::Value) => "a value",
            Some(Done::Error) => "an error",
            Some(Done::Panic) => "panicked",
            Some(Done::Cancelled) => "cancelled",
        };
        match task.done {
            None => task.bell = true,
            Some(_) => task.handle = Handle::Taken,
        }
        let value = task.done == Some(Done::Value);
        self.say(format!("outcome of {n}: {words}"));
        if value {
            self.say(format!("value {n} dropped"));
        }
    }

    fn close(&mut self) {
        self.closed = true;
        (0..self.tasks.len()).for_each(|n| self.end(n));
        for _ in 0..self.ready.len() {
            self.run_one();
        }
    }
}

fn run_model(program: &[Act]) -> Vec<String> {
    let mut model = Model::default();
    program.iter().for_each(|act| model.act(act));
    model.say("the end".to_owned());
    model.close();
    (0..model.tasks.len()).for_each(|n| model.drop_handle(n));
    model.trace
}

// ---- the law ----

struct Counting;

/// How many bytes are in use, without those of the test harness's own thread, which goes on beside the test.
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The mark of the first thread of the process, which is the harness's; or none, if that runs the test itself.
static HARNESS: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = 0;
const NONE: usize = usize::MAX;

thread_local! {
    /// Each thread has it at another address.
    static MARK: u8 = const { 0 };
}

fn mark() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

fn count(bytes: isize) {
    let mark = mark();
    let first = HARNESS.compare_exchange(UNKNOWN, mark, Ordering::Relaxed, Ordering::Relaxed);
    if first.is_err_and(|harness| harness != mark) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator, and a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test of this binary, so that no other test allocates meanwhile.
#[test]
fn tasks_do_as_their_model_does_and_leave_nothing_behind() {
    if HARNESS.load(Ordering::Relaxed) == mark() {
        HARNESS.store(NONE, Ordering::Relaxed);
    }
    let nothing = LIVE.load(Ordering::Relaxed);
    let something = Box::new(1);
    assert_eq!(LIVE.load(Ordering::Relaxed), nothing + 4, "this is counted");
    drop(something);
    std::panic::set_hook(Box::new(|_| ())); // the panics here are on purpose
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 10_000,
        ..ProptestConfig::default()
    };
    // A first run, as threads, panics and the list of free inboxes allocate once and keep it.
    run_tasks(&[Act::Spawn(Script {
        polls: vec![],
        last: vec![Act::WakeFromElsewhere(0)],
        end: End::Panic,
        elsewhere: false,
        wakes_itself_when_dropped: false,
    })]);
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&program(), |program| {
        let modelled = run_model(&program);
        let before = LIVE.load(Ordering::Relaxed);
        let trace = run_tasks(&program);
        prop_assert_eq!(&trace, &modelled);
        drop(trace);
        prop_assert_eq!(LIVE.load(Ordering::Relaxed), before, "bytes in use");
        Ok(())
    });
    let _ = std::panic::take_hook();
    if let Err(error) = result {
        panic!("{error}");
    }
}
