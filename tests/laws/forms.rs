//! The forms of a combinator, with the same random members.
//!
//! A `gather`, a `try_gather` or a `race` takes a tuple, an array, a `Vec` or any iterator, or runs so many at a time.
//! A task group may have the same members. The result, the events of each member and their times, the reports of lost
//! panics, and the end of a request from outside must be the same.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{
    Cause, EventLoop, TaskGroup, catch_cancel, gather, gather_bounded, gather_iter, race,
    race_iter, sleep, spawn, task_group, time, timeout, try_gather, try_gather_bounded,
    try_gather_iter,
};
use futures::future::LocalBoxFuture;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::config;
use crate::members::{
    Act, CUT, Events, Member, Outcome, Trace, member, members, number, plain_members, play, step,
    swallows_first,
};

/// The combinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gather,
    TryGather,
    Race,
}

impl Kind {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        prop_oneof![Just(Self::Gather), Just(Self::TryGather), Just(Self::Race)]
    }
}

/// The form of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Tuple,
    Array,
    Vec,
    Iter,
    /// As many at a time as there are.
    Bounded,
    /// A task group, whose body only spawns.
    Group,
    /// A `select!`, in place of a race.
    Select,
}

/// The form of a call, and that of the calls in its members, which have the first again in theirs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forms(Form, Form);

const FORMS: [Forms; 8] = [
    Forms(Form::Tuple, Form::Tuple),
    Forms(Form::Array, Form::Array),
    Forms(Form::Vec, Form::Vec),
    Forms(Form::Tuple, Form::Vec),
    Forms(Form::Vec, Form::Tuple),
    Forms(Form::Iter, Form::Array),
    Forms(Form::Bounded, Form::Bounded),
    Forms(Form::Group, Form::Group),
];

/// The code around the call.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    /// A time limit of so many seconds.
    Limit(u64),
    /// Code that swallows a request.
    Swallows,
    /// A drop after so many seconds.
    Drops(u64),
}

#[derive(Clone, Debug)]
struct Program {
    kind: Kind,
    members: Vec<Member>,
    around: Around,
    /// The seconds of the requests to the task.
    requests: Vec<u64>,
    /// The order of ready tasks.
    order: Option<u64>,
}

fn programs() -> impl Strategy<Value = Program> {
    (Kind::any(), members(), proptest::option::of(any::<u64>())).prop_flat_map(program)
}

/// Races of which no contender opens a scope.
fn plain_programs() -> impl Strategy<Value = Program> {
    (Just(Kind::Race), plain_members(), Just(None)).prop_flat_map(program)
}

fn program(
    (kind, members, order): (Kind, Vec<Member>, Option<u64>),
) -> impl Strategy<Value = Program> {
    let around = prop_oneof![
        4 => Just(Around::Nothing),
        1 => (0..8_u64).prop_map(Around::Limit),
        1 => Just(Around::Swallows),
        1 => (0..8_u64).prop_map(Around::Drops),
    ];
    let requests = prop::collection::vec(1..9_u64, 0..3);
    let parts = (Just(members), around, requests);
    parts.prop_map(move |(mut members, around, requests)| {
        if order.is_some() {
            // The seed decides between members that are ready at the same instant.
            members.iter_mut().for_each(|member| member.at_once = false);
        }
        number(&mut members, &mut FIRST_MEMBER.clone());
        Program {
            kind,
            members,
            around,
            requests,
            order,
        }
    })
}

/// The numbers of the code around.
const REQUESTS: u64 = 0;
const TASK: u64 = 1;
const FIRST_MEMBER: u64 = 2;

/// Runs several members by a form.
pub(crate) fn several(
    kind: Kind,
    members: Vec<Member>,
    Forms(form, inside): Forms,
    trace: &Rc<Trace>,
) -> LocalBoxFuture<'static, Outcome> {
    let all: Vec<_> = (members.into_iter())
        .map(|member| play(member, Forms(inside, form), trace))
        .collect();
    match kind {
        Kind::Gather => Box::pin(gathered(all, form)),
        Kind::TryGather => Box::pin(try_gathered(all, form)),
        Kind::Race => Box::pin(raced(all, form)),
    }
}

type Futures = Vec<LocalBoxFuture<'static, Outcome>>;

/// Calls a combinator with a tuple or an array of one to four futures, and makes a `Vec` of what it gives.
macro_rules! in_place {
    ($all:ident, $call:ident) => {{
        let mut all = $all.into_iter();
        let mut next = || all.next();
        match (next(), next(), next(), next()) {
            (Some(a), None, ..) => $call!(a),
            (Some(a), Some(b), None, _) => $call!(a b),
            (Some(a), Some(b), Some(c), None) => $call!(a b c),
            (Some(a), Some(b), Some(c), Some(d)) => $call!(a b c d),
            _ => unreachable!("one to four members"),
        }
    }};
}

async fn gathered(all: Futures, form: Form) -> Outcome {
    macro_rules! tuple {
        ($($f:ident)+) => {{
            let ($($f,)+) = gather(($($f,)+)).await;
            vec![$($f),+]
        }};
    }
    macro_rules! array {
        ($($f:ident)+) => { gather([$($f),+]).await.to_vec() };
    }
    let outcomes = match form {
        Form::Tuple => in_place!(all, tuple),
        Form::Array => in_place!(all, array),
        Form::Vec => gather(all).await,
        Form::Iter => gather_iter(all).await,
        Form::Bounded => gather_bounded(all.len(), all).await,
        Form::Group => gathered_by_a_group(all).await,
        Form::Select => unreachable!("it only races"),
    };
    Ok(format!("{outcomes:?}"))
}

async fn gathered_by_a_group(all: Futures) -> Vec<Outcome> {
    let outcomes: Vec<_> = all.iter().map(|_| RefCell::new(None)).collect();
    let ended = task_group(async |tg: TaskGroup<'_, Infallible>| {
        for (future, outcome) in all.into_iter().zip(&outcomes) {
            tg.spawn_ok(async {
                outcome.replace(Some(future.await));
            });
        }
        Ok(())
    });
    ended.await.expect("no child fails");
    let outcomes = outcomes.into_iter().map(RefCell::into_inner);
    outcomes
        .map(|outcome| outcome.expect("no child ended without a value"))
        .collect()
}

async fn try_gathered(all: Futures, form: Form) -> Outcome {
    macro_rules! tuple {
        ($($f:ident)+) => {{
            let ($($f,)+) = try_gather(($($f,)+)).await?;
            vec![$($f),+]
        }};
    }
    macro_rules! array {
        ($($f:ident)+) => { try_gather([$($f),+]).await?.to_vec() };
    }
    let values = match form {
        Form::Tuple => in_place!(all, tuple),
        Form::Array => in_place!(all, array),
        Form::Vec => try_gather(all).await?,
        Form::Iter => try_gather_iter(all).await?,
        Form::Bounded => try_gather_bounded(all.len(), all).await?,
        Form::Group => try_gathered_by_a_group(all).await?,
        Form::Select => unreachable!("it only races"),
    };
    Ok(format!("{values:?}"))
}

async fn try_gathered_by_a_group(all: Futures) -> Result<Vec<String>, String> {
    let values: Vec<_> = all.iter().map(|_| RefCell::new(None)).collect();
    let ended = task_group(async |tg: TaskGroup<'_, String>| {
        for (future, value) in all.into_iter().zip(&values) {
            tg.spawn(async {
                value.replace(Some(future.await?));
                Ok(())
            });
        }
        Ok(())
    });
    // "A `task_group` keeps all errors", and `try_gather` the first.
    ended.await.map_err(|errors| errors.into_first())?;
    let values = values.into_iter().map(RefCell::into_inner);
    Ok(values
        .map(|value| value.expect("no child ended without a value"))
        .collect())
}

async fn raced(all: Futures, form: Form) -> Outcome {
    macro_rules! tuple {
        ($($f:ident)+) => { race(($($f,)+)).await };
    }
    macro_rules! array {
        ($($f:ident)+) => { race([$($f),+]).await };
    }
    macro_rules! arms {
        ($($f:ident)+) => { asyncio::select! { $(outcome = $f => outcome,)+ } };
    }
    match form {
        Form::Tuple => in_place!(all, tuple),
        Form::Array => in_place!(all, array),
        Form::Vec | Form::Bounded | Form::Group => race(all).await,
        Form::Iter => race_iter(all).await,
        Form::Select => in_place!(all, arms),
    }
}

/// All that is seen of a program.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    end: String,
    events: Events,
    reports: Vec<String>,
    left: Vec<&'static str>,
}

impl Seen {
    /// Whether a member has ended without a value, and one has not propagated a request. "If a future ends without a
    /// value, the others are cancelled", says `gather`. A group lets go on a child that has swallowed the request.
    fn goes_on_beside_an_end(&self) -> bool {
        let mut events = self.events.values().flatten().map(|(_, event)| event);
        let went_on = |event: &String| event.ends_with(": Swallow") || event.ends_with(": Drop");
        events.clone().any(|event| event == CUT) && events.any(went_on)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}; reports {:?}; left {:?}",
            self.end, self.reports, self.left
        )?;
        for (member, events) in &self.events {
            writeln!(f, "  {member}:")?;
            for (at, event) in events {
                writeln!(f, "    {at:?}: {event}")?;
            }
        }
        Ok(())
    }
}

/// The end of a program that does not end.
const NEVER: &str = "it never ends";

/// By then every program has ended: its times add up to less.
const LONG_ENOUGH: Duration = Duration::from_secs(2_000);

fn seen(program: &Program, forms: Forms) -> Seen {
    let builder = EventLoop::builder().virtual_time(true);
    let mut builder = builder.debug(true).slow_step(LONG_ENOUGH);
    if let Some(seed) = program.order {
        // Turns that end anywhere, as well.
        let budget = 1 + (seed % 7) as usize;
        builder = builder.order_seed(seed).task_budget(budget);
    }
    let mut event_loop = builder.build_loop().expect("a selector");
    let reports = Rc::<RefCell<Vec<String>>>::default();
    let heard = reports.clone();
    event_loop.set_exception_handler(move |unhandled| {
        let report = match unhandled.cause() {
            // A `Vec` is gathered by a task group, and the report says so.
            Cause::Message => {
                let message = unhandled.message().replace("a task group", "a gather");
                message.replace("the group", "the gather")
            }
            cause => format!("{cause:?}"),
        };
        heard.borrow_mut().push(report);
    });
    let watched = event_loop.run_until_complete(watched(program, forms));
    let (end, trace) = watched.expect("the watcher returns");
    let shown = format!("{event_loop:?}");
    let nothing = ["tasks: 0,", "ready: 0,", "scopes: 0,"].into_iter();
    let mut left: Vec<_> = nothing.filter(|nothing| !shown.contains(nothing)).collect();
    drop(event_loop);
    if Rc::strong_count(&trace) > 1 {
        left.push("a future was never dropped");
    }
    let mut reports = reports.take();
    reports.sort_unstable();
    // "Errors of cleanups are dropped. A `task_group` keeps all errors", says `try_gather`.
    reports.dedup_by(|one, other| one == other && one.starts_with("an error in a gather is lost"));
    Seen {
        end,
        events: begun(trace.take()),
        reports,
        left,
    }
}

/// Without the members that were cut at the instant at which they began. By rule 6 a task that is cancelled before its
/// first step never starts. Each future of a `Vec` is a task, and one of a tuple is polled with the call.
fn begun(mut events: Events) -> Events {
    events.retain(|_, events| match &events[..] {
        [(first, _), (last, end)] => first < last || end != CUT,
        _ => true,
    });
    events
}

/// Runs the call in a task, and makes the requests to it.
async fn watched(program: &Program, forms: Forms) -> (String, Rc<Trace>) {
    let trace = Trace::new(program.order.is_some());
    let start = time();
    let Program {
        kind,
        members,
        around,
        requests,
        ..
    } = program.clone();
    let call = several(kind, members, forms, &trace);
    let noted = trace.clone();
    let task = spawn(async move {
        let result = match around {
            Around::Nothing => format!("{:?}", call.await),
            Around::Limit(seconds) => {
                let limit = noted.until(seconds, TASK);
                format!("{:?}", timeout(limit, call).await)
            }
            Around::Swallows => match catch_cancel(call).await {
                Ok(result) => format!("{result:?}"),
                Err(cancelled) => {
                    cancelled.swallow();
                    "a request".to_owned()
                }
            },
            Around::Drops(seconds) => {
                asyncio::select! {
                    result = call => format!("{result:?}"),
                    () = sleep(noted.until(seconds, TASK)) => "a drop".to_owned(),
                }
            }
        };
        noted.note(TASK, format!("has {result}"));
        sleep(noted.until(0, TASK)).await;
        noted.note(TASK, "goes on");
    });
    let mut requests = requests.clone();
    requests.sort_unstable();
    for request in requests {
        let due = Duration::from_millis(1000 * request + REQUESTS);
        if due > trace.now() {
            sleep(due - trace.now()).await;
        }
        let _ = task.cancel();
    }
    while !task.is_finished() && time() < start + LONG_ENOUGH {
        sleep(Duration::from_millis(500)).await;
    }
    if !task.is_finished() {
        return (NEVER.to_owned(), trace);
    }
    let end = match task.await {
        Ok(()) => "the task returned".to_owned(),
        Err(error) => error.to_string(),
    };
    (end, trace)
}

/// The course of a program, if all forms agree on it.
fn agreed(program: &Program) -> Result<Seen, String> {
    let first = seen(program, FORMS[0]);
    if !first.left.is_empty() || first.end == NEVER {
        return Err(format!("{:?}: {first}", FORMS[0]));
    }
    for forms in &FORMS[1..] {
        if forms.0 == Form::Group && first.goes_on_beside_an_end() {
            continue;
        }
        let other = seen(program, *forms);
        if first != other {
            return Err(format!("{:?}: {first}\n{forms:?}: {other}", FORMS[0]));
        }
    }
    Ok(first)
}

#[test]
fn the_forms_of_a_combinator_agree() {
    let mut config = config(20_000);
    config.cases *= 2; // a second in all
    let mut runner = TestRunner::new(config);
    let result = runner.run(&programs(), |program| {
        let agreed = agreed(&program);
        prop_assert!(agreed.is_ok(), "{}", agreed.unwrap_err());
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// "`select!` drops the losers", which is no difference where nothing catches a cancellation.
#[test]
fn a_select_of_plain_futures_is_a_race() {
    let mut runner = TestRunner::new(config(20_000));
    let result = runner.run(&plain_programs(), |program| {
        let [race, select] =
            [Form::Tuple, Form::Select].map(|form| seen(&program, Forms(form, form)));
        prop_assert!(race == select, "race: {race}\nselect: {select}");
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// "If a contender panics, in its cleanup as well", says `race`.
#[test]
fn a_loser_that_has_swallowed_two_requests_ends_its_race_by_a_panic() {
    let panics = || vec![step(Act::Sleep(1)), step(Act::Panic)];
    let loser = || member(swallows_first((panics(), 2)));
    let inner = || {
        let members = vec![member(vec![step(Act::Sleep(1))]), loser()];
        member(vec![step(Act::Several(Kind::Race, members))])
    };
    let winner = || member(vec![step(Act::Sleep(3))]);
    for (around, requests) in [
        (Around::Nothing, vec![]),
        (Around::Nothing, vec![3]),
        (Around::Limit(3), vec![]),
    ] {
        for kind in [Kind::Race, Kind::Gather] {
            let mut members = vec![winner(), inner()];
            number(&mut members, &mut FIRST_MEMBER.clone());
            let program = Program {
                kind,
                members,
                around,
                requests: requests.clone(),
                order: None,
            };
            let seen = agreed(&program).unwrap_or_else(|differ| panic!("{differ}"));
            assert!(
                seen.end.starts_with("task Task-2 panicked: panic"),
                "{seen}"
            );
        }
    }
}
