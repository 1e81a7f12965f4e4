//! The pool: memory of cells that were freed, for those to come.
//!
//! A server spawns and ends tasks of few sizes at a high rate. Handing a freed block to the next task of the same size
//! costs a few instructions. The general allocator needs hundreds, once its own small caches are full.
//!
//! - **P1** A shelf holds blocks that came from the global allocator with the layout of its size class, by
//!   [`block_layout`]. Nothing else uses these blocks. The first word of each points to the next.
//! - **P2** Only a block with the layout that `block_layout` gives its class goes on a shelf, so both sides agree on
//!   the layout. A block that is freed elsewhere, by another thread say, goes back to the global allocator with that
//!   layout.
//! - **P3** At most [`SHELF`] blocks are kept of a size, and `limit` bytes of all sizes together. When that is
//!   reached, another shelf is cleared: it may be of a size that nothing needs any more.
//!
//! In debug builds a block that is kept is filled with [`DEAD`], so that a use after it was freed does not go
//! unseen. With a limit of 0 nothing is kept, and sanitizers see each block come and go.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::ptr::{self, NonNull};

/// The distance of classes in bytes, and the alignment of blocks. The usual allocator adds eight bytes of its own and
/// rounds up to sixteen, so classes of sixteen would waste some.
const STEP: usize = 8;
/// Larger cells are left to the global allocator.
const CLASSES: usize = 64;
/// How many blocks of a size are kept.
const SHELF: u32 = 1024;

/// How many bytes are kept.
const LIMIT: usize = 1 << 20;
/// The byte that fills a kept block in debug builds.
const DEAD: u8 = 0xdd;

/// The pool of one thread's half of a loop: shelves of freed cells, by size.
pub(crate) struct Pool {
    shelves: [Shelf; CLASSES],
    /// How many bytes are kept at most, and how many are.
    limit: usize,
    kept: Cell<usize>,
    /// The class of the shelf that is cleared next for want of room.
    next_cleared: Cell<usize>,
}

#[derive(Default)]
struct Shelf {
    first: Cell<Option<NonNull<Block>>>,
    len: Cell<u32>,
}

struct Block {
    next: Option<NonNull<Block>>,
}

/// The layout a cell is allocated and freed with, in all places, and its class if it has one.
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
        Self::new(if cfg!(asyncio_no_pool) { 0 } else { LIMIT })
    }
}

impl Pool {
    /// Keeps at most so many bytes.
    fn new(limit: usize) -> Self {
        Self {
            shelves: std::array::from_fn(|_| Shelf::default()),
            limit,
            kept: Cell::new(0),
            next_cleared: Cell::new(0),
        }
    }

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
                self.kept.set(self.kept.get() - layout.size());
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
        let (layout, class) = block_layout(cell);
        if let Some(class) = class {
            let shelf = &self.shelves[class];
            let kept = self.kept.get() + layout.size();
            if shelf.len.get() < SHELF && (kept <= self.limit || self.makes_room(class)) {
                let block = block.cast::<Block>();
                if cfg!(debug_assertions) {
                    // SAFETY: the block is the caller's to give, and as large as its class says (P2).
                    unsafe { block.cast::<u8>().write_bytes(DEAD, layout.size()) };
                }
                // SAFETY: the block is the caller's to give, as large as a pointer at least, and aligned (P2).
                unsafe {
                    block.write(Block {
                        next: shelf.first.get(),
                    })
                };
                shelf.first.set(Some(block));
                shelf.len.set(shelf.len.get() + 1);
                self.kept.set(self.kept.get() + layout.size());
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

impl Pool {
    /// Makes room for a block of `class` by clearing the shelf of another one. Whether there is some now.
    #[cold]
    fn makes_room(&self, class: usize) -> bool {
        let others = self.next_cleared.get()..self.next_cleared.get() + CLASSES;
        let filled = others
            .map(|other| other % CLASSES)
            .find(|&other| other != class && self.shelves[other].len.get() > 0);
        let Some(other) = filled else { return false };
        self.next_cleared.set(other + 1);
        self.clear(other);
        self.kept.get() + (class + 1) * STEP <= self.limit
    }

    /// Frees what is on the shelf of a class.
    fn clear(&self, class: usize) {
        let shelf = &self.shelves[class];
        let layout =
            Layout::from_size_align((class + 1) * STEP, STEP).expect("a class has a layout");
        let blocks = shelf.len.replace(0) as usize;
        self.kept.set(self.kept.get() - blocks * layout.size());
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

impl Drop for Pool {
    fn drop(&mut self) {
        for class in 0..CLASSES {
            self.clear(class);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} bytes)", self.kept.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    // Proves P2.
    #[test]
    fn a_class_has_one_layout_and_odd_cells_have_none() {
        assert_eq!(block_layout(layout(81, 8)), (layout(88, 8), Some(10)));
        assert_eq!(block_layout(layout(88, 4)), (layout(88, 8), Some(10)));
        assert_eq!(block_layout(layout(512, 8)), (layout(512, 8), Some(63)));
        assert_eq!(block_layout(layout(96, 16)).1, None);
        assert_eq!(block_layout(layout(513, 8)).1, None);
        assert_eq!(block_layout(layout(64, 64)), (layout(64, 64), None));
    }

    impl Pool {
        /// Gives so many blocks of a size, which it has taken before.
        fn fill(&self, blocks: u32, size: usize) {
            let taken: Vec<_> = (0..blocks).map(|_| self.take(layout(size, 8))).collect();
            for block in taken {
                // SAFETY: a block of that size that nothing else uses.
                unsafe { self.give(block, layout(size, 8)) };
            }
        }

        fn check(&self) {
            let shelves = self.shelves.iter().enumerate();
            let bytes = shelves.map(|(class, shelf)| shelf.len.get() as usize * (class + 1) * STEP);
            assert_eq!(self.kept.get(), bytes.sum());
            assert!(self.kept.get() <= self.limit);
        }
    }

    #[test]
    fn a_block_that_was_given_is_taken_next() {
        let pool = Pool::new(LIMIT);
        let first = pool.take(layout(96, 8));
        // SAFETY: it is that large, and no other's.
        unsafe { pool.give(first, layout(96, 8)) };
        pool.check();
        assert_eq!(pool.kept.get(), 96);
        let again = pool.take(layout(90, 8)); // of the same class
        assert_eq!(first, again);
        if cfg!(debug_assertions) {
            // SAFETY: it is that large, and was written all over.
            let content = unsafe { std::slice::from_raw_parts(again.as_ptr().add(8), 88) };
            assert_eq!(content, [DEAD; 88]);
        }
        // SAFETY: as above.
        unsafe { free(again, layout(90, 8)) };
        pool.check();
    }

    // Proves P3.
    #[test]
    fn all_sizes_together_keep_no_more_than_the_limit() {
        let pool = Pool::new(LIMIT);
        for size in (8..=512).step_by(8) {
            pool.fill(2 * SHELF, size);
            pool.check();
            let shelf = &pool.shelves[size / STEP - 1];
            assert_eq!(shelf.len.get(), SHELF, "the last size that came has room");
        }
        assert!(pool.kept.get() > LIMIT / 2);
    }

    #[test]
    fn a_pool_without_a_limit_to_use_keeps_nothing() {
        let pool = Pool::new(0);
        pool.fill(10, 96);
        pool.check();
        assert_eq!(pool.kept.get(), 0);
    }

    // Proves P3.
    #[test]
    fn a_block_for_which_clearing_a_shelf_makes_no_room_is_not_kept() {
        let pool = Pool::new(200);
        pool.fill(2, 96);
        assert_eq!(pool.kept.get(), 192);
        pool.fill(1, 512);
        pool.check();
        pool.fill(1, 200);
        pool.check();
        assert_eq!(pool.kept.get(), 200);
    }

    // Proves P1.
    #[test]
    fn blocks_come_back_whole_and_no_more_than_a_shelf_is_kept() {
        let pool = Pool::new(LIMIT);
        for size in [80, 88, 200, 512, 600] {
            let blocks: Vec<_> = (0..2 * SHELF).map(|_| pool.take(layout(size, 8))).collect();
            for block in blocks {
                // SAFETY: blocks of that size that nothing else uses.
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
