//! The system's allocator, which counts what a thread has and has not given back.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// How many pieces of memory this thread has taken and not given back.
pub(crate) fn held() -> isize {
    HELD.get()
}

// SAFETY: everything is the system allocator's doing. Counting touches a thread-local that needs no memory
// and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + 1);
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - 1);
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}
