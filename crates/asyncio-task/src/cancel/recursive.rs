//! The rules of cancelling as a recursive function, and the tree in random orders of events.
//!
//! A case is a tree of scopes in which all code waits. Each scope has a plan: what its code does with a token. A wave
//! of requests goes to some of the scopes. Then polls and resolutions of tokens come in a random order, until nothing
//! is under way. In any order, the scopes that end are those of [`Rules::deliver`], which knows no numbers, tokens or
//! polls:
//!
//! - a request reaches the innermost scopes of its target (rules 1, 2), and never what is inside an observed one (rule
//!   8);
//! - a scope that is reached ends, and the code that opened it has a say (rules 3, 4);
//! - a scope ends as well if the code in it sends the request on, after all inside have decided (rule 4);
//! - a request that all have swallowed is over (rule 4);
//! - a request that an observed scope has only deferred comes to the enclosing scope again when all inside have
//!   decided, unless something else sends it on (rule 8);
//! - a target that an enclosing request reaches as well passes that on; otherwise the request ends there (rules 1, 10).
//!
//! Meanwhile, code that has a token never counts as code that a request drops. Otherwise futures that have passed the
//! request on would stay pending in its cleanup, and the cleanup would wait for them.
//!
//! The next wave goes to what is left. Time limits are not in it: `model.rs` has those.

use super::*;

/// A scope.
#[derive(Clone, Copy)]
struct Known {
    key: ScopeKey,
    parent: Option<usize>,
    observed: bool,
    /// The resolution that the code that opened it gives to its token.
    plan: Resolution,
    is_open: bool,
    is_target: bool,
    /// It is observed, and has heard a request.
    heard: bool,
}

/// The rules, on a copy of the scopes.
struct Rules {
    scopes: Vec<Known>,
}

impl Rules {
    fn inside(&self, scope: usize) -> Vec<usize> {
        inside(&self.scopes, scope)
    }

    /// Ends a scope with all that is inside.
    fn end(&mut self, scope: usize) {
        self.scopes[scope].is_open = false;
        for child in self.inside(scope) {
            self.end(child);
        }
    }

    /// Delivers the requests to a scope and to those inside. `outside`: an enclosing one is asked as well. The say of
    /// the code that opened this scope about a request from outside; `None`: the scope does not end by it.
    fn deliver(&mut self, scope: usize, outside: bool) -> Option<Resolution> {
        let Known {
            observed,
            plan,
            is_target,
            ..
        } = self.scopes[scope];
        if observed {
            return outside.then(|| {
                self.end(scope);
                plan
            });
        }
        let asked = outside || is_target;
        loop {
            let children = self.inside(scope);
            let is_leaf = children.is_empty();
            let said: Vec<_> = children
                .into_iter()
                .filter_map(|child| self.deliver(child, asked))
                .collect();
            // All in it have their say, and one that sends the request on is enough.
            if (asked && is_leaf) || said.contains(&Resolution::Propagated) {
                self.end(scope);
                return outside.then_some(plan);
            }
            // A scope that has only deferred it is over, and the request comes again.
            if !said.contains(&Resolution::Deferred) {
                return None;
            }
        }
    }
}

fn inside(scopes: &[Known], scope: usize) -> Vec<usize> {
    let is_child = |&child: &usize| scopes[child].is_open && scopes[child].parent == Some(scope);
    (0..scopes.len()).filter(is_child).collect()
}

/// A token, and the scope whose end has made it.
#[derive(Clone, Copy)]
struct Token {
    of: usize,
    holder: usize,
    request: Request,
}

/// The tree of one task, with the code of its scopes.
struct Case {
    tree: ScopeTree<u32>,
    scopes: Vec<Known>,
    tokens: Vec<Token>,
    step: u64,
    random: Random,
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

const TASK: u32 = 7;

impl Case {
    fn new(seed: u64) -> Self {
        let mut tree = ScopeTree::default();
        let key = tree.insert_root(TASK);
        let mut case = Self {
            tree,
            scopes: Vec::new(),
            tokens: Vec::new(),
            step: 0,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        };
        case.add(key, None, false);
        for _ in 0..2 + case.random.below(10) {
            case.open();
        }
        case
    }

    fn add(&mut self, key: ScopeKey, parent: Option<usize>, observed: bool) {
        let plan = match self.random.below(3) {
            0 => Resolution::Propagated,
            2 if observed => Resolution::Deferred,
            _ => Resolution::Swallowed,
        };
        self.scopes.push(Known {
            key,
            parent,
            observed,
            plan,
            is_open: true,
            is_target: false,
            heard: false,
        });
    }

    /// Opens a scope in one of the others.
    fn open(&mut self) {
        let parent = self.random.below(self.scopes.len());
        if !self.scopes[parent].is_open || self.scopes[parent].observed {
            return;
        }
        let around = self.scopes[parent].key;
        let observed = self.random.below(4) == 0;
        let key = match observed {
            true => self.tree.insert_observed(Place::of(Some(around))),
            false => self.tree.insert(Some(around)),
        };
        self.add(key, Some(parent), observed);
    }

    fn apply(&mut self, effects: Effects<u32>) {
        if let Effect::Answered { root, apart, .. } = effects.effect
            && !self.tree.is_undecided(root, apart)
        {
            drop(self.tree.settle(root));
        }
    }

    /// Drops all that is inside of a scope whose work is dropped.
    fn drop_work(&mut self, scope: usize) {
        for child in inside(&self.scopes, scope) {
            let Known { key, observed, .. } = self.scopes[child];
            self.scopes[child].is_open = false;
            if observed {
                let effects = self.tree.conclude(key, Resolution::Deferred);
                self.apply(effects);
            }
            self.drop_work(child);
            drop(self.tree.remove(key));
        }
        self.tokens.retain(|token| token.holder != scope);
    }

    /// A scope ends by a request.
    fn handle(&mut self, scope: usize) {
        self.scopes[scope].is_open = false;
        let (interruption, rest) = self.tree.end(self.scopes[scope].key).expect("it is there");
        drop(rest);
        if !interruption.own {
            let holder = self.scopes[scope].parent;
            self.tokens.extend(holder.map(|holder| Token {
                of: scope,
                holder,
                request: interruption.request,
            }));
        }
        self.drop_work(scope);
    }

    fn poll(&mut self, scope: usize) {
        let Known { key, observed, .. } = self.scopes[scope];
        if observed {
            self.scopes[scope].heard |= self.tree.observe(key);
            return;
        }
        match self.tree.before_poll(key, self.step) {
            Next::End => return self.handle(scope),
            Next::Yield => return,
            Next::Wait | Next::Poll(_) | Next::Settled(_) => {}
        }
        for round in 1.. {
            self.tree.enter(TASK, Some(key), Isolation::None);
            for child in inside(&self.scopes, scope) {
                if self.scopes[child].is_open {
                    self.poll(child);
                }
            }
            let left = self.tree.leave();
            self.tree.pause(left.key);
            match self.tree.after_poll(key, left.handled, self.step, round) {
                Next::Poll(_) => {}
                Next::End => return self.handle(scope),
                Next::Wait | Next::Settled(_) | Next::Yield => return,
            }
        }
    }

    /// Resolves a token or concludes an observed scope, as its plan says. `false`: nothing is under way.
    fn resolve(&mut self) -> bool {
        let heard = |&n: &usize| self.scopes[n].is_open && self.scopes[n].heard;
        let heard: Vec<_> = (0..self.scopes.len()).filter(heard).collect();
        let all = self.tokens.len() + heard.len();
        if all == 0 {
            return false;
        }
        for &Token { holder, .. } in &self.tokens {
            let Known { key, is_open, .. } = self.scopes[holder];
            let has_no_say = is_open && self.tree.is_ended_without_say(key);
            assert!(!has_no_say, "a cleanup in {holder}\n{}", self.shown());
        }
        let chosen = self.random.below(all);
        let effects = if chosen < self.tokens.len() {
            let token = self.tokens.swap_remove(chosen);
            let holder = Some(self.scopes[token.holder].key);
            let plan = self.scopes[token.of].plan;
            self.tree.resolve(holder, token.request, plan)
        } else {
            let scope = heard[chosen - self.tokens.len()];
            self.scopes[scope].is_open = false;
            let Known { key, plan, .. } = self.scopes[scope];
            let effects = self.tree.conclude(key, plan);
            drop(self.tree.remove(key));
            effects
        };
        self.apply(effects);
        true
    }

    /// Requests to some scopes, and all that comes of them. The number of operations.
    fn wave(&mut self) -> usize {
        let mut operations = 0;
        for n in 0..self.scopes.len() {
            let Known { key, observed, .. } = self.scopes[n];
            let is_target = self.scopes[n].is_open && !observed && self.random.below(4) == 0;
            self.scopes[n].is_target = is_target;
            if is_target {
                operations += 1;
                drop(self.tree.request(key, false, Origin::ANEW, None));
            }
        }
        let mut rules = Rules {
            scopes: self.scopes.clone(),
        };
        let _ = rules.deliver(0, false);
        let mut idle = 0;
        while idle < 3 {
            operations += 1;
            if self.random.below(3) > 0 && self.resolve() {
                idle = 0;
                continue;
            }
            self.step += 1;
            if self.scopes[0].is_open {
                self.poll(0);
            }
            let is_idle = self.tokens.is_empty()
                && !self.scopes.iter().any(|scope| scope.is_open && scope.heard);
            idle = if is_idle { idle + 1 } else { 0 };
        }
        let ended =
            |scopes: &[Known]| -> Vec<bool> { scopes.iter().map(|scope| scope.is_open).collect() };
        assert_eq!(
            ended(&self.scopes),
            ended(&rules.scopes),
            "{}",
            self.shown()
        );
        if self.scopes[0].is_open {
            assert_eq!(self.tree.requests(self.scopes[0].key), 0, "it is answered");
        }
        operations
    }

    /// The scopes, for people who look at a failure.
    fn shown(&self) -> String {
        let scopes = self.scopes.iter().enumerate().map(|(n, scope)| {
            let kind = if scope.observed { "observed" } else { "scope" };
            let target = if scope.is_target { ", target" } else { "" };
            format!(
                "{n} in {:?}: {kind}, {:?}{target}\n",
                scope.parent, scope.plan
            )
        });
        scopes.collect()
    }
}

// Proves rule 1, rule 2, rule 3, rule 4, rule 8, rule 10.
#[test]
fn the_scopes_that_end_do_not_depend_on_the_order_of_events() {
    let is_heavy = std::env::var_os("ASYNCIO_HEAVY").is_some_and(|value| value == "1");
    let (most, mut operations, mut seed) = (if is_heavy { 5_000_000 } else { 20_000 }, 0, 0);
    while operations < most {
        seed += 1;
        let mut case = Case::new(seed);
        for _ in 0..3 {
            if case.scopes[0].is_open {
                for _ in 0..case.random.below(4) {
                    case.open();
                }
                let run = std::panic::AssertUnwindSafe(|| case.wave());
                match std::panic::catch_unwind(run) {
                    Ok(more) => operations += more,
                    Err(payload) => {
                        eprintln!("seed {seed}:\n{}", case.shown());
                        std::panic::resume_unwind(payload);
                    }
                }
            }
        }
    }
}
