//! The workers of a pool and the calls that wait for them.
//!
//! A worker with work has a *feeder*: a task of the loop that sends it calls, one after the other, and waits for the
//! answers. Without calls the feeder ends, and the worker is idle: the loop does not know of it.
//!
//! - A call is taken from the queue by one feeder, which settles it, or puts it back if no worker has had it.
//! - For each call that waits a feeder is coming, or all workers are busy. If no worker can be started, the call is
//!   settled with the reason.
//! - A feeder that is dropped, with its loop, kills its worker and settles its call.
//! - Until the first worker has said hello, at most one program runs. It may not be a worker.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::{SpawnOptions, try_running_loop, try_spawn_with};

use super::call::{Call, Waiting};
use super::chunk::{ANSWER, MOST_CALLS};
use super::error::ProcessError;
use super::frame::{Frame, FrameError, Incoming, Kind, encode, set_number};
use super::link::{Line, Lost, Program, Worker};
use super::remote::Addresses;
use super::summons::Summons;
use super::worker::Limits;

/// The time that a program may take to become a worker if it has been one before. The machine may be busy.
const KNOWN_PATIENCE: Duration = Duration::from_secs(30);

/// The number of tries of a start or a call whose workers end before they have had a call.
const TRIES: u32 = 5;

/// The settings of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) max_tasks: Option<usize>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) message_limit: usize,
    pub(crate) start_timeout: Duration,
    pub(crate) kill_on_cancel: bool,
    pub(crate) program: Program,
}

impl Settings {
    /// The maximum size of an answer: a value, or the values of a chunk.
    fn answer_limit(&self) -> usize {
        self.message_limit.saturating_add(MOST_CALLS * ANSWER)
    }
}

/// The workers of a pool and the calls that wait for them.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) settings: Settings,
    /// Read from the program when the first call is made.
    addresses: OnceCell<Addresses>,
    state: RefCell<State>,
    /// The tasks that wait for the end of the pool, or for workers that say hello.
    changed: RefCell<Vec<Rc<Waiting>>>,
    /// The number of failed starts since the last success of a worker.
    failed: Cell<u32>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Rc<Call>>,
    /// The number of cancelled calls in the queue.
    cancelled: usize,
    /// The idle ones that were used last are used first.
    idle: Vec<Worker>,
    /// The numbers of the processes that have a feeder.
    driven: Vec<u32>,
    /// The number of workers, with those that are starting or ending.
    workers: usize,
    /// The number of feeders that have not looked for a first call.
    coming: usize,
    /// Whether a worker has said hello.
    is_known: bool,
    is_closed: bool,
    /// Why no call can succeed any more.
    broken: Option<ProcessError>,
    /// Why the last start failed, if it did.
    last_failure: Option<ProcessError>,
}

/// The numbers of workers and calls in a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) workers: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
}

impl Crew {
    pub(crate) fn new(settings: Settings) -> Rc<Self> {
        Rc::new(Self {
            settings,
            addresses: OnceCell::new(),
            state: RefCell::default(),
            changed: RefCell::default(),
            failed: Cell::new(0),
        })
    }

    /// The addresses of the functions that can be called.
    pub(crate) fn addresses(&self) -> &Addresses {
        self.addresses.get_or_init(Addresses::of_this_program)
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.borrow();
        Counts {
            workers: state.workers,
            idle: state.idle.len(),
            waiting: state.queue.len() - state.cancelled,
        }
    }

    /// The numbers of the processes that have said hello.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let state = self.state.borrow();
        let idle = state.idle.iter().map(Worker::id);
        let mut ids: Vec<u32> = idle.chain(state.driven.iter().copied()).collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.borrow().is_closed
    }

    /// Why no call can succeed, if that is so.
    pub(crate) fn refusal(&self) -> Option<ProcessError> {
        let state = self.state.borrow();
        let closed = state.is_closed.then_some(ProcessError::Closed);
        closed.or_else(|| state.broken.clone())
    }

    /// Puts a call into the queue.
    pub(crate) fn enter(self: &Rc<Self>, call: Rc<Call>) {
        self.state.borrow_mut().queue.push_back(call);
        self.dispatch();
    }

    /// Notes that a call in the queue was cancelled. A feeder removes it in its turn, or all are removed when there are
    /// many.
    pub(crate) fn forget_one(&self) {
        let mut state = self.state.borrow_mut();
        state.cancelled += 1;
        if state.cancelled > 32 && state.cancelled > state.queue.len() / 2 {
            state.queue.retain(|call| call.is_waiting());
            state.cancelled = 0;
        }
    }

    /// Starts feeders for the calls in the queue.
    fn dispatch(self: &Rc<Self>) {
        match try_running_loop() {
            Ok(here) if here.is_closed() => return self.fail_queue(&ProcessError::Closed),
            // A feeder that rests with its loop goes on with the next run.
            Err(_no_loop) => return,
            Ok(_open) => {}
        }
        loop {
            let worker = {
                let mut state = self.state.borrow_mut();
                let waiting = state.queue.len() - state.cancelled;
                if waiting <= state.coming {
                    return;
                }
                match state.idle.pop() {
                    Some(worker) => Some(worker),
                    None if !self.may_start(&state) => return,
                    None => {
                        state.workers += 1;
                        None
                    }
                }
            };
            if !self.drive(worker) {
                return;
            }
        }
    }

    fn may_start(&self, state: &State) -> bool {
        let is_alone = state.workers == 0;
        state.broken.is_none()
            && state.workers < self.settings.workers
            && (state.is_known || is_alone)
            // With others there is no haste: they do the calls meanwhile.
            && (self.failed.get() < TRIES || is_alone)
    }

    /// Starts the missing workers, also without waiting calls.
    pub(crate) fn start_all(self: &Rc<Self>) {
        loop {
            {
                let mut state = self.state.borrow_mut();
                if state.is_closed || !self.may_start(&state) {
                    return;
                }
                state.workers += 1;
            }
            if !self.drive(None) {
                return;
            }
        }
    }

    /// Ready when all workers have started, or with the error of one that could not.
    pub(crate) fn poll_started(&self) -> Poll<Result<(), ProcessError>> {
        if let Some(error) = self.refusal() {
            return Poll::Ready(Err(error));
        }
        let state = self.state.borrow();
        if let Some(error) = state.last_failure.clone() {
            return Poll::Ready(Err(error));
        }
        match state.idle.len() + state.driven.len() {
            there if there >= self.settings.workers => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Whether the pool is shut down and has no worker any more.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.state.borrow();
        state.is_closed && state.workers == 0
    }

    /// Registers `waiting`, to be woken at each change of `poll_started` and `has_ended`.
    pub(crate) fn watch(&self, waiting: &Rc<Waiting>) {
        self.changed.borrow_mut().push(waiting.clone());
    }

    pub(crate) fn watch_no_longer(&self, waiting: &Rc<Waiting>) {
        let mut changed = self.changed.borrow_mut();
        changed.retain(|other| !Rc::ptr_eq(other, waiting));
    }

    fn tell_of_change(&self) {
        let all = self.changed.borrow().clone();
        all.iter().for_each(|waiting| waiting.wake());
    }

    /// Shuts the pool down. Calls in the queue still run, or are cancelled.
    pub(crate) fn shut_down(self: &Rc<Self>, cancel: bool) {
        let (idle, dropped) = {
            let mut state = self.state.borrow_mut();
            state.is_closed = true;
            let dropped = match cancel {
                true => {
                    state.cancelled = 0;
                    std::mem::take(&mut state.queue)
                }
                false => VecDeque::new(),
            };
            (std::mem::take(&mut state.idle), dropped)
        };
        for call in dropped {
            call.settle(Err(ProcessError::Cancelled));
        }
        for worker in idle {
            // It finds no call, and retires the worker.
            self.drive(Some(worker));
        }
        self.tell_of_change();
    }

    /// Spawns a feeder for this worker, or for one that it starts. `false` if the loop takes no more tasks.
    fn drive(self: &Rc<Self>, worker: Option<Worker>) -> bool {
        self.state.borrow_mut().coming += 1;
        let seat = Seat {
            crew: self.clone(),
            is_coming: true,
            id: worker.as_ref().map(Worker::id),
            call: None,
        };
        self.state.borrow_mut().driven.extend(seat.id);
        // Not one of the user's tasks: it is in no list, and goes with the loop.
        match try_spawn_with(SpawnOptions::callback(), seat.drive(worker)) {
            Ok(feeder) => {
                feeder.detach();
                true
            }
            Err(refused) => {
                drop(refused);
                false
            }
        }
    }

    /// Settles all calls in the queue with an error.
    fn fail_queue(&self, error: &ProcessError) {
        let queue = {
            let mut state = self.state.borrow_mut();
            state.cancelled = 0;
            std::mem::take(&mut state.queue)
        };
        for call in queue {
            call.settle(Err(error.clone()));
        }
    }

    /// Settles the next call in the queue with an error.
    fn fail_first(&self, error: ProcessError) {
        if let Some((call, _frame)) = self.next() {
            call.settle(Err(error));
        }
    }

    /// Takes the next call from the queue.
    fn next(&self) -> Option<(Rc<Call>, Vec<u8>)> {
        loop {
            let call = self.state.borrow_mut().queue.pop_front()?;
            match call.begin() {
                Some(frame) => return Some((call, frame)),
                None => {
                    let mut state = self.state.borrow_mut();
                    state.cancelled = state.cancelled.saturating_sub(1);
                }
            }
        }
    }
}

/// A feeder's place in the crew. It counts the worker, and settles the call that runs.
struct Seat {
    crew: Rc<Crew>,
    is_coming: bool,
    /// The number of the process, if it has said hello.
    id: Option<u32>,
    call: Option<Rc<Call>>,
}

/// Why a start gave no worker.
enum Failed {
    /// No worker is needed any more.
    Unneeded,
    /// The program is no worker.
    NotAWorker(String),
    /// Another process killed this one. Others may start.
    Killed(ExitStatus),
    /// Another reason. The next try may succeed.
    Otherwise(io::Error),
}

impl Seat {
    /// Runs calls on a worker until there is no call.
    async fn drive(mut self, worker: Option<Worker>) {
        let here = try_running_loop().ok();
        // Virtual time does not jump over what is out.
        let _away = here.as_ref().map(|here| here.outside_work());
        let mut incoming = Incoming::new(self.crew.settings.answer_limit());
        let started = match worker {
            Some(worker) => self.resumed(worker, &mut incoming).await,
            None => self.start(&mut incoming).await,
        };
        let (worker, line) = match started {
            Ok(started) => started,
            Err(failed) => return self.failed(failed),
        };
        self.crew.failed.set(0);
        self.says_hello(&worker);
        self.run(worker, line, incoming).await;
    }

    /// Notes that the worker has said hello.
    fn says_hello(&mut self, worker: &Worker) {
        let was_known = {
            let mut state = self.crew.state.borrow_mut();
            if self.id.is_none() {
                state.driven.push(worker.id());
            }
            state.last_failure = None;
            std::mem::replace(&mut state.is_known, true)
        };
        self.id = Some(worker.id());
        self.crew.tell_of_change();
        if !was_known {
            // Now others may start as well.
            self.crew.dispatch();
        }
    }

    /// A worker that was idle, or another one if it has ended since.
    async fn resumed(
        &mut self,
        worker: Worker,
        incoming: &mut Incoming,
    ) -> Result<(Worker, Line), Failed> {
        let line = worker.listen().map_err(Failed::Otherwise)?;
        if worker.is_waiting() {
            return Ok((worker, line));
        }
        // A word that was not asked for is as good as none.
        self.leave();
        worker.killed(line).await;
        match self.crew.counts().waiting {
            0 => Err(Failed::Unneeded),
            _ => self.start(incoming).await,
        }
    }

    async fn start(&mut self, incoming: &mut Incoming) -> Result<(Worker, Line), Failed> {
        let settings = &self.crew.settings;
        if let Some(summons) = Summons::pending() {
            // This program was started as a worker itself, and has not become one.
            summons.decline();
            return Err(Failed::NotAWorker("started a pool of its own".to_owned()));
        }
        let mut worker = Worker::start(&settings.program).map_err(Failed::Otherwise)?;
        let mut line = worker.listen().map_err(Failed::Otherwise)?;
        let is_known = self.crew.state.borrow().is_known;
        let patience = match is_known {
            true => settings.start_timeout.max(KNOWN_PATIENCE),
            false => settings.start_timeout,
        };
        let limits = Limits {
            memory: settings.memory_limit,
            message: settings.message_limit as u64,
        };
        let limits = encode(Kind::Configure, &[], &limits, 64);
        let limits = limits.expect("two numbers are short");
        let hello = worker
            .exchange(&mut line, incoming, &limits, Some(patience), |_| false)
            .await;
        let why = match hello {
            Ok(frame) if frame.kind == Kind::Hello && frame.text() == worker.hello() => {
                return Ok((worker, line));
            }
            Ok(frame) if frame.kind == Kind::Forgot => "started a pool of its own".to_owned(),
            Ok(_) => "has said something else than a worker of this version".to_owned(),
            Err(Lost::Io(error)) => return Err(Failed::Otherwise(error)),
            Err(Lost::Ended | Lost::Unsent) => {
                let status = worker.ended(line).await.map_err(Failed::Otherwise)?;
                return Err(Failed::ended(status, is_known));
            }
            Err(Lost::Garbage(error)) => format!("has written what is no frame: {error}"),
            Err(Lost::TimeLimit(_) | Lost::Killed) => {
                worker.killed(line).await;
                return Err(Failed::late(patience, is_known));
            }
        };
        worker.killed(line).await;
        Err(Failed::NotAWorker(why))
    }

    /// Handles a failed start: tries another one, or settles calls with the error.
    fn failed(self, failed: Failed) {
        let crew = &self.crew;
        let mut is_broken = false;
        let mut concerns_all = true;
        let error = match failed {
            Failed::Unneeded => return,
            Failed::NotAWorker(why) => {
                is_broken = true;
                ProcessError::NotAWorker(why)
            }
            Failed::Killed(status) => {
                concerns_all = !crew.state.borrow().is_known;
                ProcessError::no_worker(ended_early(status))
            }
            Failed::Otherwise(error) => ProcessError::no_worker(error),
        };
        let tries = crew.failed.get() + 1;
        crew.failed.set(tries);
        let is_last_try = {
            let mut state = crew.state.borrow_mut();
            state.last_failure = Some(error.clone());
            if is_broken {
                state.broken = Some(error.clone());
            }
            is_broken || tries >= TRIES && state.workers == 1
        };
        if is_last_try {
            crew.failed.set(0);
            match concerns_all {
                true => crew.fail_queue(&error),
                false => crew.fail_first(error),
            }
        }
        // The drop of this gives the place to another feeder, if calls are left.
    }

    async fn run(mut self, mut worker: Worker, mut line: Line, mut incoming: Incoming) {
        let crew = self.crew.clone();
        let settings = &crew.settings;
        loop {
            let next = crew.next();
            self.has_come();
            let Some((call, mut frame)) = next else {
                if crew.is_closed() {
                    self.leave();
                    worker.retired(line).await;
                    return;
                }
                drop(line);
                return self.rest(worker);
            };
            self.call = Some(call.clone());
            // Each call that a worker is sent has a number of its own there, and so an answer that comes late is none.
            worker.calls += 1;
            let number = worker.calls;
            set_number(&mut frame, number);
            let answer = worker
                .exchange(
                    &mut line,
                    &mut incoming,
                    &frame,
                    settings.time_limit,
                    |cx| call.is_unwanted(cx),
                )
                .await;
            let lost = match answer {
                Ok(answer) if !is_answer(answer.kind) => Lost::Garbage(FrameError::Unexpected),
                Ok(answer) if answer.number != number => {
                    Lost::Garbage(FrameError::OtherCall(answer.number, number))
                }
                Ok(answer) => {
                    worker.rest();
                    crew.failed.set(0);
                    self.settle(Ok(answer));
                    if settings.max_tasks.is_some_and(|most| number >= most as u64) {
                        self.leave();
                        worker.retired(line).await;
                        return;
                    }
                    continue;
                }
                Err(lost) => lost,
            };
            self.leave();
            let outcome = self.lost(worker, line, lost, &call, frame).await;
            return match outcome {
                Some(error) => self.settle(Err(error)),
                None => drop(self),
            };
        }
    }

    /// The outcome of a call whose worker gave no answer. `None` if the call is in the queue again.
    async fn lost(
        &mut self,
        worker: Worker,
        line: Line,
        lost: Lost,
        call: &Rc<Call>,
        frame: Vec<u8>,
    ) -> Option<ProcessError> {
        match lost {
            Lost::Unsent => {
                let status = worker.ended(line).await;
                call.unsent.set(call.unsent.get() + 1);
                if call.unsent.get() < TRIES {
                    self.call = None;
                    call.take_back(frame);
                    self.crew.state.borrow_mut().queue.push_front(call.clone());
                    return None;
                }
                Some(died(status))
            }
            Lost::Ended => Some(died(worker.ended(line).await)),
            Lost::TimeLimit(limit) => {
                worker.killed(line).await;
                Some(ProcessError::TimeLimit(limit))
            }
            Lost::Killed => {
                worker.killed(line).await;
                Some(ProcessError::Cancelled)
            }
            Lost::Garbage(error) => {
                worker.killed(line).await;
                Some(ProcessError::Garbage(error.to_string()))
            }
            Lost::Io(error) => {
                worker.killed(line).await;
                Some(ProcessError::no_worker(error))
            }
        }
    }

    fn settle(&mut self, outcome: Result<Frame, ProcessError>) {
        if let Some(call) = self.call.take() {
            call.settle(outcome);
        }
    }

    fn has_come(&mut self) {
        if std::mem::replace(&mut self.is_coming, false) {
            self.crew.state.borrow_mut().coming -= 1;
        }
    }

    /// Notes that the worker takes no more calls.
    fn leave(&mut self) {
        if let Some(id) = self.id.take() {
            self.crew
                .state
                .borrow_mut()
                .driven
                .retain(|other| *other != id);
        }
    }

    /// Leaves the worker to the pool.
    fn rest(mut self, mut worker: Worker) {
        self.leave();
        worker.rest();
        let mut state = self.crew.state.borrow_mut();
        state.idle.push(worker);
        // The drop of the seat takes one away.
        state.workers += 1;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.has_come();
        self.leave();
        self.settle(Err(ProcessError::Closed));
        self.crew.state.borrow_mut().workers -= 1;
        self.crew.dispatch();
        self.crew.tell_of_change();
    }
}

impl Failed {
    /// The reason of a program that has closed its socket. `is_known`: it has been a worker before.
    fn ended(status: Option<ExitStatus>, is_known: bool) -> Self {
        match status {
            None if is_known => Self::Otherwise(io::Error::other(FrameError::Closed)),
            None => Self::NotAWorker("closed its standard input".to_owned()),
            Some(status) if status.code().is_none() => Self::Killed(status),
            Some(status) if is_known => Self::Otherwise(ended_early(status)),
            Some(status) => Self::NotAWorker(format!("ended ({status})")),
        }
    }

    /// The reason of a program that has not said hello in time.
    fn late(patience: Duration, is_known: bool) -> Self {
        match is_known {
            true => Self::Otherwise(io::Error::other(format!(
                "it did not become a worker within {patience:?}"
            ))),
            false => Self::NotAWorker(format!("did not become one within {patience:?}")),
        }
    }
}

fn ended_early(status: ExitStatus) -> io::Error {
    io::Error::other(format!("it ended before it became a worker ({status})"))
}

fn is_answer(kind: Kind) -> bool {
    use Kind::{BadArguments, BadValue, Panicked, Unknown, Value};
    matches!(kind, Value | Panicked | Unknown | BadArguments | BadValue)
}

fn died(status: io::Result<Option<ExitStatus>>) -> ProcessError {
    match status {
        Ok(Some(status)) => ProcessError::Died(status),
        Ok(None) => ProcessError::Garbage(FrameError::Closed.to_string()),
        Err(error) => ProcessError::no_worker(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They leave the queue when they are more than 32, and more than half of it.
    #[test]
    fn cancelled_calls_take_no_more_room_than_others() {
        let crew = Crew::new(Settings {
            workers: 1,
            max_tasks: None,
            memory_limit: None,
            time_limit: None,
            message_limit: 0,
            start_timeout: Duration::ZERO,
            kill_on_cancel: false,
            program: Program::default(),
        });
        let calls = [(); 200].map(|()| Call::new(Vec::new()));
        // Without a loop none of them begins.
        calls.iter().for_each(|call| crew.enter(call.clone()));
        let mut lengths = Vec::new();
        for (n, call) in calls.iter().enumerate() {
            call.settle(Err(ProcessError::Cancelled));
            crew.forget_one();
            assert_eq!(crew.counts().waiting, calls.len() - n - 1);
            lengths.push(crew.state.borrow().queue.len());
        }
        lengths.dedup();
        // After 101, 50 and 33 of them.
        assert_eq!(lengths, [200, 99, 49, 16]);
    }

    /// A program that has been a worker is one, so another start may succeed.
    #[test]
    fn the_reason_of_a_failed_start_depends_on_earlier_ones() {
        use std::os::unix::process::ExitStatusExt;
        let told = |failed| match failed {
            Failed::Unneeded => "not needed".to_owned(),
            Failed::NotAWorker(why) => format!("it is no worker: it {why}"),
            Failed::Killed(status) => format!("it was killed: {status}"),
            Failed::Otherwise(error) => error.to_string(),
        };
        let exited = Some(ExitStatus::from_raw(3 << 8));
        let killed = Some(ExitStatus::from_raw(9));
        let [first, later] = [false, true].map(|is_known| {
            let ended = [None, exited, killed].map(|status| Failed::ended(status, is_known));
            let late = Failed::late(Duration::from_secs(1), is_known);
            ended.into_iter().chain([late]).map(told).collect()
        });
        let (first, later): (Vec<_>, Vec<_>) = (first, later);
        assert_eq!(
            first,
            [
                "it is no worker: it closed its standard input",
                "it is no worker: it ended (exit status: 3)",
                "it was killed: signal: 9 (SIGKILL)",
                "it is no worker: it did not become one within 1s",
            ]
        );
        assert_eq!(
            later,
            [
                "it closed its socket and went on",
                "it ended before it became a worker (exit status: 3)",
                "it was killed: signal: 9 (SIGKILL)",
                "it did not become a worker within 1s",
            ]
        );
    }
}
