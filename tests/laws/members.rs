//! Random members of a combinator, each watched as it runs.
//!
//! Each instant at which a member goes on by itself is one of its own: a number of its step, modulo a second. So no two
//! members are ready together unless one thing ended both, and the order in which a form polls them decides nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::{catch_cancel, shield, sleep, time, timeout, try_finally, yield_now};
use futures::future::LocalBoxFuture;
use proptest::prelude::*;

use crate::forms::{Forms, Kind, several};
use crate::program::Then;

/// The value or the error of a member.
pub(crate) type Outcome = Result<String, String>;

/// One of several futures: its steps, one after another.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) id: u64,
    /// It does not wait for an instant of its own before its first step.
    pub(crate) at_once: bool,
    pub(crate) work: Vec<Step>,
}

/// A step of a member, with its number in the program.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) id: u64,
    pub(crate) act: Act,
}

// In one line, so that the smallest program that fails can be read.
impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = if self.at_once { "at once" } else { "later" };
        write!(f, "{} {when} {:?}", self.id, self.work)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.id, self.act)
    }
}

/// The action of a step. Times are in seconds.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Sleep(u64),
    Yield(u8),
    /// Comes at an instant of its own, as a panic does.
    Fail,
    Panic,
    /// Work, a cleanup if it is cancelled, and the end of the token.
    Catch(Vec<Step>, Vec<Step>, Then),
    /// Work, and a cleanup both ways.
    Finally(Vec<Step>, Vec<Step>),
    Shield(Vec<Step>),
    Limit(u64, Vec<Step>),
    /// Members of a call inside, by the second of two forms.
    Several(Kind, Vec<Member>),
}

/// A step without a number.
pub(crate) fn step(act: Act) -> Step {
    Step { id: 0, act }
}

pub(crate) fn member(work: Vec<Step>) -> Member {
    Member {
        id: 0,
        at_once: false,
        work,
    }
}

/// Work that comes after so many requests: few members would swallow two by chance.
pub(crate) fn swallows_first((mut work, times): (Vec<Step>, usize)) -> Vec<Step> {
    let swallows = || Act::Catch(vec![step(Act::Sleep(9))], vec![], Then::Swallow);
    work.splice(0..0, (0..times).map(|_| step(swallows())));
    work
}

/// A member of the outermost call. Not at once if it has members itself: the first step of a child comes in the round
/// after the spawn, which decides between members that are ready at the same instant.
fn outermost((work, at_once): (Vec<Step>, bool)) -> Member {
    Member {
        id: 0,
        at_once: at_once && !has_members(&work),
        work,
    }
}

fn has_members(work: &[Step]) -> bool {
    work.iter().any(|step| match &step.act {
        Act::Sleep(_) | Act::Yield(_) | Act::Fail | Act::Panic => false,
        Act::Catch(work, cleanup, _) | Act::Finally(work, cleanup) => {
            has_members(work) || has_members(cleanup)
        }
        Act::Shield(work) | Act::Limit(_, work) => has_members(work),
        Act::Several(..) => true,
    })
}

pub(crate) fn members() -> impl Strategy<Value = Vec<Member>> {
    let leaf = prop_oneof![
        6 => (0..5_u64).prop_map(Act::Sleep),
        2 => (1..4_u8).prop_map(Act::Yield),
        1 => Just(Act::Fail),
        1 => Just(Act::Panic),
    ];
    let act = leaf.prop_recursive(4, 20, 3, |inner| {
        let work = || prop::collection::vec(inner.clone().prop_map(step), 0..3);
        let then = prop_oneof![
            2 => Just(Then::Resume),
            1 => Just(Then::Drop),
            3 => Just(Then::Swallow),
        ];
        let some = prop_oneof![
            4 => work(),
            1 => (work(), 1..3_usize).prop_map(swallows_first),
        ];
        let some = prop::collection::vec(some.prop_map(member), 1..4);
        prop_oneof![
            5 => (work(), work(), then).prop_map(|(a, b, then)| Act::Catch(a, b, then)),
            1 => (work(), work()).prop_map(|(a, b)| Act::Finally(a, b)),
            1 => work().prop_map(Act::Shield),
            1 => (0..5_u64, work()).prop_map(|(limit, work)| Act::Limit(limit, work)),
            3 => (Kind::any(), some).prop_map(|(kind, members)| Act::Several(kind, members)),
        ]
    });
    let work = prop::collection::vec(act.prop_map(step), 0..4);
    let work = prop_oneof![
        4 => work.clone(),
        1 => (work, 1..3_usize).prop_map(swallows_first),
    ];
    prop::collection::vec((work, any::<bool>()).prop_map(outermost), 1..5)
}

/// Members that open no scope.
pub(crate) fn plain_members() -> impl Strategy<Value = Vec<Member>> {
    let act = prop_oneof![
        4 => (0..5_u64).prop_map(Act::Sleep),
        2 => (1..4_u8).prop_map(Act::Yield),
        1 => Just(Act::Fail),
        1 => Just(Act::Panic),
    ];
    let work = prop::collection::vec(act.prop_map(step), 0..4);
    prop::collection::vec((work, any::<bool>()).prop_map(outermost), 1..5)
}

/// Gives each member and each step a number, from `next` on.
pub(crate) fn number(members: &mut [Member], next: &mut u64) {
    for member in members {
        member.id = take(next);
        number_steps(&mut member.work, next);
    }
}

fn number_steps(work: &mut [Step], next: &mut u64) {
    for step in work {
        step.id = take(next);
        match &mut step.act {
            Act::Sleep(_) | Act::Yield(_) | Act::Fail | Act::Panic => {}
            Act::Catch(work, cleanup, _) | Act::Finally(work, cleanup) => {
                number_steps(work, next);
                number_steps(cleanup, next);
            }
            Act::Shield(work) | Act::Limit(_, work) => number_steps(work, next),
            Act::Several(_, members) => number(members, next),
        }
    }
}

fn take(next: &mut u64) -> u64 {
    *next += 1;
    *next - 1
}

/// The events of each member, with their times.
pub(crate) type Events = BTreeMap<u64, Vec<(Duration, String)>>;

/// The event of a member that ends without a value.
pub(crate) const CUT: &str = "ends without a value";

/// The events of a program as it runs.
pub(crate) struct Trace {
    start: Instant,
    /// Cleanups, and the code after them, wait for an instant of their own, as a seed decides otherwise.
    apart: bool,
    events: RefCell<Events>,
}

impl Trace {
    pub(crate) fn new(apart: bool) -> Rc<Self> {
        Rc::new(Self {
            start: time(),
            apart,
            events: RefCell::default(),
        })
    }

    pub(crate) fn now(&self) -> Duration {
        time() - self.start
    }

    pub(crate) fn note(&self, member: u64, event: impl Into<String>) {
        let event = (self.now(), event.into());
        self.events
            .borrow_mut()
            .entry(member)
            .or_default()
            .push(event);
    }

    pub(crate) fn take(&self) -> Events {
        self.events.take()
    }

    async fn step_apart(&self, step: u64) {
        if self.apart {
            sleep(self.until(0, step)).await;
        }
    }

    /// Time until the instant of a step, at least so many seconds from now.
    pub(crate) fn until(&self, seconds: u64, step: u64) -> Duration {
        let now = u64::try_from(self.now().as_millis()).expect("a short program");
        assert!(step < 1000, "a large program");
        let after = (1000 + step - now % 1000) % 1000;
        let after = if after == 0 { 1000 } else { after };
        Duration::from_millis(1000 * seconds + after)
    }
}

/// The future of a member.
pub(crate) fn play(
    Member { id, at_once, work }: Member,
    forms: Forms,
    trace: &Rc<Trace>,
) -> LocalBoxFuture<'static, Outcome> {
    let trace = trace.clone();
    Box::pin(async move {
        trace.note(id, "begins");
        let seat = Seat {
            id,
            trace: trace.clone(),
            returned: Cell::new(false),
        };
        if !at_once {
            sleep(trace.until(0, id)).await;
        }
        let result = steps(work, id, forms, trace.clone()).await;
        seat.returned.set(true);
        trace.note(id, format!("returns {result:?}"));
        result.map(|()| format!("value {id}"))
    })
}

/// A member that has begun and has not returned.
struct Seat {
    id: u64,
    trace: Rc<Trace>,
    returned: Cell<bool>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.returned.get() {
            self.trace.note(self.id, CUT);
        }
    }
}

fn steps(
    work: Vec<Step>,
    of: u64,
    forms: Forms,
    trace: Rc<Trace>,
) -> LocalBoxFuture<'static, Result<(), String>> {
    Box::pin(async move {
        for Step { id, act } in work {
            let run = |work| steps(work, of, forms, trace.clone());
            match act {
                Act::Sleep(seconds) => sleep(trace.until(seconds, id)).await,
                Act::Yield(times) => {
                    for _ in 0..times {
                        yield_now().await;
                    }
                }
                Act::Fail => {
                    sleep(trace.until(0, id)).await;
                    return Err(format!("error {id}"));
                }
                Act::Panic => {
                    sleep(trace.until(0, id)).await;
                    std::panic::resume_unwind(Box::new(format!("panic {id}")));
                }
                Act::Catch(work, cleanup, then) => match catch_cancel(run(work)).await {
                    Ok(result) => result?,
                    Err(cancelled) => {
                        trace.note(of, format!("cleans up in {id}"));
                        trace.step_apart(id).await;
                        run(cleanup).await?;
                        trace.note(of, format!("has cleaned up in {id}: {then:?}"));
                        match then {
                            Then::Resume => cancelled.resume().await,
                            Then::Drop => drop(cancelled),
                            Then::Swallow => cancelled.swallow(),
                        }
                        trace.step_apart(id).await;
                    }
                },
                Act::Finally(work, cleanup) => {
                    let cleanup = run(cleanup);
                    let noted = async {
                        trace.note(of, format!("finishes {id}"));
                        trace.step_apart(id).await;
                        let cleaned = cleanup.await;
                        trace.note(of, format!("has finished {id}: {cleaned:?}"));
                    };
                    try_finally(run(work), noted).await?;
                }
                Act::Shield(work) => shield(run(work)).await?,
                Act::Limit(seconds, work) => {
                    match timeout(trace.until(seconds, id), run(work)).await {
                        Ok(result) => result?,
                        Err(_) => trace.note(of, format!("limit {id}")),
                    }
                }
                Act::Several(kind, members) => {
                    let result = several(kind, members, forms, &trace).await;
                    trace.note(of, format!("has {result:?} of {id}"));
                    result?;
                }
            }
        }
        Ok(())
    })
}
