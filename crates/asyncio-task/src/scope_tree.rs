//! The tree of cancel scopes: who is inside whom, and where a request to cancel has got to.
//!
//! A scope is a stretch of one task that can be cancelled as one. The task itself is the outermost; the
//! others open inside of it, wherever their future is polled. Only scopes that have to wait are here: one
//! that is ready at its first poll never comes.
//!
//! ```text
//!  1 request   somebody cancels a scope, the target, which is noted there, and its task is woken
//!  2 tell      the target's poll has returned Pending: the innermost scopes inside of it are told, woken,
//!              and the target is polled again, as long as that reaches anybody
//!  3 act       a scope that was told ends what it wraps, and reports to the code that opened it
//!  4 hold      the report is a token, which holds the scope around: it does not unwind meanwhile
//!  5 let go    the last token goes ([`Fate`]). If all were swallowed, the request is answered, once everybody
//!              who was told and is still polled has been heard, and no other token of it lives. If one was resumed, the holder unwinds: 2
//!              again, for what opened inside while it was held; and when nobody is left to be told, it is
//!              itself innermost, and does 3. Otherwise, if a shield has only held the request up, that goes on
//!              from the holder, as if it came now: 2, for whatever has opened inside by then
//!  6 end       the target itself has come to 3: that is its outcome, unless a request to a scope around
//!              it is open too, which goes on in its place
//! ```
//!
//! Requests are numbered. A token holds against the requests up to its own: what a cleanup opens is not
//! told of the request that began it, and a second request interrupts it (see [`ScopeTree::is_open`]).
//!
//! Scopes that a combinator has stopped polling are never reached: they stay told, and hear of it at their
//! next poll if the request is still open then. Meanwhile they do not count.
//!
//! An *opaque* scope is a leaf that stays when it acts: it holds the scope around it like a token, for as
//! long as it needs to end what it stands for (a task that is awaited, a group, what is shielded). Code gets no
//! token from it that it could drop over and over, so it is told even if it opens in a scope that unwinds, and
//! what it stands for is never cut in the middle.
//!
//! A scope that is over stays as a *leftover* while tokens hold it (see `leftover.rs`).
//!
//! Nothing foreign runs here: wakers go out to whoever has borrowed the tree, to be woken afterwards.

mod allowance;
mod leftover;
mod overdue;
mod requests;
mod tokens;
mod unresolved;
mod unwinding;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use crate::cell::Header;
use crate::origin::Origin;
use crate::slab::Slab;
use allowance::Allowance;
use requests::OpenRequests;
use tokens::Tokens;
use unresolved::Unresolved;

/// The number of a request; later ones are higher. 0 is none.
pub(crate) type Request = u64;

/// Which scope. Never means another one after that is gone, in no tree of this thread. On another thread it would,
/// so neither it nor what has one goes there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeKey {
    index: u32,
    generation: NonZeroU32,
    local: PhantomData<*const ()>,
}

/// Where a scope is in its tree, in half the room of a key. Good only as long as its scope is there, so for
/// those who alone end it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(crate) fn of(key: Option<ScopeKey>) -> Self {
        key.map_or(Self::NONE, |key| Self(key.index))
    }
}

impl fmt::Debug for ScopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// See the head of this file.
#[derive(Default)]
pub(crate) struct ScopeTree {
    nodes: Slab<Node>,
    /// The scopes whose polls are under way, the innermost last.
    frames: Vec<Frame>,
    last_request: Request,
    /// The request that deadlines make together which come while nobody is told of anything; 0: none yet.
    of_this_moment: Request,
    /// Counts what opens, so that before and after can be told apart.
    births: u64,
    /// Counts scopes that acted.
    acts: u64,
    allowance: Allowance,
}

/// A scope that is being polled.
struct Frame {
    /// The task whose step it is; compared, never followed.
    task: NonNull<Header>,
    /// `None` until it, or a scope inside of it, has to wait.
    node: Option<ScopeKey>,
    door: Door,
    /// How many scopes had acted before.
    acts: u64,
    /// It had no node when the poll began.
    is_new: bool,
}

/// What is known of a scope whose poll has ended.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    /// `None`: it has no node.
    pub(crate) key: Option<ScopeKey>,
    /// How many scopes had acted before the poll.
    pub(crate) acts: u64,
    /// It had no node when the poll began. One that it got is lost to it if the poll panics.
    pub(crate) is_new: bool,
}

/// What becomes of requests from outside at a scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    Open,
    /// It is opaque: it hears of them, and tells what is inside.
    Opaque,
    /// It is opaque, and what is inside never hears of them.
    Shut,
}

#[derive(Default)]
struct Node {
    /// `None`: this place is free.
    generation: Option<NonZeroU32>,
    /// `None`: a root, or a scope whose surroundings are gone and that nobody has polled since.
    parent: Option<ScopeKey>,
    first_child: Option<u32>,
    next: Option<u32>,
    previous: Option<u32>,
    wakes: Wakes,
    born: u64,
    polling: bool,
    /// Requests from outside do not enter. It is told of them, and acts in its own time.
    opaque: bool,
    /// Opaque, and nothing inside is told of them either.
    shut: bool,
    /// It is over, and stays for its tokens (see `leftover.rs`).
    leftover: bool,
    /// Its work is being dropped.
    dropping: bool,
    inside: Unresolved,
    /// What few have: `None` until somebody asks anything of it.
    asked: Option<Box<Asked>>,
}

/// What has been asked of a scope, and where that has got to.
struct Asked {
    /// The open requests to this scope.
    requests: OpenRequests,
    /// The highest number that a request here ever had.
    latest: Request,
    /// It came when the task was woken already, or was put off: one poll more.
    last_chance: bool,
    /// Nobody can take the value of this scope any more: no request to it leaves a last poll.
    unwanted: bool,
    /// Told, and has not acted.
    told: Request,
    /// The last one it was told of.
    told_last: Request,
    /// The tokens that hold it.
    tokens: Tokens,
    /// A token that was not swallowed has gone. With `held` at 0: it unwinds.
    resumed: Request,
    /// What is born later is not asked of that any more.
    resumed_at: u64,
    /// An opaque scope inside has held a request up that is its business no more, while others still hold
    /// this one.
    kept: Request,
    /// The same, once nobody does: the request goes on from here.
    carried: Request,
    /// Requests after `spared`, up to this one, are answered as soon as nothing inside may still send them on.
    swallowed: Request,
    spared: Request,
    /// For an opaque scope that acted: it holds the one around it.
    holding: Request,
    /// Its deadline has come, and that is what stands in the way (see `overdue.rs`).
    due: Option<ScopeKey>,
    /// Those inside whose deadlines came while this one stood in the way.
    waiting: Vec<ScopeKey>,
}

const NOTHING: &Asked = &Asked::NOTHING;

impl Asked {
    const NOTHING: Self = Self {
        requests: OpenRequests::NONE,
        latest: 0,
        last_chance: false,
        unwanted: false,
        told: 0,
        told_last: 0,
        tokens: Tokens::NONE,
        resumed: 0,
        resumed_at: 0,
        kept: 0,
        carried: 0,
        swallowed: 0,
        spared: 0,
        holding: 0,
        due: None,
        waiting: Vec::new(),
    };

    /// The last request from here that has not been answered.
    fn unanswered(&self) -> Request {
        self.requests.last().max(self.carried).max(self.resumed)
    }

    /// The same, unless all who were heard so far have swallowed it.
    fn open(&self) -> Request {
        let asked = self.requests.last().max(self.carried);
        let asked = if asked > self.swallowed { asked } else { 0 };
        asked.max(self.resumed)
    }

    /// The numbers that tokens here have or may get: what tells earlier requests apart.
    fn marks(&self) -> impl Iterator<Item = Request> {
        let asked = [
            self.carried,
            self.resumed,
            self.told,
            self.kept,
            self.holding,
        ];
        asked.into_iter().chain(self.tokens.requests())
    }
}

/// What is around a scope.
struct Links {
    parent: Option<ScopeKey>,
    previous: Option<u32>,
    next: Option<u32>,
}

impl Node {
    #[inline]
    fn take_links(&mut self) -> Links {
        Links {
            parent: self.parent.take(),
            previous: self.previous.take(),
            next: self.next.take(),
        }
    }

    #[inline]
    fn is_calm_in(&self, around: ScopeKey) -> bool {
        self.parent == Some(around) && self.asked.is_none()
    }

    #[inline]
    fn close_door(&mut self, door: Door) {
        self.opaque |= door != Door::Open;
        self.shut |= door == Door::Shut;
    }
}

/// A node reads like one with all fields; the rare ones come to be when they are written.
impl Deref for Node {
    type Target = Asked;

    #[inline]
    fn deref(&self) -> &Asked {
        self.asked.as_deref().unwrap_or(NOTHING)
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Asked {
        self.asked.get_or_insert_with(|| Box::new(Asked::NOTHING))
    }
}

/// How a scope is got to poll.
#[derive(Default)]
enum Wakes {
    #[default]
    Nobody,
    /// This is the root of that task.
    Root(NonNull<Header>),
    /// It is polled with its task's own waker.
    Task,
    Waker(Waker),
}

/// Somebody to be woken once the tree is not borrowed any more.
pub(crate) enum ToWake {
    Task(NonNull<Header>),
    Waker(Waker),
}

/// What a scope does next.
pub(crate) enum Next {
    /// Nothing is asked of it, or what is goes on elsewhere.
    Wait,
    /// The same, and nothing is asked of it any more. These are to be woken.
    Answered(Vec<ToWake>),
    /// Poll what it wraps, after waking these, which have been told.
    Poll(Vec<Waker>),
    /// Let others go first, and be polled again then before anything is decided.
    PutOff,
    /// End what it wraps.
    End,
}

/// How often a scope is polled at a stretch on behalf of a request. Only code that opens one shield after the
/// other and waits for nothing needs more.
const MOST_ROUNDS: u32 = 16;

/// What becomes of a request whose token goes, or which an opaque scope has held up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It ends.
    Swallowed,
    /// The code around unwinds.
    Resumed,
    /// Nobody has heard of it: it goes on to what opens next, and to the code around.
    HeldUp,
}

/// How a scope ended that was cancelled.
pub(crate) struct Verdict {
    /// The request was to itself, and none to a scope around it is open.
    pub(crate) own: bool,
    pub(crate) request: Request,
    pub(crate) parent: Option<ScopeKey>,
    pub(crate) message: Option<Arc<str>>,
}

/// What is left of a scope that is gone: to be dropped when the tree is not borrowed any more, as the destructor of a
/// waker is foreign code.
#[must_use]
pub(crate) struct DropLater(#[allow(dead_code, reason = "it is there to be dropped")] Wakes);

/// What came of letting a token go.
#[derive(Default)]
pub(crate) struct LetGo {
    pub(crate) wake: Option<ToWake>,
    /// Scopes whose deadlines came earlier and are acted on now.
    pub(crate) overdue: Vec<ToWake>,
    /// The task whose request has been swallowed, its root, and how many tokens inside are of earlier requests.
    pub(crate) answered: Option<(NonNull<Header>, ScopeKey, u32)>,
    /// The task that unwinds as a whole.
    pub(crate) unwinds: Option<NonNull<Header>>,
    /// The task that a request has come back to.
    pub(crate) asked_again: Option<NonNull<Header>>,
}

thread_local! {
    /// One for all trees of a thread, so that no key ever fits a node of another.
    static NEXT_GENERATION: Cell<NonZeroU32> = const { Cell::new(NonZeroU32::MIN) };
}

impl ScopeTree {
    fn get(&self, key: ScopeKey) -> Option<&Node> {
        let node = self.nodes.get(key.index as usize)?;
        (node.generation == Some(key.generation)).then_some(node)
    }

    fn get_mut(&mut self, key: ScopeKey) -> Option<&mut Node> {
        let node = self.nodes.get_mut(key.index as usize)?;
        (node.generation == Some(key.generation)).then_some(node)
    }

    fn key_of(&self, index: u32) -> ScopeKey {
        let generation = self.nodes[index as usize].generation;
        ScopeKey {
            index,
            generation: generation.expect("a linked node is in use"),
            local: PhantomData,
        }
    }

    /// The scope at a place.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> Option<ScopeKey> {
        let generation = self.nodes.get(place.0 as usize)?.generation?;
        Some(ScopeKey {
            index: place.0,
            generation,
            local: PhantomData,
        })
    }

    /// The scope at a place, if nothing was ever asked of it.
    #[inline]
    pub(crate) fn unasked_at(&self, place: Place) -> Option<ScopeKey> {
        let node = self.nodes.get(place.0 as usize)?;
        let generation = node.generation?;
        node.asked.is_none().then_some(ScopeKey {
            index: place.0,
            generation,
            local: PhantomData,
        })
    }

    pub(crate) fn contains(&self, key: ScopeKey) -> bool {
        self.get(key).is_some()
    }

    /// How many scopes are here.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    // ---- coming and going ----

    pub(crate) fn insert(&mut self, parent: Option<ScopeKey>) -> ScopeKey {
        let generation = NEXT_GENERATION.with(|next| {
            let generation = next.get();
            next.set(generation.checked_add(1).unwrap_or(NonZeroU32::MIN));
            generation
        });
        // The slab has fewer than 2³² places.
        let index = self.nodes.insert() as u32;
        self.births += 1;
        let born = self.births;
        let (parent, next) = self.put_first(index, parent);
        let node = &mut self.nodes[index as usize];
        node.generation = Some(generation);
        node.born = born;
        (node.parent, node.next) = (parent, next);
        ScopeKey {
            index,
            generation,
            local: PhantomData,
        }
    }

    /// A scope that stands for something which ends in its own time.
    pub(crate) fn insert_opaque(&mut self, parent: ScopeKey) -> ScopeKey {
        let key = self.insert(Some(parent));
        self.nodes[key.index as usize].opaque = true;
        key
    }

    fn link(&mut self, key: ScopeKey, parent: ScopeKey) {
        let (parent, next) = self.put_first(key.index, Some(parent));
        let node = &mut self.nodes[key.index as usize];
        (node.parent, node.next) = (parent, next);
        let share = self.nodes[key.index as usize].share();
        self.recount(parent, Unresolved::NOTHING, share);
    }

    /// Makes a scope the first of those inside of `parent`. Gives what it has to note: the parent, if that is here,
    /// and the next one.
    #[inline]
    fn put_first(
        &mut self,
        index: u32,
        parent: Option<ScopeKey>,
    ) -> (Option<ScopeKey>, Option<u32>) {
        let Some(around) = parent.and_then(|parent| self.get_mut(parent)) else {
            return (None, None);
        };
        let next = around.first_child.replace(index);
        if let Some(next) = next {
            self.nodes[next as usize].previous = Some(index);
        }
        (parent, next)
    }

    fn unlink(&mut self, key: ScopeKey) {
        let node = &mut self.nodes[key.index as usize];
        let (share, links) = (node.share(), node.take_links());
        self.recount(links.parent, share, Unresolved::NOTHING);
        self.close_gap(links);
    }

    /// Connects the neighbours of a scope that has left its place.
    #[inline]
    fn close_gap(&mut self, left: Links) {
        if let Some(next) = left.next {
            self.nodes[next as usize].previous = left.previous;
        }
        match (left.previous, left.parent) {
            (Some(previous), _) => self.nodes[previous as usize].next = left.next,
            (None, Some(parent)) => self.nodes[parent.index as usize].first_child = left.next,
            (None, None) => {}
        }
    }

    /// A scope is over: what is inside of it has nothing around it until it is polled again. The result is
    /// to be dropped when the tree is not borrowed any more.
    pub(crate) fn remove(&mut self, key: ScopeKey) -> Option<DropLater> {
        let mut node = self.get_mut(key)?;
        if node.first_child.is_some() {
            self.let_children_go(key);
            node = self.get_mut(key)?;
        }
        if node.asked.is_some() {
            self.forget_asked(key);
            node = self.get_mut(key)?;
        }
        node.generation = None;
        node.polling = false;
        node.opaque = false;
        node.shut = false;
        let links = node.take_links();
        let wakes = std::mem::take(&mut node.wakes);
        self.close_gap(links);
        self.nodes.remove(key.index as usize);
        Some(DropLater(wakes))
    }

    /// What was asked of a scope that is over.
    #[cold]
    fn forget_asked(&mut self, key: ScopeKey) {
        self.change(key, |node| {
            node.asked = None;
            node.inside = Unresolved::NOTHING;
            node.leftover = false;
            node.dropping = false;
        });
    }

    fn let_children_go(&mut self, key: ScopeKey) {
        while let Some(child) = self.nodes[key.index as usize].first_child {
            let child = self.key_of(child);
            self.unlink(child);
        }
    }

    /// The root of a task.
    pub(crate) fn insert_root(&mut self, task: NonNull<Header>) -> ScopeKey {
        let root = self.insert(None);
        self.nodes[root.index as usize].wakes = Wakes::Root(task);
        root
    }

    /// A scope's poll begins. `node`: the one that it has, if that is here.
    #[inline]
    pub(crate) fn enter(&mut self, task: NonNull<Header>, node: Option<ScopeKey>, door: Door) {
        let mut known = node;
        if let Some(key) = node {
            match self.get_mut(key) {
                Some(node) => {
                    node.polling = true;
                    // It may have got its node while nothing had opened inside of it.
                    if door != Door::Open {
                        self.close_door(key, door);
                    }
                }
                None => known = None,
            }
        }
        self.frames.push(Frame {
            task,
            node: known,
            door,
            acts: self.acts,
            is_new: node.is_none(),
        });
    }

    #[inline]
    fn close_door(&mut self, key: ScopeKey, door: Door) {
        match self.get_mut(key) {
            Some(node) if node.inside == Unresolved::NOTHING => node.close_door(door),
            _ => {
                self.change(key, |node| node.close_door(door));
            }
        }
    }

    /// [`enter`](Self::enter), for a scope that has a node, if nothing is to be seen to before its poll, as nearly
    /// always: it is where it was polled last, and nothing was ever asked of it. `false`: it is not entered.
    #[inline]
    pub(crate) fn enter_calmly(
        &mut self,
        task: NonNull<Header>,
        key: ScopeKey,
        around: ScopeKey,
    ) -> bool {
        match self.get_mut(key) {
            Some(node) if node.is_calm_in(around) => node.polling = true,
            _ => return false,
        }
        self.frames.push(Frame {
            task,
            node: Some(key),
            door: Door::Open,
            acts: self.acts,
            is_new: false,
        });
        true
    }

    /// Whether a scope is where it was polled last, as nearly always.
    #[inline]
    pub(crate) fn is_inside(&self, key: ScopeKey, around: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.parent == Some(around))
    }

    /// Whether nothing is to be seen to before an opaque scope is polled, as nearly always: it is where it was polled
    /// last, and nothing was ever asked of it.
    #[inline]
    pub(crate) fn is_calm(&self, key: ScopeKey, around: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.is_calm_in(around))
    }

    /// A scope waits. `own_waker`: it was polled with that of its task. `true` if that is all there is to see to.
    #[inline]
    pub(crate) fn pauses_calmly(&mut self, key: ScopeKey, own_waker: bool) -> bool {
        let Some(node) = self.get_mut(key) else {
            return false;
        };
        node.polling = false;
        if !own_waker
            || node.asked.is_some()
            || matches!(node.wakes, Wakes::Waker(_) | Wakes::Root(_))
        {
            return false;
        }
        node.wakes = Wakes::Task;
        true
    }

    /// A scope is where it is polled: it moves there if it was elsewhere.
    #[cold]
    #[must_use]
    pub(crate) fn adopt(&mut self, key: ScopeKey, around: ScopeKey) -> LetGo {
        let Some(node) = self.get(key).filter(|node| node.parent != Some(around)) else {
            return LetGo::default();
        };
        let (holding, told, before) = (node.holding, node.told, node.parent);
        let was_due = node.due.is_some();
        self.unlink(key);
        self.link(key, around);
        // It was put aside when it was told, so it is not one of those who have yet to be heard: what others
        // have swallowed since is over for it.
        if told > 0 && !self.upwards(around).any(|node| node.open() >= told) {
            self.take_told(key);
        }
        // What stood in its way may not be here.
        let overdue = was_due.then(|| self.expire(key, false)).flatten();
        let mut let_go = LetGo::default();
        if holding > 0 {
            if self.is_unanswered(around, holding) {
                self.hold(Some(around), holding);
            }
            let_go = self.let_go(before, holding, Fate::HeldUp);
        }
        let_go.overdue.extend(overdue);
        let_go
    }

    /// A scope's poll ends. To be followed by [`pause`](Self::pause), by
    /// [`pauses_calmly`](Self::pauses_calmly) or, for one that is over, by [`remove`](Self::remove).
    #[inline]
    pub(crate) fn leave(&mut self) -> Left {
        let frame = self.frames.pop();
        debug_assert!(frame.is_some(), "polls are nested");
        match frame {
            Some(Frame {
                node: key,
                acts,
                is_new,
                ..
            }) => Left { key, acts, is_new },
            None => Left {
                key: None,
                acts: self.acts,
                is_new: false,
            },
        }
    }

    /// A scope is not being polled any more.
    pub(crate) fn pause(&mut self, key: Option<ScopeKey>) {
        if let Some(node) = key.and_then(|key| self.get_mut(key)) {
            node.polling = false;
        }
    }

    /// The scope that code here and now is in, if that is none of those that are polled but the task itself: `None`.
    /// Otherwise it may have no node; if it has one, then so have those around it.
    #[inline]
    pub(crate) fn innermost_polled(&self, task: NonNull<Header>) -> Option<Option<ScopeKey>> {
        let frame = self.frames.last().filter(|frame| frame.task == task)?;
        Some(frame.node)
    }

    /// Gives nodes to the scopes of this task that are being polled. The innermost.
    #[inline(never)]
    pub(crate) fn furnish_frames(&mut self, task: NonNull<Header>, root: ScopeKey) -> ScopeKey {
        // The scope of this task that is outermost among those without a node.
        let mine = |frame: &Frame| frame.task == task;
        let first = self
            .frames
            .iter()
            .rposition(|frame| !mine(frame))
            .map_or(0, |n| n + 1);
        let mut around = root;
        for n in first..self.frames.len() {
            around = match self.frames[n].node {
                Some(node) => node,
                None => {
                    let node = self.insert(Some(around));
                    let opened = &mut self.nodes[node.index as usize];
                    opened.polling = true;
                    opened.close_door(self.frames[n].door);
                    self.frames[n].node = Some(node);
                    node
                }
            };
        }
        around
    }

    /// A scope was polled with its task's own waker. The old one is to be dropped outside.
    pub(crate) fn note_own_waker(&mut self, key: ScopeKey) -> Option<DropLater> {
        let node = self.get_mut(key)?;
        if matches!(node.wakes, Wakes::Task | Wakes::Root(_)) {
            return None;
        }
        Some(DropLater(std::mem::replace(&mut node.wakes, Wakes::Task)))
    }

    /// Whether a scope was polled with a waker like this one last.
    pub(crate) fn has_waker(&self, key: ScopeKey, waker: &Waker) -> bool {
        match self.get(key).map(|node| &node.wakes) {
            Some(Wakes::Waker(old)) => old.will_wake(waker),
            Some(Wakes::Root(_)) | None => true,
            Some(Wakes::Nobody | Wakes::Task) => false,
        }
    }

    /// The waker that a scope was polled with last. The old one is to be dropped outside.
    pub(crate) fn set_waker(&mut self, key: ScopeKey, waker: Waker) -> Option<DropLater> {
        let wakes = &mut self.get_mut(key)?.wakes;
        Some(DropLater(std::mem::replace(wakes, Wakes::Waker(waker))))
    }

    /// What gets a scope polled. A waker goes out, to be used up, as cloning it is foreign code; the next
    /// poll brings a new one.
    fn waker_of(&mut self, key: ScopeKey) -> Option<ToWake> {
        let task = self.task_of(key);
        let node = self.get_mut(key)?;
        if node.polling {
            return None; // It looks again before its poll returns.
        }
        match std::mem::take(&mut node.wakes) {
            Wakes::Nobody => None,
            Wakes::Waker(waker) => Some(ToWake::Waker(waker)),
            kept @ (Wakes::Task | Wakes::Root(_)) => {
                node.wakes = kept;
                task.map(ToWake::Task)
            }
        }
    }

    // ---- 1 request ----

    fn next_request(&mut self) -> Request {
        self.last_request += 1;
        self.last_request
    }

    /// The task that a scope belongs to; none if nobody has polled it since its surroundings went.
    pub(crate) fn task_of(&self, key: ScopeKey) -> Option<NonNull<Header>> {
        let mut node = self.get(key)?;
        while let Some(parent) = node.parent {
            node = self.get(parent)?;
        }
        match node.wakes {
            Wakes::Root(task) => Some(task),
            _ => None,
        }
    }

    /// The origin of a request that begins here and goes to several.
    pub(crate) fn new_origin(&mut self) -> Origin {
        Origin::of(self.next_request())
    }

    /// Whether a request of this origin asks anything of a scope that was not asked before.
    pub(crate) fn is_news(&self, key: ScopeKey, origin: Origin) -> bool {
        self.get(key)
            .is_some_and(|node| node.requests.origin().is_none_or(|before| before < origin))
    }

    /// Somebody cancels a scope. `woken`: its task was woken already.
    pub(crate) fn request(
        &mut self,
        key: ScopeKey,
        woken: bool,
        origin: Origin,
        message: Option<Arc<str>>,
    ) -> Option<ToWake> {
        if !self.is_news(key, origin) {
            return None;
        }
        let request = self.number_of(key, origin)?;
        let node = self.get_mut(key)?;
        node.requests
            .push(request, origin.settled(request), message);
        node.latest = request;
        node.last_chance |= woken && !node.polling && !node.unwanted;
        if node.requests.is_full() {
            self.merge_requests(key);
        }
        self.waker_of(key)
    }

    /// The number of a new request to a scope: that which it began with, if it was passed on, unless the scope has
    /// had a later one.
    fn number_of(&mut self, key: ScopeKey, origin: Origin) -> Option<Request> {
        let node = self.get(key)?;
        let last = node.unanswered().max(node.latest);
        match origin.number().filter(|&number| number > last) {
            Some(number) => Some(number),
            None => Some(self.next_request()),
        }
    }

    /// The last request to a root was made so many times more.
    pub(crate) fn count_again(&mut self, root: ScopeKey, times: usize) {
        if let Some(node) = self.get_mut(root).filter(|_| times > 0) {
            node.requests.count_again(times);
        }
    }

    /// Forgets which of the earlier requests to a scope came when, as far as no token makes a difference.
    #[cold]
    fn merge_requests(&mut self, root: ScopeKey) {
        let (mut to_do, mut marks, mut seen) = (vec![root], Vec::new(), 0);
        while let Some(key) = to_do.pop() {
            let Some(node) = self.get(key) else { continue };
            seen += 1;
            if let Some(asked) = &node.asked {
                marks.extend(asked.marks());
            }
            let mut next = node.first_child;
            while let Some(child) = next {
                to_do.push(self.key_of(child));
                next = self.nodes[child as usize].next;
            }
        }
        if let Some(node) = self.get_mut(root) {
            node.requests.merge(marks, seen);
        }
    }

    /// Nobody can take the value of a scope any more, of which something has been asked.
    pub(crate) fn refuse_last_poll(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key) {
            node.unwanted = true;
            node.last_chance = false;
        }
    }

    /// The same, beyond the last poll that the scope has.
    pub(crate) fn refuse_later_polls(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key) {
            node.unwanted = true;
        }
    }

    /// Whether nobody can take the value of a scope any more.
    pub(crate) fn is_unwanted(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.unwanted)
    }

    /// What runs in this scope goes on in the next step: requests to the scopes around are put off until then. `false` if
    /// nobody can take a value any more.
    pub(crate) fn put_off(&mut self, key: ScopeKey) -> bool {
        let is_over = |node: &Node| node.unwanted && node.unanswered() > 0;
        if self.upwards(key).any(is_over) {
            return false;
        }
        let mut next = Some(key);
        while let Some(key) = next.filter(|&key| !self.is_opaque(key)) {
            let Some(node) = self.get_mut(key) else { break };
            next = node.parent;
            if node.asked.is_some() && node.unanswered() > 0 {
                node.last_chance = true;
            }
        }
        true
    }

    /// Whether a request to the task of this root takes effect after this poll: no cleanup holds it up. `true` if the
    /// task has no root.
    #[cold]
    pub(crate) fn acts_after_poll(&self, root: Place) -> bool {
        self.at(root).is_none_or(|root| self.is_open(root))
    }

    /// Whether a request to one of the scopes that are being polled takes effect after this poll.
    pub(crate) fn asks_what_is_polled(&self) -> bool {
        let nodes = self.frames.iter().filter_map(|frame| self.get(frame.node?));
        nodes.filter(|node| node.asked.is_some()).any(|node| {
            let open = node.open();
            open > node.tokens.request()
        })
    }

    /// Whether the request that an opaque scope has heard leaves no last poll: it ends a scope, this or one around,
    /// whose value nobody can take.
    pub(crate) fn is_dismissed(&self, key: ScopeKey) -> bool {
        let heard = self.get(key).map_or(0, |node| node.holding);
        let ends = |node: &Node| node.unwanted && node.unanswered() >= heard;
        heard > 0 && self.upwards(key).any(ends)
    }

    /// Whether a request concerns this scope: one to itself or to a scope around it, unless a token in
    /// between holds against it.
    pub(crate) fn is_open(&self, key: ScopeKey) -> bool {
        let mut held_against = 0;
        self.upwards(key).any(|node| {
            held_against = held_against.max(node.tokens.request());
            node.open() > held_against
        })
    }

    /// Whether a request that a scope was told of has not been answered since. Tokens do not matter here: it
    /// was told before they were made.
    fn is_unanswered(&self, key: ScopeKey, told: Request) -> bool {
        self.upwards(key).any(|node| node.unanswered() >= told)
    }

    /// Whether a request concerns a scope around this one, and comes in from there.
    fn is_open_around(&self, key: ScopeKey) -> bool {
        self.get(key)
            .and_then(|node| node.parent)
            .filter(|&parent| !self.is_opaque(parent))
            .is_some_and(|parent| self.is_open(parent))
    }

    /// A scope and those around it, as far as requests come in from there.
    fn upwards(&self, key: ScopeKey) -> impl Iterator<Item = &Node> {
        let mut next = Some(key);
        std::iter::from_fn(move || {
            let node = self.get(next?)?;
            next = node.parent.filter(|&parent| !self.is_opaque(parent));
            Some(node)
        })
    }

    fn is_opaque(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.opaque)
    }

    // ---- 2 tell ----

    /// What a scope does at the beginning of its poll.
    pub(crate) fn before_poll(&mut self, key: ScopeKey, step: u64) -> Next {
        let Some(node) = self.get(key) else {
            return Next::Poll(Vec::new());
        };
        if node.asked.is_none() {
            return Next::Poll(Vec::new());
        }
        let told = self.take_told(key);
        if told > 0 && self.is_unanswered(key, told) {
            self.acts += 1;
            return Next::End;
        }
        let Some(node) = self.get_mut(key) else {
            return Next::Poll(Vec::new());
        };
        if std::mem::take(&mut node.last_chance) || node.open() == 0 {
            return Next::Poll(Vec::new());
        }
        // Those inside who were told on behalf of a scope around have not been polled since.
        match self.after_poll(key, self.acts.wrapping_sub(1), step) {
            Next::Wait => Next::Poll(Vec::new()),
            next => next,
        }
    }

    /// A scope that was put off has been polled.
    pub(crate) fn take_up(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key).filter(|node| node.asked.is_some()) {
            node.last_chance = false;
        }
    }

    /// How many scopes have acted so far; for [`after_poll`](Self::after_poll).
    pub(crate) fn acts(&self) -> u64 {
        self.acts
    }

    /// [`after_poll`](Self::after_poll), when it was polled so many times at a stretch. Nobody is told if that
    /// was often enough: who was told and is not polled would be taken to be put aside.
    pub(crate) fn after_round(&mut self, key: ScopeKey, acts: u64, step: u64, rounds: u32) -> Next {
        if rounds >= MOST_ROUNDS
            && let Some(node) = self.get_mut(key).filter(|node| node.asked.is_some())
        {
            node.last_chance = true;
            return Next::PutOff;
        }
        self.after_poll(key, acts, step)
    }

    /// What a scope does when its poll has returned `Pending`; `acts` is from before the poll, and `step` is the
    /// number of the step under way.
    pub(crate) fn after_poll(&mut self, key: ScopeKey, acts: u64, step: u64) -> Next {
        let Some(node) = self.get(key) else {
            return Next::Wait;
        };
        if node.asked.is_none() {
            return Next::Wait;
        }
        let request = node.unanswered();
        let held = node.tokens.request() >= request;
        if request == 0 || held || node.last_chance {
            return Next::Wait;
        }
        let (swallowed, born) = (node.open() == 0, node.born);
        // A combinator may poll only some of its futures at a time: as long as that reaches anybody who was
        // told, it is polled again.
        let reaching = self.acts != acts;
        self.of_this_moment = 0;
        if !self.allowance.allows(step, born, self.births) {
            self.nodes[key.index as usize].last_chance = true;
            return Next::PutOff;
        }
        if swallowed {
            // Nobody is told any more, so there is no need to look at all who are inside.
            return if reaching && self.has_unheard(key) {
                Next::Poll(Vec::new())
            } else if self.is_undecided(key, 0) {
                Next::Wait
            } else {
                Next::Answered(self.settle(key))
            };
        }
        let Some(node) = self.get(key) else {
            return Next::Wait;
        };
        let mut round = Round {
            request,
            // What opened after the last token went is not asked: it would never end if it opened for ever.
            born_by: if node.resumed == request {
                node.resumed_at
            } else {
                u64::MAX
            },
            news: false,
            unreached: false,
            busy: false,
            wake: Vec::new(),
        };
        self.tell_inside(key, &mut round);
        if round.news || (round.unreached && reaching) {
            round.wake.reverse(); // those that opened first come first
            return Next::Poll(round.wake);
        }
        if round.busy { Next::Wait } else { Next::End }
    }

    /// Tells the innermost scopes inside of this one that have not been told.
    fn tell_inside(&mut self, key: ScopeKey, round: &mut Round) {
        // Not recursive: scopes may be nested deeper than a stack is.
        let mut to_do = vec![key];
        let mut propagating = Vec::new();
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            let mut told = 0;
            while let Some(child) = next {
                let child_key = self.key_of(child);
                let node = &mut self.nodes[child as usize];
                next = node.next;
                if node.tokens.request() >= round.request {
                    round.busy = true; // a cleanup is under way in there
                } else if node.leftover {
                    // It holds the scope around, or nothing any more.
                } else if node.resumed >= round.request {
                    // It propagates the request, has been woken for that, and tells what is inside itself.
                    round.unreached = true;
                    propagating.push(child_key);
                } else if node.first_child.is_some() && !node.opaque {
                    to_do.push(child_key);
                } else if node.told > 0 {
                    round.unreached = true;
                } else if node.told_last < round.request
                    && (node.opaque || node.born <= round.born_by)
                {
                    node.told = round.request;
                    node.told_last = round.request;
                    told += 1;
                    // With the task's own waker it is polled without further ado.
                    if let Wakes::Waker(_) = node.wakes
                        && let Wakes::Waker(waker) = std::mem::take(&mut node.wakes)
                    {
                        round.wake.push(waker);
                    }
                }
            }
            let more = Unresolved { told, live: 0 };
            self.recount(Some(key), Unresolved::NOTHING, more);
            round.news |= told > 0;
        }
        round.busy = round.busy || self.is_any_held(propagating, round.request);
    }

    /// Whether a token of this request holds anything inside of these scopes: a cleanup is under way there, and the
    /// scopes around it come after it.
    fn is_any_held(&self, mut to_do: Vec<ScopeKey>, request: Request) -> bool {
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            while let Some(child) = next {
                let node = &self.nodes[child as usize];
                if node.tokens.request() >= request {
                    return true;
                }
                if node.first_child.is_some() && !node.opaque {
                    to_do.push(self.key_of(child));
                }
                next = node.next;
            }
        }
        false
    }

    // ---- 3 act ----

    /// A scope ends what it wraps. It is gone from here; what is left of it is to be dropped outside.
    pub(crate) fn end(&mut self, key: ScopeKey) -> Option<(Verdict, DropLater)> {
        let around = self.is_open_around(key);
        let node = self.get(key)?;
        let (parent, own) = (node.parent, node.requests.last() > 0 && !around);
        let inner = node.told_last;
        let highest = |node: &Node| node.unanswered();
        let request = self.upwards(key).map(highest).max().unwrap_or(0).max(inner);
        // What was said to this one alone ends with it.
        let outside = parent.filter(|&parent| !self.is_opaque(parent));
        let message = outside.and_then(|parent| self.message(parent, request));
        let rest = self.remove(key)?;
        Some((
            Verdict {
                own,
                request,
                parent,
                message,
            },
            rest,
        ))
    }

    /// For an opaque scope, at each poll: whether a request has reached it since the last. It then holds
    /// the scope around it.
    pub(crate) fn listen(&mut self, key: ScopeKey) -> bool {
        if self.get(key).is_none_or(|node| node.asked.is_none()) {
            return false;
        }
        let told = self.take_told(key);
        if told == 0 || !self.is_unanswered(key, told) {
            return false;
        }
        self.acts += 1;
        let Some(node) = self.get_mut(key) else {
            return false;
        };
        let held_before = node.holding;
        let parent = node.parent;
        if held_before < told {
            node.holding = told;
            self.hold(parent, told);
            // It is one token, whatever it has heard.
            self.unhold(parent, held_before);
        }
        true
    }

    /// For an opaque scope: what it stands for has ended, or is gone.
    pub(crate) fn conclude(&mut self, key: ScopeKey, fate: Fate) -> LetGo {
        match self.get_mut(key) {
            Some(node) if node.holding > 0 => {
                let holding = std::mem::take(&mut node.holding);
                let parent = node.parent;
                self.let_go(parent, holding, fate)
            }
            _ => LetGo::default(),
        }
    }

    /// How many requests to a root are open.
    pub(crate) fn requests(&self, root: ScopeKey) -> usize {
        self.get(root).map_or(0, |node| node.requests.count())
    }

    /// Whether a request to this scope itself is open, and not swallowed.
    pub(crate) fn is_asked_to_end(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.open() > 0)
    }

    /// Whether a request to this scope itself is open.
    pub(crate) fn has_request(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.requests.last() > 0)
    }

    /// The message of a request to this scope or to one around it, and of those that were heard with it. Those that
    /// earlier tokens hold against are others.
    pub(crate) fn message(&self, key: ScopeKey, request: Request) -> Option<Arc<str>> {
        let mut apart = 0;
        self.upwards(key).find_map(|node| {
            apart = apart.max(node.tokens.before(request));
            node.requests.message(apart, request)
        })
    }

    /// The message of the requests to the task that are open.
    pub(crate) fn last_message(&self, root: ScopeKey) -> Option<Arc<str>> {
        self.message(root, self.get(root)?.unanswered())
    }

    /// What was said by whoever made the request that an opaque scope has heard.
    pub(crate) fn message_heard(&self, key: ScopeKey) -> Option<Arc<str>> {
        let node = self.get(key)?;
        let around = node.parent.filter(|&parent| !self.is_opaque(parent))?;
        self.message(around, node.holding)
    }

    /// The origin of the request that an opaque scope has heard.
    pub(crate) fn origin_heard(&self, key: ScopeKey) -> Origin {
        let heard = self.get(key).map_or(0, |node| node.holding);
        let target = self.upwards(key).find(|node| node.requests.last() >= heard);
        let origin = target.and_then(|node| node.requests.origin());
        origin.unwrap_or(Origin::of(heard))
    }

    /// Whether the task around an opaque scope cannot go on before what that stands for has ended: it holds up a
    /// request, or stands behind a shield.
    pub(crate) fn is_bound(&self, key: ScopeKey) -> bool {
        let mut next = Some(key).filter(|&key| !self.is_holding(key));
        while let Some(node) = next.and_then(|key| self.get(key)) {
            if node.shut {
                return true;
            }
            next = node.parent;
        }
        self.is_holding(key)
    }

    /// Whether an opaque scope holds the scope around it.
    pub(crate) fn is_holding(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.holding > 0)
    }

    // ---- 4 hold ----

    pub(crate) fn hold(&mut self, holder: Option<ScopeKey>, request: Request) {
        let Some(holder) = holder else { return };
        self.change(holder, |node| {
            node.tokens.add(request);
            node.inside.live += 1;
            if node.resumed == request {
                // It is decided anew when this one lets go.
                node.resumed_at = u64::MAX;
            }
        });
    }

    /// A token of this request holds no more. Gives whether it was the last one; `None` if there was none.
    fn unhold(&mut self, holder: Option<ScopeKey>, request: Request) -> Option<bool> {
        self.change(holder?, |node| {
            node.asked.as_ref()?;
            let was_last = node.tokens.remove(request)?;
            node.inside.live -= 1;
            Some(was_last)
        })?
    }

    // ---- 5 let go ----

    pub(crate) fn let_go(
        &mut self,
        holder: Option<ScopeKey>,
        request: Request,
        fate: Fate,
    ) -> LetGo {
        let (mut holder, mut request, mut fate) = (holder, request, fate);
        loop {
            let Some((key, node)) = holder.and_then(|key| Some((key, self.get(key)?))) else {
                return LetGo::default();
            };
            let (held_against, leftover, dropping) =
                (node.tokens.request(), node.leftover, node.dropping);
            let was_last = self.unhold(holder, request);
            if dropping {
                return LetGo::default(); // The request is still where it came from.
            }
            let Some(was_last) = was_last.filter(|_| held_against == request) else {
                return self.let_go_late(key, request, held_against, fate, was_last);
            };
            self.change(key, |node| match fate {
                Fate::Swallowed => {}
                Fate::Resumed => node.resume(request, u64::MAX),
                Fate::HeldUp => node.kept = node.kept.max(request),
            });
            if !was_last {
                return LetGo::default();
            }
            let all = self.fate_of(key, request);
            if !leftover {
                return self.let_all_go(key, request, fate, all);
            }
            // The tokens of earlier requests, if any are left, mean nothing any more.
            (holder, request) = self.end_leftover(key);
            fate = all;
        }
    }

    /// The last token that held a scope has gone. `fate`: that of this one, `all`: that of all together.
    fn let_all_go(&mut self, key: ScopeKey, request: Request, fate: Fate, all: Fate) -> LetGo {
        match all {
            Fate::Resumed => {
                if fate != Fate::HeldUp
                    && let births = self.births
                    && let Some(node) = self.get_mut(key)
                {
                    node.resumed_at = births;
                }
                self.unwind(key)
            }
            Fate::HeldUp => self.carry(key, request),
            Fate::Swallowed => self.answer(key, request),
        }
    }

    /// A request is let go that does not hold, as a later one has come since, or as it held something else.
    /// `was_last`: whether it was the last token of its request; `None`: it was not known here.
    fn let_go_late(
        &mut self,
        key: ScopeKey,
        request: Request,
        held_against: Request,
        fate: Fate,
        was_last: Option<bool>,
    ) -> LetGo {
        let Some(node) = self.get(key) else {
            return LetGo::default();
        };
        let is_propagating = node.resumed >= request;
        match fate {
            Fate::Swallowed if was_last == Some(true) && !is_propagating => {
                self.answer(key, request)
            }
            // Those who hold against the later one are waited for. Even if they swallow that, this was not.
            Fate::Resumed if held_against > 0 => {
                self.change(key, |node| node.resume(held_against, u64::MAX));
                LetGo::default()
            }
            Fate::HeldUp if held_against > 0 => {
                self.change(key, |node| node.kept = node.kept.max(held_against));
                LetGo::default()
            }
            Fate::Resumed if !is_propagating => self.resume(key, request),
            // It was not polled when the later one came, or it comes from elsewhere.
            _ => LetGo::default(),
        }
    }

    /// A request that was held up goes on from here: to what is inside, and if that is nothing, to the scope
    /// itself. Unlike one that was resumed it can still be answered.
    fn carry(&mut self, key: ScopeKey, request: Request) -> LetGo {
        let Some(node) = self.get_mut(key) else {
            return LetGo::default();
        };
        if node.swallowed >= request {
            node.swallowed = 0; // Not by this one.
        }
        if let Wakes::Root(task) = node.wakes {
            if node.requests.last() < request {
                node.requests.push(request, Origin::of(request), None);
                node.latest = request;
            }
            return LetGo {
                asked_again: Some(task),
                ..LetGo::default()
            };
        }
        node.carried = node.carried.max(request);
        if node.polling {
            return LetGo::default(); // it sees to it at the end of its poll
        }
        LetGo {
            wake: self.waker_of(key),
            ..LetGo::default()
        }
    }

    /// All tokens were swallowed: requests up to this one are answered, here and around, but for those that
    /// an earlier token is about. That waits until nothing inside may still send them on. While their target is polled
    /// it is left to the end of the poll, as others who were told may not have been heard yet.
    fn answer(&mut self, key: ScopeKey, request: Request) -> LetGo {
        let mut let_go = LetGo::default();
        let mut due = Vec::new();
        // The earlier requests that tokens on the way hold against, and how many those are.
        let (mut spared, mut apart) = (0, 0);
        let mut next = Some(key);
        while let Some(key) = next {
            let Some(node) = self.get_mut(key) else { break };
            if node.asked.is_some() {
                let tokens = &node.tokens;
                spared = spared.max(tokens.request());
                apart += tokens.len_before(request);
                if node.due.is_some() {
                    due.push(key);
                }
                let asked = node.requests.last().max(node.carried);
                if spared < asked && asked <= request && node.resumed < asked {
                    node.swallowed = node.swallowed.max(request);
                    node.spared = spared;
                } else if spared < request {
                    let answered = request.min(node.resumed.wrapping_sub(1));
                    node.requests.answer(spared, answered);
                }
                if node.swallowed > 0 {
                    let polling = match node.wakes {
                        Wakes::Root(task) => {
                            let_go.answered = Some((task, key, apart));
                            true // Or not: that is looked at outside.
                        }
                        _ => node.polling,
                    };
                    let to_be_heard = polling && self.has_unheard(key);
                    if !to_be_heard && !self.is_undecided(key, apart) {
                        let_go.overdue.extend(self.settle(key));
                    }
                }
            }
            let Some(node) = self.get(key) else { break };
            // A token that holds an opaque scope comes from inside of it, where requests from around never
            // were.
            let enclosed = node.opaque;
            next = node
                .parent
                .filter(|&parent| !enclosed && !self.is_opaque(parent));
        }
        let_go
            .overdue
            .extend(self.look_again(due.into_iter().rev()));
        let_go
    }

    /// Whether something inside may still send on a request that was swallowed. `apart`: so many tokens inside are of
    /// earlier requests.
    pub(crate) fn is_undecided(&self, key: ScopeKey, apart: u32) -> bool {
        let own = self
            .get(key)
            .map_or(0, |node| node.tokens.len_before(node.swallowed));
        self.has_live(key, apart.max(own))
    }

    /// Nothing inside may send on what was swallowed: it is over. Gives those whose deadlines are acted on now.
    #[must_use]
    pub(crate) fn settle(&mut self, key: ScopeKey) -> Vec<ToWake> {
        let Some(node) = self.get_mut(key).filter(|node| node.asked.is_some()) else {
            return Vec::new();
        };
        let swallowed = std::mem::take(&mut node.swallowed);
        let spared = node.spared;
        node.requests.answer(spared, swallowed);
        if node.requests.last() == 0 {
            node.last_chance = false;
        }
        if node.carried <= swallowed {
            node.carried = 0;
        }
        self.look_at_waiting(key)
    }
}

impl Asked {
    fn resume(&mut self, request: Request, at: u64) {
        if self.resumed < request {
            self.resumed = request;
            self.resumed_at = at;
        }
    }
}

/// A walk that tells.
struct Round {
    request: Request,
    born_by: u64,
    /// Whether anybody was told in this round.
    news: bool,
    /// Whether anybody was told before and has not acted.
    unreached: bool,
    wake: Vec<Waker>,
    /// Whether a cleanup is under way.
    busy: bool,
}

impl fmt::Debug for ScopeTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeTree({} scopes)", self.len())
    }
}
