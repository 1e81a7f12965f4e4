//! How much a step may do on behalf of requests in scopes that it has opened itself.
//!
//! Scopes that were there before are so many, and each is put off after [`MOST_ROUNDS`]. Code that opens scopes which
//! are cancelled at once, and swallows that, again and again, would never let others run. Each of its scopes is a new
//! one. So these are counted together. When the allowance is spent, the next one is put off, and the task has its next
//! step after the others.

/// How often a scope is polled at a stretch on behalf of a request. Only code that opens one shield after the
/// other and waits for nothing needs more.
pub(super) const MOST_ROUNDS: u32 = 16;

/// The allowance of one step of a task.
#[derive(Default)]
pub(super) struct Allowance {
    /// The step that this is about.
    step: u64,
    /// How many scopes had been opened when it first did anything on behalf of a request.
    opened: u64,
    spent: u32,
}

impl Allowance {
    /// Whether a scope may be polled once more, or ended, in the step of this number. `opened_at`: which of the scopes
    /// it was, of `opened` so far.
    pub(super) fn allows(&mut self, step: u64, opened_at: u64, opened: u64) -> bool {
        if self.step != step {
            *self = Self {
                step,
                opened,
                spent: 0,
            };
        }
        if opened_at <= self.opened {
            return true;
        }
        self.spent = self.spent.saturating_add(1);
        self.spent <= MOST_ROUNDS
    }
}
