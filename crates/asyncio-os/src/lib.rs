//! Files, subprocesses, signals and pipes for the asyncio event loop.
//!
//! ```
//! # #[cfg(unix)]
//! # asyncio_loop::run(async {
//! use asyncio_os::process::Command;
//!
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert_eq!(output.stdout, b"hello\n");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`fs`] | files and directories, temporary ones, locks; on Linux changes of files |
#![cfg_attr(
    unix,
    doc = "| [`process`] | child processes: [`Command`](process::Command), [`Child`](process::Child), pipelines |"
)]
#![cfg_attr(
    unix,
    doc = "| [`signal`] | signals as a stream, as callbacks; Ctrl-C |"
)]
#![cfg_attr(unix, doc = "| [`pipe`] | pipes, FIFOs |")]
#![cfg_attr(unix, doc = "| [`stdio`] | the standard input, output and error |")]
//!
//! On systems other than Unix the crate has only the modules that the documentation for that system shows.

#![forbid(unsafe_code)]

pub mod fs;
mod pauses;
#[cfg(unix)]
pub mod pipe;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod signal;
#[cfg(unix)]
pub mod stdio;

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
