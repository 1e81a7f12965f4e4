//! A property test: the wheel behaves like a sorted map, whatever the sequence of operations.
//!
//! The short form runs some thirty thousand operations, the form with `ASYNCIO_HEAVY=1` four
//! million.

use std::collections::{BTreeMap, HashMap};

use asyncio_timer::{TimerKey, TimerWheel};
use proptest::prelude::*;

/// The value of a timer: the number of its insertion.
type Id = u32;

/// The model of a wheel: a map sorted by deadline and by order of insertion.
struct Model {
    now: u64,
    order: u64,
    by_deadline: BTreeMap<(u64, u64), Id>,
    armed: HashMap<Id, (u64, u64)>,
}

impl Model {
    fn new(now: u64) -> Self {
        Self {
            now,
            order: 0,
            by_deadline: BTreeMap::new(),
            armed: HashMap::new(),
        }
    }

    fn insert(&mut self, deadline: u64, id: Id) {
        let position = (deadline, self.order);
        self.order += 1;
        self.by_deadline.insert(position, id);
        self.armed.insert(id, position);
    }

    fn cancel(&mut self, id: Id) -> Option<Id> {
        let position = self.armed.remove(&id)?;
        self.by_deadline.remove(&position)
    }

    fn rearm(&mut self, id: Id, deadline: u64) -> bool {
        let is_armed = self.cancel(id).is_some();
        if is_armed {
            self.insert(deadline, id);
        }
        is_armed
    }

    fn expire(&mut self, now: u64) -> Vec<Id> {
        self.now = self.now.max(now);
        let mut expired = Vec::new();
        while let Some(first) = self
            .by_deadline
            .first_entry()
            .filter(|e| e.key().0 <= self.now)
        {
            let id = first.remove();
            self.armed.remove(&id);
            expired.push(id);
        }
        expired
    }

    fn earliest(&self) -> Option<u64> {
        self.by_deadline
            .first_key_value()
            .map(|(&(deadline, _), _)| deadline)
    }

    fn due_by(&self, now: u64) -> usize {
        self.by_deadline
            .range(..=(now.max(self.now), u64::MAX))
            .count()
    }
}

/// A time, resolved when an operation runs: most interesting times are close to the current time.
#[derive(Clone, Debug)]
enum When {
    Present,
    Ago(u64),
    Ahead(u64),
    /// `offset` nanoseconds from the next time at which the digits from `bit` on increase.
    NearBoundary {
        bit: u32,
        offset: i8,
    },
    /// The deadline of a timer that was inserted before.
    SameAs(usize),
    At(u64),
}

#[derive(Clone, Debug)]
enum Op {
    Insert(When),
    Cancel(usize),
    Rearm(usize, When),
    Expire(When),
    ExpireAtNextDeadline,
    DueBy(When, usize),
    ClearAll,
}

/// A span of time of any magnitude, short spans as often as long spans.
fn span() -> impl Strategy<Value = u64> {
    (0..64_u32, any::<u64>()).prop_map(|(zeros, bits)| bits >> zeros)
}

/// A span that a program would use, up to some seconds.
fn short_span() -> impl Strategy<Value = u64> {
    (34..64_u32, any::<u64>()).prop_map(|(zeros, bits)| bits >> zeros)
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        2 => Just(When::Present),
        2 => short_span().prop_map(When::Ago),
        8 => short_span().prop_map(When::Ahead),
        4 => span().prop_map(When::Ahead),
        6 => (10..64_u32, -2..=2_i8).prop_map(|(bit, offset)| When::NearBoundary { bit, offset }),
        4 => any::<usize>().prop_map(When::SameAs),
        1 => any::<u64>().prop_map(When::At),
        1 => Just(When::At(u64::MAX)),
    ]
}

/// Like `when`, but with few long spans, so that a run does not soon reach the last time.
fn step() -> impl Strategy<Value = When> {
    prop_oneof![
        2 => Just(When::Present),
        2 => short_span().prop_map(When::Ago),
        40 => short_span().prop_map(When::Ahead),
        20 => (10..40_u32, -2..=2_i8).prop_map(|(bit, offset)| When::NearBoundary { bit, offset }),
        10 => any::<usize>().prop_map(When::SameAs),
        2 => (40..64_u32, -2..=2_i8).prop_map(|(bit, offset)| When::NearBoundary { bit, offset }),
        2 => (1..40_u32, any::<u64>()).prop_map(|(zeros, bits)| When::Ahead(bits >> zeros)),
        1 => span().prop_map(When::Ahead),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => when().prop_map(Op::Insert),
        12 => any::<usize>().prop_map(Op::Cancel),
        12 => (any::<usize>(), when()).prop_map(|(which, when)| Op::Rearm(which, when)),
        14 => step().prop_map(Op::Expire),
        6 => Just(Op::ExpireAtNextDeadline),
        8 => (when(), 0..40_usize).prop_map(|(when, limit)| Op::DueBy(when, limit)),
        1 => Just(Op::ClearAll),
    ]
}

/// A wheel, its model, and all keys that the wheel has returned, with their deadlines.
struct Pair {
    wheel: TimerWheel<Id>,
    model: Model,
    keys: Vec<(TimerKey, u64)>,
    /// A timer was cancelled or re-armed, so `next_deadline` may be too early.
    may_wake_early: bool,
}

impl Pair {
    fn new(now: u64) -> Self {
        Self {
            wheel: TimerWheel::new(now),
            model: Model::new(now),
            keys: Vec::new(),
            may_wake_early: false,
        }
    }

    fn time(&self, when: &When) -> u64 {
        let now = self.model.now;
        match *when {
            When::Present => now,
            When::Ago(span) => now.saturating_sub(span),
            When::Ahead(span) => now.saturating_add(span),
            When::NearBoundary { bit, offset } => {
                let boundary = ((now >> bit) + 1).saturating_mul(1 << bit);
                boundary.saturating_add_signed(offset.into())
            }
            When::SameAs(which) => match self.keys.len() {
                0 => now,
                len => self.keys[which % len].1,
            },
            When::At(time) => time,
        }
    }

    /// One of all returned keys, more often a recent key than an old key.
    fn choose(&self, which: usize) -> Option<(Id, TimerKey)> {
        let len = self.keys.len();
        let recent = if which.is_multiple_of(4) {
            len
        } else {
            len.min(32)
        };
        let back = (which / 4).checked_rem(recent)?;
        let index = len - 1 - back;
        Some((index as Id, self.keys[index].0))
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Insert(when) => {
                let deadline = self.time(when);
                let id = self.keys.len() as Id;
                self.model.insert(deadline, id);
                let key = self.wheel.insert(deadline, id);
                self.keys.push((key, deadline));
            }
            Op::Cancel(which) => {
                let Some((id, key)) = self.choose(*which) else {
                    return Ok(());
                };
                self.may_wake_early = true;
                prop_assert_eq!(self.wheel.cancel(key), self.model.cancel(id));
            }
            Op::Rearm(which, when) => {
                let Some((id, key)) = self.choose(*which) else {
                    return Ok(());
                };
                self.may_wake_early = true;
                let deadline = self.time(when);
                prop_assert_eq!(
                    self.wheel.rearm(key, deadline),
                    self.model.rearm(id, deadline)
                );
            }
            Op::Expire(when) => self.expire(self.time(when))?,
            Op::ExpireAtNextDeadline => {
                let Some(next) = self.wheel.next_deadline() else {
                    return Ok(());
                };
                self.expire(next)?;
                prop_assert!(self.wheel.next_deadline().is_none_or(|later| later > next));
            }
            Op::DueBy(when, limit) => {
                let now = self.time(when);
                let (guess, truth) = (self.wheel.due_by(now, *limit), self.model.due_by(now));
                prop_assert!(guess <= truth.min(*limit));
                let later = self.model.armed.len() - truth;
                if later < 32 {
                    prop_assert_eq!(guess, truth.min(*limit));
                }
            }
            Op::ClearAll => {
                let mut values = Vec::new();
                self.wheel.clear_into(&mut values);
                let expected: Vec<Id> = std::mem::take(&mut self.model.by_deadline)
                    .into_values()
                    .collect();
                self.model.armed.clear();
                prop_assert_eq!(values, expected);
            }
        }
        self.compare()
    }

    fn expire(&mut self, now: u64) -> Result<(), TestCaseError> {
        let mut expired = vec![Id::MAX];
        self.wheel.expire(now, &mut expired);
        prop_assert_eq!(
            expired.remove(0),
            Id::MAX,
            "values that were in `expired` before stay in front"
        );
        prop_assert_eq!(expired, self.model.expire(now));
        Ok(())
    }

    /// Checks what must hold after every operation.
    fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.wheel.len(), self.model.armed.len());
        prop_assert_eq!(self.wheel.is_empty(), self.model.armed.is_empty());
        prop_assert_eq!(self.wheel.now(), self.model.now);
        match (self.wheel.next_deadline(), self.model.earliest()) {
            (Some(next), Some(earliest)) if self.may_wake_early => prop_assert!(next <= earliest),
            (next, earliest) => prop_assert_eq!(next, earliest),
        }
        Ok(())
    }

    /// Checks what must hold for each key, stale or not.
    fn compare_keys(&mut self) -> Result<(), TestCaseError> {
        for (index, &(key, _)) in self.keys.iter().enumerate() {
            let id = index as Id;
            let position = self.model.armed.get(&id);
            prop_assert_eq!(self.wheel.get(key).copied(), position.map(|_| id));
            prop_assert_eq!(self.wheel.get_mut(key).copied(), position.map(|_| id));
            prop_assert_eq!(
                self.wheel.deadline(key),
                position.map(|&(deadline, _)| deadline)
            );
        }
        Ok(())
    }
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        any::<u64>(),
        span(),
        span().prop_map(|span| u64::MAX - span)
    ]
}

fn is_heavy() -> bool {
    std::env::var_os("ASYNCIO_HEAVY").is_some_and(|value| value == "1")
}

fn config() -> ProptestConfig {
    let cases = if is_heavy() { 16_000 } else { 128 };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Runs 256 operations on average, of every kind.
    #[test]
    fn a_wheel_does_what_the_model_does(start in start(), ops in prop::collection::vec(op(), 1..512)) {
        let mut pair = Pair::new(start);
        for op in &ops {
            pair.apply(op)?;
        }
        pair.compare_keys()?;
        pair.expire(u64::MAX)?;
        pair.compare_keys()?;
    }
}
