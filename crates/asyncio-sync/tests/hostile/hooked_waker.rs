//! A waker that calls a hook when it is cloned, woken or dropped.

#![expect(
    unsafe_code,
    reason = "a waker that notices its clones needs a vtable of its own"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

type Hook = RefCell<Option<Box<dyn FnOnce()>>>;

/// The hooks of a waker. Each is called at most once.
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

    /// A waker that calls `hook` when it or a clone is dropped without having been woken.
    pub(crate) fn on_drop(hook: impl FnOnce() + 'static) -> Waker {
        let hooks = Self::default();
        hooks.drop.replace(Some(Box::new(hook)));
        hooks.waker()
    }

    /// A waker that calls `on_clone` when it is cloned, and `on_drop` when that clone is dropped.
    ///
    /// The waker itself is never dropped.
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
        // SAFETY: the functions of the vtable treat the pointer as an `Rc<Hooks>` that they own.
        // Each test uses its wakers on one thread only, so that `Rc` is sound.
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

/// A waker for which `will_wake` is `false` for its own clone: each clone has another vtable.
pub(crate) fn never_the_same() -> Waker {
    static ONE: RawWakerVTable =
        RawWakerVTable::new(|data| RawWaker::new(data, &OTHER), no, no, no);
    static OTHER: RawWakerVTable =
        RawWakerVTable::new(|data| RawWaker::new(data, &ONE), no, no, no);
    fn no(_: *const ()) {}

    // SAFETY: the functions of the vtables do not use the pointer.
    unsafe { Waker::new(std::ptr::null(), &ONE) }
}
