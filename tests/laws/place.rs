//! Where in a program something runs, and what has been asked of the code around it: enough to say whether
//! an interruption had a reason.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use asyncio::{TaskRef, time};

/// The state that a whole program shares.
#[derive(Default)]
pub(crate) struct Watch {
    /// The laws that were broken, in words.
    pub(crate) broken: RefCell<Vec<String>>,
    /// The tasks that may be cancelled from outside, in the order in which they came.
    pub(crate) tasks: RefCell<Vec<(TaskRef, Rc<Place>)>>,
    /// How often a leaf was polled.
    polls: Cell<u32>,
    /// How many messages there were.
    messages: Cell<u32>,
}

/// More than any of the programs needs by far.
const MOST_POLLS: u32 = 200_000;

impl Watch {
    pub(crate) fn broke(&self, law: impl Into<String>) {
        self.broken.borrow_mut().push(law.into());
    }

    /// A new message for a request, unlike all before.
    pub(crate) fn message(&self) -> String {
        self.messages.set(self.messages.get() + 1);
        format!("message {}", self.messages.get())
    }

    pub(crate) fn polled(&self) {
        self.polls.set(self.polls.get() + 1);
        assert!(self.polls.get() < MOST_POLLS, "the program spins");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task, with or without a group around it.
    Task,
    /// One of several whose value is nobody's without the others': a child of a group, a part of a gathering.
    Member,
    /// A scope that has a deadline or can be cancelled by its handle.
    Scope,
    /// A group, a gathering or a race: what happens to one member may end the others.
    Group,
    /// A combinator of others, which drops those that lose.
    Select,
    Shield,
}

/// A stretch of a program that may be ended from outside.
pub(crate) struct Place {
    kind: Kind,
    around: Option<Rc<Place>>,
    /// How often it was asked to end, by anything but its deadline.
    asked: Cell<u32>,
    /// The messages of these requests.
    said: RefCell<Vec<String>>,
    last_asked: Cell<Option<Instant>>,
    deadline: Option<Instant>,
    begun: Instant,
    /// When a request to it was last answered.
    last_answer: Cell<Option<Instant>>,
    /// When its deadline is acted on, if a request that was open at the time has been answered since.
    put_off_until: Cell<Option<Instant>>,
    /// A request may have ended inside: it was swallowed, or a task that was waited for had a value.
    answered: Cell<bool>,
    /// Until when a shield, a cleanup, or a group with errors inside held a request up.
    held_up_until: Cell<Option<Instant>>,
}

/// The requests that had been made at a certain moment.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    asked: u32,
    when: Instant,
}

impl Place {
    pub(crate) fn new(kind: Kind, around: Option<&Rc<Place>>) -> Rc<Self> {
        Self::with_deadline(kind, around, None)
    }

    pub(crate) fn with_deadline(
        kind: Kind,
        around: Option<&Rc<Place>>,
        deadline: Option<Instant>,
    ) -> Rc<Self> {
        Rc::new(Self {
            kind,
            around: around.cloned(),
            asked: Cell::new(0),
            said: RefCell::default(),
            last_asked: Cell::new(None),
            deadline,
            begun: time(),
            last_answer: Cell::new(None),
            put_off_until: Cell::new(None),
            answered: Cell::new(false),
            held_up_until: Cell::new(None),
        })
    }

    /// It is being asked to end.
    pub(crate) fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
        self.last_asked.set(Some(time()));
    }

    /// It is being asked to end, and told this.
    pub(crate) fn ask_with(&self, message: &str) {
        self.ask();
        self.said.borrow_mut().push(message.to_owned());
    }

    /// Whether it was told this itself.
    pub(crate) fn was_told(&self, message: &str) -> bool {
        self.said.borrow().iter().any(|said| said == message)
    }

    /// Whether what was heard here was said to this place, or to one whose end reaches here.
    pub(crate) fn may_hear(self: &Rc<Self>, message: Option<&str>) -> bool {
        message.is_none_or(|message| self.reaching().any(|place| place.was_told(message)))
    }

    fn upwards(self: &Rc<Self>) -> impl Iterator<Item = &Rc<Self>> {
        std::iter::successors(Some(self), |place| place.around.as_ref())
    }

    /// Places whose end would reach here: all up to a shield, and above that those that drop.
    fn reaching(self: &Rc<Self>) -> impl Iterator<Item = &Rc<Self>> {
        let mut shielded = false;
        self.upwards().filter(move |place| {
            shielded |= place.kind == Kind::Shield;
            !shielded || place.kind == Kind::Select
        })
    }

    /// The requests that have been made until now.
    pub(crate) fn moment(self: &Rc<Self>) -> Moment {
        Moment {
            asked: self.reaching().map(|place| place.asked.get()).sum(),
            when: time(),
        }
    }

    /// Whether anything was asked after that moment.
    pub(crate) fn asked_since(self: &Rc<Self>, moment: Moment) -> bool {
        let now = self.moment();
        let mut elsewhere = false;
        let mut late = |place: &Rc<Self>| {
            // A request to another task arrives by steps of that task, so a little later.
            let asked = place.last_asked.get().filter(|_| elsewhere);
            elsewhere |= matches!(place.kind, Kind::Task | Kind::Member | Kind::Group);
            let due = place.deadline.filter(|&deadline| deadline <= now.when);
            asked.max(due).is_some_and(|when| when >= moment.when)
        };
        now.asked > moment.asked || self.reaching().any(&mut late)
    }

    /// Whether anything was ever asked.
    pub(crate) fn was_asked(self: &Rc<Self>) -> bool {
        let now = self.moment();
        let due = |place: &Rc<Self>| place.deadline.is_some_and(|deadline| deadline <= now.when);
        now.asked > 0 || self.reaching().any(due)
    }

    /// Whether nobody can take a value from here: a group around has been ended by one of its members. Or it has been
    /// asked to end from outside, and this is in a task that a member awaits: the member has had its last poll.
    pub(crate) fn is_unwanted(self: &Rc<Self>) -> bool {
        let mut awaited = false;
        self.reaching().any(|place| {
            let around = || place.around.as_ref().is_some_and(Self::was_asked);
            let unwanted = match place.kind {
                Kind::Group => place.asked.get() > 0,
                Kind::Member => awaited && around(),
                _ => false,
            };
            awaited |= matches!(place.kind, Kind::Task | Kind::Member);
            unwanted
        })
    }

    /// A request may end here. It does not for those around a group, nor for those who await a task.
    pub(crate) fn answer(self: &Rc<Self>) {
        for place in self.upwards() {
            if matches!(place.kind, Kind::Task | Kind::Member | Kind::Group) {
                if place.kind != Kind::Group {
                    place.answered.set(true);
                }
                break;
            }
            let now = time();
            match place.deadline {
                // The answered request was made to another scope.
                Some(deadline) if now < deadline => {}
                Some(deadline) if place.is_put_off(deadline) => place.put_off_until.set(Some(now)),
                _ => place.answered.set(true),
            }
            place.last_answer.set(Some(now));
        }
    }

    /// Whether the deadline came while a request was open that began around here, after this did.
    fn is_put_off(self: &Rc<Self>, deadline: Instant) -> bool {
        let since = self.last_answer.get().unwrap_or(self.begun);
        let since = since.max(self.begun);
        let open = |place: &Rc<Self>| {
            let asked = place.last_asked.get();
            asked.is_some_and(|asked| since < asked && asked < deadline)
        };
        self.put_off_until.get().is_none() && self.reaching().skip(1).any(open)
    }

    /// When the deadline of this place is acted on.
    pub(crate) fn acts_at(&self, deadline: Instant) -> Instant {
        self.put_off_until.get().unwrap_or(deadline)
    }

    pub(crate) fn held_up_until_now(self: &Rc<Self>) {
        let now = time();
        self.upwards()
            .for_each(|place| place.held_up_until.set(Some(now)));
    }

    /// Whether what runs here may have come to a value at `end`, after it was asked to end at `asked`: at that
    /// very time, or because somebody inside kept it from ending.
    pub(crate) fn may_end_at(&self, end: Instant, asked: Instant) -> bool {
        let held_up = self
            .held_up_until
            .get()
            .map_or(asked, |until| until.max(asked));
        self.answered.get() || end <= held_up
    }
}
