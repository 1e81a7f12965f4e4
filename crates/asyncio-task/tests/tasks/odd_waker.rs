//! A waker that calls a function whenever it is cloned, woken or dropped, as wakers of others may.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

type Hook = Rc<dyn Fn(&str)>;

thread_local! {
    /// The hooks of all odd wakers of this thread, each at the place its wakers carry as data.
    static HOOKS: RefCell<Vec<Hook>> = const { RefCell::new(Vec::new()) };
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        call(data, "clone");
        RawWaker::new(data, &VTABLE)
    },
    |data| call(data, "wake"),
    |data| call(data, "wake"),
    |data| call(data, "drop"),
);

fn call(data: *const (), event: &str) {
    let hook = HOOKS.with_borrow(|hooks| hooks[data.addr()].clone());
    hook(event);
}

/// Calls `hook` with `"clone"`, `"wake"` or `"drop"`, before it does so. For one thread.
pub(crate) fn odd_waker(hook: impl Fn(&str) + 'static) -> Waker {
    let place = HOOKS.with_borrow_mut(|hooks| {
        hooks.push(Rc::new(hook));
        hooks.len() - 1
    });
    let raw = RawWaker::new(std::ptr::without_provenance(place), &VTABLE);
    // SAFETY: the data is a number, valid for ever, and owns nothing. The functions would panic on
    // another thread, where the place has no hook; they break no memory there either.
    unsafe { Waker::from_raw(raw) }
}
