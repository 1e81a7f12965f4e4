//! The pool: memory of cells that were freed, for those to come.
//!
//! A server spawns and ends tasks of few sizes at a high rate. Handing a freed block to the next task of
//! the same size costs a few instructions where the general allocator, once its own small caches are
//! full, needs hundreds.
//!
//! - **P1** A shelf holds blocks that came from the global allocator with the layout that
//!   [`block_layout`] gives for its size class, which nobody else uses. The first word of each points to
//!   the next.
//! - **P2** Only what `block_layout` gives a class goes on a shelf, so both sides agree on the layout, and
//!   a block that is freed elsewhere, by another thread say, goes back to the global allocator with it.
//! - **P3** A shelf is short: at most [`SHELF`] blocks are kept of a size.
//!
//! In debug builds nothing is kept, so that sanitizers see each block come and go.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

/// Classes are this many bytes apart, and blocks as much aligned: with eight of its own, the usual allocator
/// rounds up to sixteen, so classes of sixteen would waste some.
const STEP: usize = 8;
/// Larger cells are left to the global allocator.
const CLASSES: usize = 64;
/// How many blocks of a size are kept.
const SHELF: u32 = 1024;

/// See the head of this file.
pub(crate) struct Pool {
    shelves: [Shelf; CLASSES],
}

#[derive(Default)]
struct Shelf {
    first: Cell<Option<NonNull<Block>>>,
    len: Cell<u32>,
}

struct Block {
    next: Option<NonNull<Block>>,
}

/// The layout a cell is allocated and freed with, whoever does it, and its class if it has one.
const fn block_layout(cell: Layout) -> (Layout, Option<usize>) {
    let steps = cell.size().div_ceil(STEP);
    if cell.align() > STEP || steps == 0 || steps > CLASSES {
        return (cell, None);
    }
    match Layout::from_size_align(steps * STEP, STEP) {
        Ok(layout) => (layout, Some(steps - 1)),
        Err(_) => (cell, None),
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            shelves: std::array::from_fn(|_| Shelf::default()),
        }
    }
}

impl Pool {
    /// Memory for a cell, uninitialised.
    #[inline]
    pub(crate) fn take(&self, cell: Layout) -> NonNull<u8> {
        let (layout, class) = block_layout(cell);
        if let Some(class) = class {
            let shelf = &self.shelves[class];
            if let Some(block) = shelf.first.get() {
                // SAFETY: P1: the block is ours, and holds a `Block`.
                shelf.first.set(unsafe { block.as_ref() }.next);
                shelf.len.set(shelf.len.get() - 1);
                return block.cast();
            }
        }
        allocate(layout)
    }

    /// Takes back the memory of a cell.
    ///
    /// # Safety
    ///
    /// `block` came from [`Pool::take`], of this or another pool, with the same layout, and is not used
    /// any more.
    #[inline]
    pub(crate) unsafe fn give(&self, block: NonNull<u8>, cell: Layout) {
        if let (_, Some(class)) = block_layout(cell)
            && !cfg!(debug_assertions)
        {
            let shelf = &self.shelves[class];
            if shelf.len.get() < SHELF {
                let block = block.cast::<Block>();
                // SAFETY: the block is the caller's to give, as large as a pointer at least, and aligned (P2).
                unsafe {
                    block.write(Block {
                        next: shelf.first.get(),
                    })
                };
                shelf.first.set(Some(block));
                shelf.len.set(shelf.len.get() + 1);
                return;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { free(block, cell) }
    }
}

#[cold]
fn allocate(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    // SAFETY: a cell has a header, so its size is not zero.
    let block = unsafe { alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Frees the memory of a cell where its pool is not at hand.
///
/// # Safety
///
/// As for [`Pool::give`].
pub(crate) unsafe fn free(block: NonNull<u8>, cell: Layout) {
    // SAFETY: P2: this is the layout it was allocated with.
    unsafe { alloc::dealloc(block.as_ptr(), block_layout(cell).0) }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (class, shelf) in self.shelves.iter().enumerate() {
            let layout =
                Layout::from_size_align((class + 1) * STEP, STEP).expect("a class has a layout");
            let mut next = shelf.first.take();
            while let Some(block) = next {
                // SAFETY: P1: the block is ours, holds a `Block`, and has the layout of its class.
                unsafe {
                    next = ptr::read(block.as_ptr()).next;
                    alloc::dealloc(block.as_ptr().cast(), layout);
                }
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: u32 = self.shelves.iter().map(|shelf| shelf.len.get()).sum();
        write!(f, "Pool({kept} blocks)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_class_has_one_layout_and_odd_cells_have_none() {
        assert_eq!(block_layout(layout(81, 8)), (layout(88, 8), Some(10)));
        assert_eq!(block_layout(layout(88, 4)), (layout(88, 8), Some(10)));
        assert_eq!(block_layout(layout(512, 8)), (layout(512, 8), Some(63)));
        assert_eq!(block_layout(layout(96, 16)).1, None);
        assert_eq!(block_layout(layout(513, 8)).1, None);
        assert_eq!(block_layout(layout(64, 64)), (layout(64, 64), None));
    }

    #[test]
    fn blocks_come_back_whole_and_no_more_than_a_shelf_is_kept() {
        let pool = Pool::default();
        for size in [80, 88, 200, 512, 600] {
            let blocks: Vec<_> = (0..2 * SHELF).map(|_| pool.take(layout(size, 8))).collect();
            for block in blocks {
                // SAFETY: blocks of that size that nobody else uses.
                unsafe {
                    block.write_bytes(0xa5, size);
                    pool.give(block, layout(size, 8));
                }
            }
            assert!(pool.shelves.iter().all(|shelf| shelf.len.get() <= SHELF));
            let again = pool.take(layout(size, 8));
            // SAFETY: as above.
            unsafe { free(again, layout(size, 8)) };
        }
    }
}
