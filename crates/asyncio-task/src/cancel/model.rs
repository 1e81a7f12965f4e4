//! The cancel tree under random operations, compared with a naive list of scopes and tokens. The operations are those
//! of the polls of tasks.
//!
//! After each operation:
//! - the counts of what is unresolved are those of a count from scratch;
//! - a scope ends by a request only if no token of it, or of a later request, holds the scope or one inside (rule 4);
//! - each request to a task is open until a token in it is swallowed (rule 1).
//!
//! In the end, when all scopes are closed and all tokens resolved, nothing is left.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Opens a scope in one of those that are there.
    Open(usize),
    /// The same, for something that ends in its own time.
    Observe(usize),
    Request(usize),
    Expire(usize),
    Poll,
    Resolve(usize, Resolution),
    /// The work of a scope returns; its token may have left it.
    Complete(usize),
    /// A scope is dropped, with all that is inside.
    Drop(usize),
}

fn operations() -> impl Strategy<Value = Vec<Op>> {
    let n = 0..64_usize;
    let resolution = prop_oneof![
        2 => Just(Resolution::Propagated),
        2 => Just(Resolution::Swallowed),
        1 => Just(Resolution::Deferred),
    ];
    let op = prop_oneof![
        6 => n.clone().prop_map(Op::Open),
        2 => n.clone().prop_map(Op::Observe),
        3 => n.clone().prop_map(Op::Request),
        1 => n.clone().prop_map(Op::Expire),
        6 => Just(Op::Poll),
        5 => (n.clone(), resolution).prop_map(|(n, resolution)| Op::Resolve(n, resolution)),
        1 => n.clone().prop_map(Op::Complete),
        1 => n.clone().prop_map(Op::Drop),
    ];
    let opened = prop::collection::vec(n.prop_map(Op::Open), 3..12);
    (opened, prop::collection::vec(op, 1..80)).prop_map(|(first, then)| [first, then].concat())
}

/// A scope as the model knows it.
#[derive(Clone, Copy)]
struct Known {
    key: ScopeKey,
    parent: Option<usize>,
    observed: bool,
    is_open: bool,
}

#[derive(Clone, Copy)]
struct Token {
    holder: usize,
    request: Request,
}

/// The tree of one task, and what the model knows of it.
impl Task for u32 {
    type Id = u32;

    fn id(&self) -> u32 {
        *self
    }
}

struct Model {
    tree: ScopeTree<u32>,
    scopes: Vec<Known>,
    tokens: Vec<Token>,
    /// Requests to the task, as long as none was swallowed in it.
    asked: Option<usize>,
    step: u64,
}

const TASK: u32 = 7;

impl Model {
    fn new() -> Self {
        let mut tree = ScopeTree::default();
        let root = Known {
            key: tree.insert_root(TASK),
            parent: None,
            observed: false,
            is_open: true,
        };
        Self {
            tree,
            scopes: vec![root],
            tokens: Vec::new(),
            asked: Some(0),
            step: 0,
        }
    }

    /// One of the open scopes, by any number; the root only if `root`.
    fn pick(&self, n: usize, root: bool) -> Option<usize> {
        let open = |&i: &usize| self.scopes[i].is_open && (root || i > 0);
        let open: Vec<usize> = (0..self.scopes.len()).filter(open).collect();
        (!open.is_empty()).then(|| open[n % open.len()])
    }

    fn inside(&self, i: usize) -> Vec<usize> {
        let children = |&c: &usize| self.scopes[c].is_open && self.scopes[c].parent == Some(i);
        (0..self.scopes.len()).filter(children).collect()
    }

    /// Whether a token of this request, or of a later one, holds a scope or one inside, up to observed ones.
    fn is_held(&self, i: usize, request: Request) -> bool {
        let holds = |token: &Token| token.holder == i && token.request >= request;
        self.tokens.iter().any(holds)
            || self
                .inside(i)
                .into_iter()
                .any(|c| !self.scopes[c].observed && self.is_held(c, request))
    }

    fn open(&mut self, parent: usize, observed: bool) {
        // In this model an observed scope has nothing inside.
        if self.scopes[parent].observed {
            return;
        }
        let around = self.scopes[parent].key;
        let key = match observed {
            true => self.tree.insert_observed(Place::of(Some(around))),
            false => self.tree.insert(Some(around)),
        };
        self.scopes.push(Known {
            key,
            parent: Some(parent),
            observed,
            is_open: true,
        });
    }

    fn apply(&mut self, effects: Effects<u32>) {
        if let Effect::Answered { task, root, apart } = effects.effect {
            assert_eq!(task, TASK);
            if !self.tree.is_undecided(root, apart) {
                drop(self.tree.settle(root));
            }
        }
    }

    /// A scope and all that is inside is dropped, with the tokens that its code has.
    fn drop_scope(&mut self, i: usize) {
        let Known { key, observed, .. } = self.scopes[i];
        self.scopes[i].is_open = false;
        if observed {
            let effects = self.tree.conclude(key, Resolution::Deferred);
            drop(self.tree.remove(key));
            return self.apply(effects);
        }
        let is_asked = self.tree.is_asked(key);
        match is_asked {
            true => self.tree.begin_drop(key),
            false => drop(self.tree.remove(key)),
        }
        self.drop_work(i);
        if is_asked {
            drop(self.tree.end_drop(key));
        }
    }

    fn drop_work(&mut self, i: usize) {
        for c in self.inside(i) {
            self.drop_scope(c);
        }
        while let Some(n) = self.tokens.iter().position(|token| token.holder == i) {
            let token = self.tokens.swap_remove(n);
            let holder = self.scopes[i].key;
            let gone = self
                .tree
                .resolve(Some(holder), token.request, Resolution::Propagated);
            self.apply(gone);
        }
    }

    /// A scope handles a request.
    fn handle(&mut self, i: usize) {
        self.scopes[i].is_open = false;
        // A later request to the scope itself interrupts what holds against an earlier one.
        let node = self.tree.get(self.scopes[i].key);
        let own = node.map_or(0, |node| node.state().unanswered());
        let (interruption, rest) = self.tree.end(self.scopes[i].key).expect("it is there");
        drop(rest);
        let request = interruption.request;
        assert!(
            !self.is_held(i, request.max(own)),
            "a scope ends although a token holds it"
        );
        let parent = self.scopes[i].parent;
        if let Some(parent) = parent.filter(|_| !interruption.own) {
            assert!(interruption.parent == Some(self.scopes[parent].key));
            let holder = parent;
            self.tokens.push(Token { holder, request });
        }
        self.drop_work(i);
    }

    fn poll(&mut self, i: usize) {
        let Known { key, observed, .. } = self.scopes[i];
        if observed {
            self.tree.observe(key);
            return;
        }
        match self.tree.before_poll(key, self.step) {
            Next::End => return self.handle(i),
            Next::Yield => return,
            Next::Wait | Next::Poll(_) | Next::Settled(_) => {}
        }
        for round in 1.. {
            self.tree.enter(TASK, Some(key), Isolation::None);
            for c in self.inside(i) {
                if self.scopes[c].is_open {
                    self.poll(c);
                }
            }
            let left = self.tree.leave();
            self.tree.pause(left.key);
            match self.tree.after_poll(key, left.handled, self.step, round) {
                Next::Poll(_) => {}
                Next::End => return self.handle(i),
                Next::Wait | Next::Settled(_) | Next::Yield => return,
            }
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Open(n) => {
                if let Some(i) = self.pick(n, true) {
                    self.open(i, false);
                }
            }
            Op::Observe(n) => {
                if let Some(i) = self.pick(n, true) {
                    self.open(i, true);
                }
            }
            Op::Request(n) => {
                let Some(i) = self.pick(n, true).filter(|&i| !self.scopes[i].observed) else {
                    return;
                };
                let key = self.scopes[i].key;
                drop(self.tree.request(key, false, Origin::ANEW, None));
                if i == 0 {
                    self.asked = self.asked.map(|asked| asked + 1);
                }
            }
            Op::Expire(n) => {
                if let Some(i) = self.pick(n, false).filter(|&i| !self.scopes[i].observed) {
                    drop(self.tree.expire(self.scopes[i].key, false));
                }
            }
            Op::Poll => {
                self.step += 1;
                if self.scopes[0].is_open {
                    self.poll(0);
                }
            }
            Op::Resolve(n, resolution) => {
                if self.tokens.is_empty() {
                    return;
                }
                let token = self.tokens.swap_remove(n % self.tokens.len());
                if resolution == Resolution::Swallowed {
                    self.asked = None;
                }
                let holder = self.scopes[token.holder].key;
                let effects = self.tree.resolve(Some(holder), token.request, resolution);
                self.apply(effects);
            }
            Op::Complete(n) => {
                let Some(i) = self.pick(n, false) else { return };
                if self.scopes[i].observed {
                    // It has answered what it has heard.
                    self.asked = None;
                    self.scopes[i].is_open = false;
                    let key = self.scopes[i].key;
                    let effects = self.tree.conclude(key, Resolution::Swallowed);
                    drop(self.tree.remove(key));
                    return self.apply(effects);
                }
                for c in self.inside(i) {
                    self.drop_scope(c);
                }
                self.scopes[i].is_open = false;
                let (effects, rest) = self.tree.complete(self.scopes[i].key);
                drop(rest);
                self.apply(effects);
            }
            Op::Drop(n) => {
                if let Some(i) = self.pick(n, false) {
                    self.drop_scope(i);
                }
            }
        }
    }

    fn check(&self) {
        for scope in self.scopes.iter().filter(|scope| scope.is_open) {
            self.tree.check_counts(scope.key);
        }
        if let Some(asked) = self.asked.filter(|_| self.scopes[0].is_open) {
            assert_eq!(self.tree.requests(self.scopes[0].key), asked);
        }
    }

    fn close(&mut self) {
        if self.scopes[0].is_open {
            self.drop_scope(0);
        }
        for token in std::mem::take(&mut self.tokens) {
            let holder = self.scopes[token.holder].key;
            let gone = self
                .tree
                .resolve(Some(holder), token.request, Resolution::Propagated);
            self.apply(gone);
        }
        assert_eq!(self.tree.len(), 0, "scopes are left over");
    }
}

#[test]
fn random_operations() {
    let is_heavy = std::env::var_os("ASYNCIO_HEAVY").is_some_and(|value| value == "1");
    let config = Config {
        cases: if is_heavy { 100_000 } else { 500 },
        failure_persistence: None,
        ..Config::default()
    };
    let run = |operations: Vec<Op>| {
        let mut model = Model::new();
        for op in operations {
            if !model.scopes[0].is_open {
                model.close();
                model = Model::new();
            }
            model.run(op);
            model.check();
        }
        model.close();
        Ok(())
    };
    TestRunner::new(config).run(&operations(), run).unwrap();
}
