//! A waker that calls back when it is cloned, woken or dropped.

#![expect(
    unsafe_code,
    reason = "a waker that notices being cloned cannot be made without"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

type Hook = RefCell<Option<Box<dyn FnOnce()>>>;

/// What is to be called, each at most once.
#[derive(Default)]
pub(crate) struct Hooks {
    clone: Hook,
    wake: Hook,
    drop: Hook,
}

fn call(hook: &Hook) {
    let hook = hook.borrow_mut().take();
    if let Some(hook) = hook {
        hook();
    }
}

impl Hooks {
    pub(crate) fn on_clone(hook: impl FnOnce() + 'static) -> Waker {
        let hooks = Self::default();
        hooks.clone.replace(Some(Box::new(hook)));
        hooks.waker()
    }

    pub(crate) fn on_wake(hook: impl FnOnce() + 'static) -> Waker {
        let hooks = Self::default();
        hooks.wake.replace(Some(Box::new(hook)));
        hooks.waker()
    }

    /// When it is dropped without having been woken, by whoever comes first: the waker or a clone.
    pub(crate) fn on_drop(hook: impl FnOnce() + 'static) -> Waker {
        let hooks = Self::default();
        hooks.drop.replace(Some(Box::new(hook)));
        hooks.waker()
    }

    /// When it is cloned, and when that clone is dropped; the one that is given is leaked.
    pub(crate) fn on_clone_and_its_drop(
        on_clone: impl FnOnce() + 'static,
        on_drop: impl FnOnce() + 'static,
    ) -> std::mem::ManuallyDrop<Waker> {
        let hooks = Self::default();
        hooks.clone.replace(Some(Box::new(on_clone)));
        hooks.drop.replace(Some(Box::new(on_drop)));
        std::mem::ManuallyDrop::new(hooks.waker())
    }

    fn waker(self) -> Waker {
        // SAFETY: the functions of the table treat the pointer as an `Rc<Hooks>` of their own. That
        // the waker is not sent to another thread is up to the tests, which have one each.
        unsafe { Waker::new(Rc::into_raw(Rc::new(self)).cast(), &VTABLE) }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the waker that is being cloned owns a reference, which stays with it.
        unsafe { Rc::increment_strong_count(data.cast::<Hooks>()) };
        // SAFETY: as above.
        call(unsafe { &(*data.cast::<Hooks>()).clone });
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        // SAFETY: the waker is used up, and its reference passes to `hooks`.
        let hooks = unsafe { Rc::from_raw(data.cast::<Hooks>()) };
        call(&hooks.wake);
    },
    |data| {
        // SAFETY: the waker that wakes owns a reference, which stays with it.
        call(unsafe { &(*data.cast::<Hooks>()).wake });
    },
    |data| {
        // SAFETY: the waker is used up, and its reference passes to `hooks`.
        let hooks = unsafe { Rc::from_raw(data.cast::<Hooks>()) };
        call(&hooks.drop);
    },
);

/// A waker that is never recognised: each clone is of another kind.
pub(crate) fn never_the_same() -> Waker {
    static ONE: RawWakerVTable =
        RawWakerVTable::new(|data| RawWaker::new(data, &OTHER), no, no, no);
    static OTHER: RawWakerVTable =
        RawWakerVTable::new(|data| RawWaker::new(data, &ONE), no, no, no);
    fn no(_: *const ()) {}

    // SAFETY: the functions of the tables do not use the pointer.
    unsafe { Waker::new(std::ptr::null(), &ONE) }
}
