//! The place of a protocol, which is lent to one callback at a time.
//!
//! These things stay true:
//!
//! - A protocol is taken out of its place while a callback runs. So a callback may call the transport. If the transport
//!   has to call the protocol, it finds it lent, and the second callback comes after the first.
//! - A panic of a callback leaves the protocol in its place.
//! - A replaced protocol is dropped after its successor is in place.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use asyncio_loop::{Cause, PanicPayload, Unhandled, call_exception_handler};

/// The place of a protocol.
pub(super) struct Slot<P: ?Sized> {
    /// The protocol, unless it is lent or gone.
    protocol: Cell<Option<Box<P>>>,
    /// The protocol that is put here when the lent one comes back.
    successor: Cell<Option<Box<P>>>,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Here,
    Lent,
    Gone,
}

impl<P: ?Sized> Slot<P> {
    pub(super) fn new(protocol: Box<P>) -> Self {
        Self {
            protocol: Cell::new(Some(protocol)),
            successor: Cell::new(None),
            state: Cell::new(State::Here),
        }
    }

    /// Whether a callback runs.
    pub(super) fn is_lent(&self) -> bool {
        self.state.get() == State::Lent
    }

    /// Lends the protocol to `f`. `None` if it is lent already, or gone.
    pub(super) fn lend<R>(&self, f: impl FnOnce(&mut P) -> R) -> Option<thread::Result<R>> {
        let mut protocol = self.protocol.take()?;
        self.state.set(State::Lent);
        let outcome = catch_unwind(AssertUnwindSafe(|| f(&mut protocol)));
        self.state.set(State::Here);
        match self.successor.take() {
            None => self.protocol.set(Some(protocol)),
            successor => {
                self.protocol.set(successor);
                drop_quietly(protocol);
            }
        }
        Some(outcome)
    }

    /// Puts another protocol here, as soon as the present one is not lent.
    pub(super) fn replace(&self, protocol: Box<P>) {
        let old = match self.state.get() {
            State::Here => self.protocol.replace(Some(protocol)),
            State::Lent => self.successor.replace(Some(protocol)),
            State::Gone => Some(protocol),
        };
        drop_quietly(old);
    }

    /// Takes the protocol away for good. It must not be lent.
    pub(super) fn remove(&self) -> Option<Box<P>> {
        self.state.set(State::Gone);
        self.protocol.take()
    }
}

/// Drops a value of the user. A panic of its destructor is reported.
pub(super) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        report("the destructor of a protocol panicked", payload);
    }
}

/// Reports a panic of a protocol to the loop's exception handler.
pub(super) fn report(message: &'static str, payload: Box<dyn std::any::Any + Send>) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    call_exception_handler(&Unhandled::new(message, None, cause));
}
