//! The crew: the threads of a pool, and the jobs on their way to them, under one lock.
//!
//! ```text
//!  held         outside          queue           a worker
//!  ───────► ─────────────► ─────────────► ──────────────────►
//!    its share      there is          first       runs it
//!    has a place    room for it       in line
//! ```
//!
//! A job stands on one of these lists, under its number. Only jobs of a share are ever held, and only a pool with a
//! limit leaves jobs outside. Taking a job off its list gives the right to it. A worker runs it, and a canceller passes
//! its place in its share to the next job.
//!
//! - **C1** Of the jobs in the queue, the one with the lowest number is begun first: in the order in which they came.
//! - **C2** While a job is in the queue, a worker is *coming*: it is awake, and looks at the queue before it becomes
//!   idle. Or no worker is idle, and a thread is starting for each job, or no more threads may be started.
//!   [`State::muster`] makes it so after each change: the worker that takes a job calls the next worker, if jobs are
//!   left. So a crowd of short jobs does not wake a worker each.
//! - **C3** A worker that has finished a job takes the next one, or counts as coming, before the outcome is told. So
//!   code that starts one job after the other needs one thread, and does not call a worker that comes by itself. Only
//!   the waker runs between, and wakers must not block.
//! - **C4** A worker leaves when the pool is shut down and the queue is empty. A job that is held or outside then has a
//!   job of the same share, or all threads, in front of it. So a worker is still to come for it.
//! - **C5** Nothing foreign runs under the lock, and no job is dropped under it.
//!
//! No channel is underneath. A job can be taken out of this line again, and the number of idle workers decides whether
//! a thread is started, called or ended. A channel offers neither.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use asyncio_loop::Context;

use crate::error::JobError;
use crate::line::Line;
use crate::rest::{Rest, SPIN};
use crate::settings::Settings;
use crate::sync::{AtomicBool, JoinHandle, Mutex, MutexGuard, Ordering, thread};
use crate::work::{WAKER_PANICKED, Work};

/// A job on its way to a thread.
pub(crate) struct Entry {
    pub(crate) work: Arc<dyn Work>,
    pub(crate) share: Option<ShareOf>,
}

/// The share of a job, and the number of its jobs that run at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShareOf {
    pub(crate) id: u64,
    pub(crate) limit: usize,
}

/// Under which number a job is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    number: u64,
    share: Option<ShareOf>,
}

/// The answer to a job that was handed in.
pub(crate) enum Entered {
    /// The job is on its way. It is accepted, or waits for room.
    Here { ticket: Ticket, accepted: bool },
    /// There is no room.
    Full,
    /// The pool is shut down.
    Closed,
}

/// The threads of a pool and the jobs on their way to them.
pub(crate) struct Crew {
    pub(crate) settings: Settings,
    state: Mutex<State>,
    /// Whether a worker spins.
    spinning: AtomicBool,
}

#[derive(Default)]
struct State {
    held: BTreeMap<(u64, u64), Entry>,
    outside: Line<Entry>,
    queue: Line<Entry>,
    next_number: u64,
    next_share: u64,
    /// The number of jobs of each share that are outside, in the queue, or running. Shares without one are not here.
    places: HashMap<u64, usize>,
    /// Idle workers. The last one is called first, so that the others may end. It is the worker that became idle last,
    /// or the one that spins, which is called without a system call.
    idle: Vec<Arc<Rest>>,
    /// Workers that will look at the queue without being called (C2).
    coming: usize,
    /// Threads that have not begun: they may have to run a handler first.
    starting: usize,
    /// Workers that have not left.
    threads: usize,
    /// Workers whose threads have not ended.
    alive: usize,
    started: u64,
    closed: bool,
    handles: Vec<JoinHandle<()>>,
    /// The wakers of tasks that wait for the end of the pool.
    waiting: BTreeMap<u64, Waker>,
}

/// The calls that follow from a change of the state. They are made after the lock is released (C5).
#[derive(Default)]
struct Calls {
    unpark: Option<Arc<Rest>>,
    /// The rare calls.
    others: Option<Box<OtherCalls>>,
}

#[derive(Default)]
struct OtherCalls {
    unpark: Vec<Arc<Rest>>,
    accepted: Vec<Arc<dyn Work>>,
    refused: Vec<(Arc<dyn Work>, JobError)>,
    ended: BTreeMap<u64, Waker>,
}

/// The next act of a worker.
enum Next {
    Run(Entry),
    LieDown,
    Leave,
}

impl Crew {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State::default()),
            spinning: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State, &mut Calls) -> R) -> R {
        let mut calls = Calls::default();
        let mut state = self.lock();
        let result = change(&mut state, &mut calls);
        state.muster(self, &mut calls);
        drop(state);
        calls.make(&self.settings);
        result
    }

    pub(crate) fn new_share(&self) -> u64 {
        let mut state = self.lock();
        state.next_share += 1;
        state.next_share
    }

    /// Takes a job in. With `wait`, also if there is no room for it yet.
    pub(crate) fn enter(self: &Arc<Self>, entry: Entry, wait: bool) -> Entered {
        self.change(|state, _| {
            // The caller has the job, too, so what comes back here is not dropped (C5).
            if state.closed {
                return Entered::Closed;
            }
            let share = entry.share;
            let has_place = share.is_none_or(|share| state.places_of(share.id) < share.limit);
            let has_room = state.outside.is_empty() && state.has_room(&self.settings);
            let limited = self.settings.queue_limit.is_some();
            if !wait && limited && !(has_place && has_room) {
                return Entered::Full;
            }
            let number = state.next_number;
            state.next_number += 1;
            if has_place {
                state.take_place(share);
                let line = match has_room {
                    true => &mut state.queue,
                    false => &mut state.outside,
                };
                line.insert(number, entry);
            } else if let Some(share) = share {
                state.held.insert((share.id, number), entry);
            }
            Entered::Here {
                ticket: Ticket { number, share },
                accepted: !limited || has_place && has_room,
            }
        })
    }

    /// Takes a job off its list, if it is on one.
    pub(crate) fn forget(self: &Arc<Self>, ticket: Ticket) {
        let Ticket { number, share } = ticket;
        let gone = self.change(|state, _| {
            let gone = state.queue.remove(number);
            let gone = gone.or_else(|| state.outside.remove(number));
            if gone.is_some() {
                state.give_place(share);
                return gone;
            }
            let share = share?;
            state.held.remove(&(share.id, number))
        });
        drop(gone);
    }

    /// Refuses further jobs from now on. Threads end when no job is left for them. With `cancel`, jobs that have not
    /// begun are cancelled.
    pub(crate) fn shut_down(self: &Arc<Self>, cancel: bool) {
        self.change(|state, calls| {
            state.closed = true;
            if cancel {
                calls.refuse(state, || JobError::Cancelled);
            }
            state.coming += state.idle.len();
            calls.call(state.idle.drain(..));
            state.settle(calls);
        });
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether the pool is shut down and all its threads have ended. If not, `waker` is woken at that time.
    pub(crate) fn poll_ended(&self, key: &mut Option<u64>, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.lock();
        if state.has_ended() {
            return true;
        }
        let key = *key.get_or_insert_with(|| {
            state.next_number += 1;
            state.next_number
        });
        let old = state.waiting.insert(key, waker);
        drop(state);
        drop(old);
        false
    }

    /// Ends a wait of [`poll_ended`](Self::poll_ended).
    pub(crate) fn forget_waiting(&self, key: u64) {
        let gone = self.lock().waiting.remove(&key);
        drop(gone);
    }

    /// Waits for the last instructions of threads that have ended.
    pub(crate) fn join_ended(&self) {
        let mut state = self.lock();
        if state.has_ended() {
            let handles = std::mem::take(&mut state.handles);
            drop(state);
            for handle in handles {
                // The panic hook has reported the panic of a thread-local's destructor.
                let _ = handle.join();
            }
        }
    }

    /// Waits for all threads that were started.
    #[cfg(all(test, loom))]
    pub(crate) fn join_all(&self) {
        loop {
            let handle = self.lock().handles.pop();
            match handle {
                Some(handle) => handle.join().unwrap(),
                None => return,
            }
        }
    }

    /// Whether this thread is one of the pool's.
    pub(crate) fn is_here(&self) -> bool {
        let here = thread::current().id();
        let state = self.lock();
        state.handles.iter().any(|h| h.thread().id() == here)
    }

    /// Threads, idle threads, and jobs that have not begun.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let waiting = state.queue.len() + state.outside.len() + state.held.len();
        (state.threads, state.idle.len(), waiting)
    }
}

impl State {
    fn places_of(&self, share: u64) -> usize {
        self.places.get(&share).copied().unwrap_or(0)
    }

    fn take_place(&mut self, share: Option<ShareOf>) {
        if let Some(share) = share {
            *self.places.entry(share.id).or_default() += 1;
        }
    }

    /// Gives a place in a share to the next job of the share.
    fn give_place(&mut self, share: Option<ShareOf>) {
        let Some(share) = share else { return };
        let mut held = self.held.range((share.id, 0)..=(share.id, u64::MAX));
        let next = held.next().map(|(key, _)| *key);
        if let Some(key) = next {
            let entry = self.held.remove(&key).expect("it was found there");
            self.outside.insert(key.1, entry);
        } else if let Some(places) = self.places.get_mut(&share.id) {
            *places -= 1;
            if *places == 0 {
                self.places.remove(&share.id);
            }
        }
    }

    /// Whether one more job may be in the queue. Those for which a thread is free do not wait there.
    fn has_room(&self, settings: &Settings) -> bool {
        let idle = self.idle.len() + self.coming + self.starting;
        let free = idle + (settings.max_threads - self.threads);
        settings
            .queue_limit
            .is_none_or(|limit| self.queue.len() < limit.saturating_add(free))
    }

    /// Moves jobs from outside into the queue, as long as there is room.
    fn admit(&mut self, settings: &Settings, calls: &mut Calls) {
        while !self.outside.is_empty() && self.has_room(settings) {
            let (number, entry) = self.outside.pop_first().expect("it is not empty");
            if settings.queue_limit.is_some() {
                calls.others().accepted.push(entry.work.clone());
            }
            self.queue.insert(number, entry);
        }
    }

    /// C2: takes jobs in, then calls or starts threads for them.
    fn muster(&mut self, crew: &Arc<Crew>, calls: &mut Calls) {
        loop {
            self.admit(&crew.settings, calls);
            if self.queue.is_empty() || self.coming > 0 {
                return;
            }
            if let Some(idle) = self.idle.pop() {
                self.coming += 1;
                calls.call([idle]);
                return;
            }
            if self.queue.len() <= self.starting || self.threads >= crew.settings.max_threads {
                return;
            }
            if let Err(error) = self.start_thread(crew) {
                // The others do it all, if there are any.
                if self.threads == 0 {
                    calls.refuse(self, || JobError::NoThread(copy(&error)));
                }
                return;
            }
        }
    }

    fn start_thread(&mut self, crew: &Arc<Crew>) -> io::Result<()> {
        let worker = crew.clone();
        let mut builder = thread::Builder::new();
        builder = builder.name(format!("{}-{}", crew.settings.name, self.started));
        if let Some(bytes) = crew.settings.stack_size {
            builder = builder.stack_size(bytes);
        }
        let handle = builder.spawn(move || worker.work())?;
        self.handles.push(handle);
        self.started += 1;
        self.threads += 1;
        self.alive += 1;
        self.starting += 1;
        Ok(())
    }

    /// The next act of a worker that was coming.
    fn next(&mut self, rest: &Arc<Rest>, another_spins: bool) -> Next {
        self.coming -= 1;
        if let Some((_, entry)) = self.queue.pop_first() {
            return Next::Run(entry);
        }
        if self.closed {
            self.threads -= 1;
            return Next::Leave;
        }
        let place = self.idle.len().saturating_sub(usize::from(another_spins));
        self.idle.insert(place, rest.clone());
        Next::LieDown
    }

    fn has_ended(&self) -> bool {
        self.closed && self.alive == 0
    }

    /// Wakes the tasks that wait for the end, if the pool has ended.
    fn settle(&mut self, calls: &mut Calls) {
        if self.has_ended() {
            calls.others().ended.append(&mut self.waiting);
        }
    }
}

impl Calls {
    fn others(&mut self) -> &mut OtherCalls {
        self.others.get_or_insert_default()
    }

    fn call(&mut self, workers: impl IntoIterator<Item = Arc<Rest>>) {
        for worker in workers {
            if worker.call() {
                match self.unpark {
                    None => self.unpark = Some(worker),
                    Some(_) => self.others().unpark.push(worker),
                }
            }
        }
    }

    /// Ends all jobs that have not begun.
    fn refuse(&mut self, state: &mut State, why: impl Fn() -> JobError) {
        let all = std::mem::take(&mut state.queue).into_values();
        let all = all.chain(std::mem::take(&mut state.outside).into_values());
        for entry in all {
            if let Some(share) = entry.share
                && let Some(places) = state.places.get_mut(&share.id)
            {
                *places -= 1;
            }
            self.others().refused.push((entry.work, why()));
        }
        state.places.retain(|_, places| *places > 0);
        for entry in std::mem::take(&mut state.held).into_values() {
            self.others().refused.push((entry.work, why()));
        }
    }

    fn make(self, settings: &Settings) {
        if let Some(worker) = self.unpark {
            worker.unpark();
        }
        if let Some(others) = self.others {
            others.make(settings);
        }
    }
}

impl OtherCalls {
    #[cold]
    fn make(self, settings: &Settings) {
        for worker in self.unpark {
            worker.unpark();
        }
        for work in self.accepted {
            work.accept(settings);
        }
        for (work, why) in self.refused {
            work.refuse(why, settings);
        }
        for waker in self.ended.into_values() {
            settings.quietly(None, WAKER_PANICKED, || waker.wake());
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// The loop of a worker.
impl Crew {
    fn work(self: Arc<Self>) {
        let settings = &self.settings;
        settings.quietly(None, "a pool's `on_thread_start` panicked", || {
            settings.on_start.call();
        });
        self.change(|state, _| {
            state.starting -= 1;
            state.coming += 1;
        });
        let rest = Arc::new(Rest::of_this_thread());
        let mut spare = Context::new();
        // Until it is known better: long.
        let mut last_wait = SPIN;
        let mut job = self.next(&rest, &mut last_wait);
        while let Some(Entry { work, share }) = job {
            let aftermath = work.run(&mut spare, settings);
            job = self.finish(share);
            aftermath.announce(settings);
            drop(work);
            if job.is_none() {
                job = self.next(&rest, &mut last_wait);
            }
        }
        settings.quietly(None, "a pool's `on_thread_stop` panicked", || {
            settings.on_stop.call();
        });
        self.change(|state, calls| {
            state.alive -= 1;
            if !state.closed {
                let here = thread::current().id();
                state.handles.retain(|handle| handle.thread().id() != here);
            }
            state.settle(calls);
        });
    }

    /// Waits for a job. `None`: the worker has left.
    fn next(self: &Arc<Self>, rest: &Arc<Rest>, last_wait: &mut Duration) -> Option<Entry> {
        loop {
            let may_spin = self.settings.may_spin && *last_wait < SPIN;
            // Only for speed: in any order of calls, each job in the queue has a worker (C2).
            let another_spins = self.spinning.load(Ordering::Relaxed);
            match self.change(|state, _| state.next(rest, another_spins)) {
                Next::Run(entry) => return Some(entry),
                Next::Leave => return None,
                Next::LieDown => {}
            }
            let since = Instant::now();
            if may_spin && !another_spins && !self.spinning.swap(true, Ordering::Relaxed) {
                rest.spin();
                self.spinning.store(false, Ordering::Relaxed);
            }
            if !rest.park(self.settings.keep_alive) && self.leave(rest) {
                return None;
            }
            *last_wait = since.elapsed();
            rest.rise();
        }
    }

    /// Leaves after a long wait, unless it was called meanwhile.
    fn leave(self: &Arc<Self>, rest: &Arc<Rest>) -> bool {
        self.change(|state, _| {
            let place = state.idle.iter().position(|idle| Arc::ptr_eq(idle, rest));
            if let Some(place) = place {
                state.idle.remove(place);
                state.threads -= 1;
            }
            place.is_some()
        })
    }

    /// C3: a job is over. Takes the next one, if there is one.
    fn finish(self: &Arc<Self>, share: Option<ShareOf>) -> Option<Entry> {
        self.change(|state, calls| {
            state.coming += 1;
            state.give_place(share);
            // The next job of the share may have come before those in the queue.
            state.admit(&self.settings, calls);
            let (_, next) = state.queue.pop_first()?;
            state.coming -= 1;
            Some(next)
        })
    }
}
