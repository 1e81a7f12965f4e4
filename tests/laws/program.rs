//! Random programs: trees of what may wait, each node watched as it runs.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio::{
    CancelScope, Cancelled, SpawnOptions, TaskGroup, TimerHandle, call_at, call_later,
    cancel_scope, catch_cancel, gather, race, shield, sleep, spawn_with, task_group, time, timeout,
    try_finally, yield_now,
};
use futures::future::{Either, LocalBoxFuture, join_all, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;

use crate::place::{Kind, Moment, Place, Watch};

/// A piece of a program, which may wait. Times are in seconds; 0 is a yield or, for a limit, at once.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Sleep(u64),
    /// Waits for a result, which comes after so many seconds.
    Result(u64),
    Fail,
    Sequence(Vec<Node>),
    Join(Vec<Node>),
    Unordered(Vec<Node>),
    Select(Box<Node>, Box<Node>),
    Timeout(u64, Box<Node>),
    /// A scope whose handle is used after so many seconds.
    Scope(u64, Box<Node>),
    Shield(Box<Node>),
    /// Work, a cleanup if it is cancelled, and what becomes of the request.
    Catch(Box<Node>, Box<Node>, Then),
    /// Work, and a cleanup both ways.
    Finally(Box<Node>, Box<Node>),
    /// The same with `try_finally` itself.
    Protect(Box<Node>, Box<Node>),
    /// Waits for so many seconds, and panics.
    Panic(u64),
    /// Catches the panic of its work.
    Caught(Box<Node>),
    /// A loop of so many rounds of work whose token leaves the scope that it holds; the work done meanwhile, and the
    /// end of the token.
    Escape(u64, Box<Node>, Box<Node>, Then),
    /// A body and children, of whom so many run at once.
    Group(Box<Node>, usize, Vec<Node>),
    Gather(Vec<Node>),
    Race(Vec<Node>),
    /// A task, awaited.
    Task(Box<Node>),
    /// The same, or a child of a group, which takes its first step before the spawn returns.
    Eager(Box<Node>),
}

/// The resolution of a request after the cleanup.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    Resume,
    Drop,
    Swallow,
}

/// A tree, who is cancelled when, and the order of ready tasks.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) root: Node,
    /// At that second, the task of that number: 0 is the root, and higher ones wrap around.
    pub(crate) cancels: Vec<(u64, usize)>,
    pub(crate) order: Option<u64>,
}

pub(crate) fn programs() -> impl Strategy<Value = Program> {
    let order = proptest::option::of(any::<u64>());
    (
        nodes(),
        prop::collection::vec((0..8_u64, 0..6_usize), 0..4),
        order,
    )
        .prop_map(|(root, cancels, order)| Program {
            root,
            cancels,
            order,
        })
}

fn nodes() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        6 => (0..6_u64).prop_map(Node::Sleep),
        3 => (0..6_u64).prop_map(Node::Result),
        1 => Just(Node::Fail),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let some = || prop::collection::vec(inner.clone(), 1..4);
        let then = prop_oneof![
            3 => Just(Then::Resume),
            1 => Just(Then::Drop),
            1 => Just(Then::Swallow),
        ];
        prop_oneof![
            2 => some().prop_map(Node::Sequence),
            2 => some().prop_map(Node::Join),
            1 => some().prop_map(Node::Unordered),
            1 => (one.clone(), one.clone()).prop_map(|(a, b)| Node::Select(a, b)),
            2 => (0..6_u64, one.clone()).prop_map(|(limit, work)| Node::Timeout(limit, work)),
            2 => (1..5_u64, one.clone(), one.clone(), any::<bool>()).prop_map(answers_and_goes_on),
            1 => (0..6_u64, one.clone()).prop_map(|(after, work)| Node::Scope(after, work)),
            2 => (one.clone(), one.clone(), one.clone(), 0..3_usize).prop_map(cleans_up_in_branches),
            2 => (one.clone(), one.clone(), one.clone(), 0..3_u64, 0..4_usize).prop_map(panics_in_a_cleanup),
            1 => (one.clone(), one.clone()).prop_map(|(a, b)| Node::Protect(a, b)),
            2 => (1..4_u64, one.clone(), one.clone(), then.clone())
                .prop_map(|(rounds, work, kept, then)| Node::Escape(rounds, work, kept, then)),
            1 => one.clone().prop_map(Node::Shield),
            5 => (one.clone(), one.clone(), then).prop_map(|(a, b, then)| Node::Catch(a, b, then)),
            2 => (one.clone(), one.clone()).prop_map(|(a, b)| Node::Finally(a, b)),
            3 => (one.clone(), 1..5_usize, some())
                .prop_map(|(body, limit, children)| Node::Group(body, limit, children)),
            1 => some().prop_map(Node::Gather),
            1 => some().prop_map(Node::Race),
            2 => one.clone().prop_map(Node::Task),
            2 => one.prop_map(Node::Eager),
        ]
    })
}

/// A limit around work that answers a request and goes on: few programs would have one by chance.
fn answers_and_goes_on((limit, work, cleanup, awaits): (u64, Box<Node>, Box<Node>, bool)) -> Node {
    let answers = match awaits {
        true => Node::Task(Box::new(Node::Shield(work))),
        false => Node::Catch(work, cleanup, Then::Swallow),
    };
    Node::Timeout(
        limit,
        Box::new(Node::Sequence(vec![answers, Node::Sleep(5)])),
    )
}

/// The message of a node's panic.
pub(crate) const PANIC: &str = "a node panics";

/// A time limit that is never due.
const NEVER: u64 = 1_500;

/// Work in `depth` scopes that are only there.
fn in_scopes(work: Node, depth: usize) -> Node {
    (0..depth).fold(work, |work, _| Node::Timeout(NEVER, Box::new(work)))
}

/// Branches with cleanups of unequal length and number, below scopes.
fn cleans_up_in_branches((a, b, c, depth): (Box<Node>, Box<Node>, Box<Node>, usize)) -> Node {
    let tidy = |work, cleanup| Node::Catch(work, cleanup, Then::Resume);
    let long = tidy(Box::new(tidy(Box::new(Node::Sleep(5)), a)), b);
    let branches = vec![
        in_scopes(long, depth % 2),
        tidy(Box::new(Node::Sleep(5)), c),
    ];
    in_scopes(Node::Join(branches), depth)
}

/// A cleanup that panics, below scopes and in two that clean up after that.
fn panics_in_a_cleanup(
    (work, a, b, after, depth): (Box<Node>, Box<Node>, Box<Node>, u64, usize),
) -> Node {
    let breaks = Node::Catch(work, Box::new(Node::Panic(after)), Then::Resume);
    let inner = Node::Protect(Box::new(in_scopes(breaks, depth)), a);
    Node::Caught(Box::new(Node::Protect(Box::new(inner), b)))
}

/// A node came to an error, which ends the group around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

type Running = LocalBoxFuture<'static, Result<(), Failed>>;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Runs a node at a place.
pub(crate) fn run(node: Node, place: Rc<Place>, watch: Rc<Watch>) -> Running {
    Box::pin(async move {
        let start = |node: Node, place: &Rc<Place>| run(node, place.clone(), watch.clone());
        match node {
            Node::Sleep(0) => {
                watch.polled();
                yield_now().await;
            }
            Node::Sleep(n) => {
                watch.polled();
                let mut sleep = pin!(sleep(secs(n)));
                poll_fn(|cx| {
                    watch.polled();
                    sleep.as_mut().poll(cx)
                })
                .await;
            }
            Node::Result(n) => Awaited::after(secs(n), &place, &watch).await,
            Node::Fail => return Err(Failed),
            Node::Sequence(nodes) => {
                for node in nodes {
                    start(node, &place).await?;
                }
            }
            Node::Join(nodes) => {
                let all = nodes.into_iter().map(|node| start(node, &place));
                return join_all(all).await.into_iter().collect();
            }
            Node::Unordered(nodes) => {
                let all = nodes.into_iter().map(|node| start(node, &place));
                let mut all: FuturesUnordered<_> = all.collect();
                let mut result = Ok(());
                while let Some(one) = all.next().await {
                    result = result.and(one);
                }
                return result;
            }
            Node::Select(a, b) => {
                let place = Place::new(Kind::Select, Some(&place));
                let (a, b) = (start(*a, &place), start(*b, &place));
                let (result, loser) = match select(a, b).await {
                    Either::Left((result, loser)) | Either::Right((result, loser)) => {
                        (result, loser)
                    }
                };
                place.ask();
                drop(loser);
                return result;
            }
            Node::Timeout(limit, work) => {
                let deadline = time() + secs(limit);
                let place = Place::with_deadline(Kind::Scope, Some(&place), Some(deadline));
                if let Ok(result) = timeout(secs(limit), start(*work, &place)).await {
                    if !place.may_end_at(time(), place.acts_at(deadline)) {
                        watch.broke("work outlived its time limit, and nobody held it up");
                    }
                    return result;
                }
                if time() < deadline {
                    watch.broke("a time limit came early");
                }
            }
            Node::Scope(after, work) => {
                let place = Place::new(Kind::Scope, Some(&place));
                let due = time() + secs(after);
                let asked = place.clone();
                let result = cancel_scope(async |scope: CancelScope| {
                    let message = watch.message();
                    let timer = call_later(secs(after), move || {
                        asked.ask_with(&message);
                        scope.cancel_with(message);
                    });
                    let _timer = OnDrop(|| timer.cancel());
                    start(*work, &place).await
                });
                match result.await {
                    Some(result) => {
                        if !place.may_end_at(time(), due) {
                            watch.broke("work outlived its cancelled scope, and nobody held it up");
                        }
                        return result;
                    }
                    None if time() < due => watch.broke("a scope ended before it was cancelled"),
                    None => {}
                }
            }
            Node::Shield(work) => {
                let place = Place::new(Kind::Shield, Some(&place));
                let mut whole = Whole::new("what a shield was around", &place, &watch);
                let result = shield(start(*work, &place)).await;
                whole.ended = true;
                return result;
            }
            Node::Catch(work, cleanup, then) => match catch_cancel(start(*work, &place)).await {
                Ok(result) => return result,
                Err(cancelled) => {
                    if !place.was_asked() {
                        watch.broke("a cancellation that nobody asked for");
                    }
                    heard(&cancelled, &place, &watch);
                    let mut whole = Whole::new("a cleanup after a cancellation", &place, &watch);
                    let result = start(*cleanup, &place).await;
                    whole.ended = true;
                    drop(whole);
                    match then {
                        Then::Resume => cancelled.resume().await,
                        Then::Drop => drop(cancelled),
                        Then::Swallow => {
                            place.answer();
                            cancelled.swallow();
                        }
                    }
                    return result;
                }
            },
            Node::Finally(work, cleanup) => {
                // As `try_finally`, which is watched in its two ways.
                match catch_cancel(start(*work, &place)).await {
                    Ok(result) => {
                        let mut whole = Whole::new("a cleanup without one", &place, &watch);
                        // A request that was there before takes the first await that waits.
                        whole.or_before = true;
                        let cleaned = start(*cleanup, &place).await;
                        whole.ended = true;
                        return result.and(cleaned);
                    }
                    Err(cancelled) => {
                        heard(&cancelled, &place, &watch);
                        let mut whole =
                            Whole::new("a cleanup after a cancellation", &place, &watch);
                        let _ = start(*cleanup, &place).await;
                        whole.ended = true;
                        drop(whole);
                        cancelled.resume().await
                    }
                }
            }
            Node::Protect(work, cleanup) => {
                let work = start(*work, &place);
                let cleanup = async {
                    let mut whole = Whole::new("a cleanup of `try_finally`", &place, &watch);
                    whole.or_before = true;
                    let _ = start(*cleanup, &place).await;
                    whole.ended = true;
                };
                // After a cancellation or a panic it is not cut by what was asked before.
                let ended = Rc::new(Cell::new(None));
                let work = Watched {
                    work,
                    returned: false,
                    place: place.clone(),
                    ended: ended.clone(),
                };
                let cleanup = async {
                    let mut whole = Whole::new("a cleanup after a panic", &place, &watch);
                    whole.ended = ended.get().is_none();
                    cleanup.await;
                    whole.ended = true;
                };
                return try_finally(work, cleanup).await;
            }
            Node::Panic(after) => {
                start(Node::Sleep(after), &place).await?;
                std::panic::resume_unwind(Box::new(PANIC));
            }
            Node::Caught(work) => {
                let work = AssertUnwindSafe(start(*work, &place)).catch_unwind();
                return work.await.unwrap_or(Ok(()));
            }
            Node::Escape(rounds, work, kept, then) => {
                // A request that comes after a delivery is another one. If cleanups of others hold a request up, it is
                // delivered once more when the last of them is over: to the scopes that have opened by then.
                let (mut told, mut again) = (None, false);
                for _ in 0..rounds {
                    let work = start((*work).clone(), &place);
                    let limit = timeout(secs(NEVER), catch_cancel(work));
                    let Ok(outcome) = limit.await else {
                        watch.broke("a time limit came early");
                        continue;
                    };
                    let cancelled = match outcome {
                        Ok(result) => {
                            result?;
                            continue;
                        }
                        Err(cancelled) => cancelled,
                    };
                    let is_known = told.is_some_and(|moment| !place.asked_since(moment));
                    if is_known && std::mem::replace(&mut again, true) {
                        watch.broke("a request was told again and again");
                    }
                    again &= is_known;
                    told = Some(place.moment());
                    heard(&cancelled, &place, &watch);
                    let mut whole = Whole::new("a cleanup with a moved token", &place, &watch);
                    let result = start((*kept).clone(), &place).await;
                    whole.ended = true;
                    drop(whole);
                    match then {
                        Then::Resume => cancelled.resume().await,
                        Then::Drop => drop(cancelled),
                        Then::Swallow => {
                            place.answer();
                            cancelled.swallow();
                        }
                    }
                    result?;
                }
            }
            Node::Group(body, limit, children) => {
                let around = place.clone();
                let place = Place::new(Kind::Group, Some(&place));
                let family = Family::new("a group", &watch);
                let running = Rc::new(Cell::new(0));
                let result = task_group(async |tg: TaskGroup<'_, Failed>| {
                    tg.limit(limit);
                    for node in children {
                        let (options, node) = start_of(node);
                        let child = Place::new(Kind::Member, Some(&place));
                        let (work, group, member) =
                            (start(node, &child), place.clone(), family.member());
                        let (running, watched) = (running.clone(), watch.clone());
                        let task = tg.spawn_with(options, async move {
                            let _member = member;
                            running.set(running.get() + 1);
                            let _running = OnDrop(|| running.set(running.get() - 1));
                            if running.get() > limit {
                                watched.broke("more children run at once than may");
                            }
                            let result = work.await;
                            if result.is_err() {
                                group.ask();
                            }
                            result
                        });
                        if let Some(task) = task.as_ref() {
                            watch.tasks.borrow_mut().push((task, child));
                        }
                    }
                    let result = start(*body, &place).await;
                    if result.is_err() {
                        place.ask();
                    }
                    result
                });
                let result = result.await;
                family.is_gone();
                if result.is_err() {
                    // Errors come out first; a request takes the next await after them.
                    place.held_up_until_now();
                } else if place.was_asked() {
                    around.answer(); // All of them may have swallowed it.
                }
                return result.map_err(|errors| *errors.first());
            }
            Node::Gather(nodes) => {
                let around = place.clone();
                let place = Place::new(Kind::Group, Some(&place));
                let family = Family::new("a gathering", &watch);
                let all: Vec<_> = nodes
                    .into_iter()
                    .map(|node| {
                        let part = Place::new(Kind::Member, Some(&place));
                        let (work, member) = (start(node, &part), family.member());
                        async move {
                            let _member = member;
                            work.await
                        }
                    })
                    .collect();
                let results = gather(all).await;
                family.is_gone();
                if place.was_asked() {
                    around.answer();
                }
                return results.into_iter().collect();
            }
            Node::Race(nodes) => {
                let around = place.clone();
                let place = Place::new(Kind::Group, Some(&place));
                let family = Family::new("a race", &watch);
                let all: Vec<_> = nodes
                    .into_iter()
                    .map(|node| {
                        let (work, place, member) =
                            (start(node, &place), place.clone(), family.member());
                        async move {
                            let _member = member;
                            let result = work.await;
                            place.ask();
                            result
                        }
                    })
                    .collect();
                let result = race(all).await;
                family.is_gone();
                // A value comes out first; a request takes the next await after it.
                place.held_up_until_now();
                if around.was_asked() {
                    around.answer();
                }
                return result;
            }
            task @ (Node::Task(_) | Node::Eager(_)) => {
                let (options, work) = match task {
                    Node::Task(work) => (SpawnOptions::new(), *work),
                    eager => start_of(eager),
                };
                let inside = Place::new(Kind::Task, Some(&place));
                let task = spawn_with(options, start(work, &inside));
                watch.tasks.borrow_mut().push((task.as_ref(), inside));
                // The request is with the task as long as the await lasts.
                let dropped = OnDrop(|| place.held_up_until_now());
                let result = task.await;
                std::mem::forget(dropped);
                match result {
                    Ok(result) => {
                        if place.was_asked() {
                            place.answer();
                        }
                        return result;
                    }
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => watch.broke(format!("a task ended by {error}")),
                }
            }
        }
        Ok(())
    })
}

/// How a child starts, and what it runs.
fn start_of(child: Node) -> (SpawnOptions, Node) {
    match child {
        Node::Eager(work) => (SpawnOptions::new().eager_start(), *work),
        work => (SpawnOptions::new(), work),
    }
}

fn heard(cancelled: &Cancelled, place: &Rc<Place>, watch: &Watch) {
    if !place.may_hear(cancelled.message()) {
        watch.broke(format!("{cancelled:?}: that was said to somebody else"));
    }
}

/// Work that notes when it ended without a value.
struct Watched {
    work: Running,
    returned: bool,
    place: Rc<Place>,
    ended: Rc<Cell<Option<Moment>>>,
}

impl Future for Watched {
    type Output = Result<(), Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = self.work.as_mut().poll(cx);
        self.returned = result.is_ready();
        result
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.returned {
            self.ended.set(Some(self.place.moment()));
        }
    }
}

/// Runs to its end, or somebody has asked otherwise.
struct Whole {
    what: &'static str,
    place: Rc<Place>,
    watch: Rc<Watch>,
    begun: Moment,
    ended: bool,
    /// Requests from before its beginning count as well.
    or_before: bool,
}

impl Whole {
    fn new(what: &'static str, place: &Rc<Place>, watch: &Rc<Watch>) -> Self {
        Self {
            what,
            place: place.clone(),
            watch: watch.clone(),
            begun: place.moment(),
            ended: false,
            or_before: false,
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // It has panicked itself.
        }
        // A request waits for a cleanup's token, and for a shield.
        self.place.held_up_until_now();
        let asked = self.place.asked_since(self.begun);
        let asked = asked || (self.or_before && self.place.was_asked());
        if !self.ended && !asked {
            let what = self.what;
            self.watch
                .broke(format!("{what} was cut, and nobody had asked"));
        }
    }
}

/// Members that must be gone before their group, gathering or race is over.
struct Family {
    what: &'static str,
    members: Rc<Cell<usize>>,
    watch: Rc<Watch>,
}

struct Member(Rc<Cell<usize>>);

impl Family {
    fn new(what: &'static str, watch: &Rc<Watch>) -> Self {
        Self {
            what,
            members: Rc::default(),
            watch: watch.clone(),
        }
    }

    fn member(&self) -> Member {
        self.members.set(self.members.get() + 1);
        Member(self.members.clone())
    }

    fn is_gone(&self) {
        if self.members.get() > 0 {
            self.watch.broke(format!("a child outlived {}", self.what));
        }
    }
}

impl Drop for Family {
    // Declared before what runs it, so dropped after that, however it ends.
    fn drop(&mut self) {
        self.is_gone();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A result that comes later. If it was there before anybody asked for an end, it must not be lost, unless nobody can
/// take it any more.
struct Awaited {
    place: Rc<Place>,
    watch: Rc<Watch>,
    state: Rc<RefCell<Arrival>>,
    timer: TimerHandle,
}

enum Arrival {
    Waiting(Waker),
    /// It came, before any request or after one. The requests to the code that drops it are kept.
    There {
        first: bool,
        drops: Moment,
    },
    Taken,
}

impl Awaited {
    fn after(delay: Duration, place: &Rc<Place>, watch: &Rc<Watch>) -> Self {
        let state = Rc::new(RefCell::new(Arrival::Waiting(Waker::noop().clone())));
        let (arrival, at) = (state.clone(), place.clone());
        let timer = call_at(time() + delay, move || {
            let there = Arrival::There {
                first: !at.was_asked(),
                drops: dropping(&at).moment(),
            };
            if !matches!(*arrival.borrow(), Arrival::Waiting(_)) {
                return;
            }
            let was = arrival.replace(there);
            if let Arrival::Waiting(waker) = was {
                waker.wake();
            }
        });
        Self {
            place: place.clone(),
            watch: watch.clone(),
            state,
            timer,
        }
    }
}

/// The same place as seen from behind a shield: only those who drop reach it.
fn dropping(place: &Rc<Place>) -> Rc<Place> {
    Place::new(Kind::Shield, Some(place))
}

impl Future for Awaited {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.watch.polled();
        let mut state = self.state.borrow_mut();
        if let Arrival::Waiting(waker) = &mut *state {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        *state = Arrival::Taken;
        Poll::Ready(())
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.timer.cancel();
        let was = self.state.replace(Arrival::Taken);
        if let Arrival::There { first: true, drops } = was
            && !dropping(&self.place).asked_since(drops)
            && !self.place.is_unwanted()
        {
            self.watch
                .broke("a result was lost that came before anybody asked for an end");
        }
    }
}
