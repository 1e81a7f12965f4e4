//! Child processes: asyncio's `create_subprocess_exec`, in the shape of [`std::process`].
//!
//! ```
//! # mod asyncio { pub use asyncio_os::*; }
//! use asyncio::process::Command;
//!
//! # asyncio_loop::run(async {
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! These things are always true:
//!
//! - Every child is reaped, also one whose [`Child`] is dropped or whose loop is closed.
//! - [`Child::wait`] returns when the process has ended, whichever process still has its pipes.
//! - Processes work on the loop of any thread. The status of another child is never taken. A status that other code has
//!   taken is an error, [`StatusTaken`].
//! - A child inherits its three standard streams, and no other descriptor that this library or the standard library has
//!   opened. It inherits a descriptor that came from this program's parent, or that C code has opened without
//!   `O_CLOEXEC`.

mod child;
mod command;
mod communicate;
mod ending;
mod error;
mod group;
mod pipeline;
mod protocol;
mod reaper;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub use command::Command;
pub use ending::StatusTaken;
pub use error::SpawnError;
pub use pipeline::{Pipeline, RunningPipeline};
pub use protocol::{SubprocessProtocol, SubprocessTransport};
