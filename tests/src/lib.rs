//! Helpers of the tests: a loop on virtual time, and a child process.

mod child;
#[cfg(unix)]
pub mod remote;
mod virtual_run;

pub use asyncio_testkit::{NoteOnDrop, Trace, forever, ms, panic_of, secs};
pub use child::{Child, Ended};
pub use virtual_run::run_virtual;
