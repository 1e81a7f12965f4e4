//! The asyncio event loop as a guest of tokio: tasks of ours use tokio's crates directly, on one thread.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! asyncio_tokio::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = asyncio_loop::spawn(async move {
//!         let (mut client, _) = listener.accept().await?;
//!         client.write_all(b"hello").await
//!     });
//!     let mut greeting = String::new();
//!     TcpStream::connect(address).await?.read_to_string(&mut greeting).await?;
//!     server.await.unwrap()?;
//!     assert_eq!(greeting, "hello");
//!     Ok::<(), std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! tokio is the *host*: it owns the thread and waits. Our loop is its *guest*, a future that a tokio task polls.
//! So all of tokio finds its runtime in our tasks, and wakes them by plain wakers. These properties hold:
//!
//! - A poll of the guest ends after 128 tokio operations and after 50 µs. So the host's other tasks and its driver
//!   get their turn.
//! - The guest never blocks the host. Closing is a phase of its future, so a cleanup may wait for a tokio timer.
//! - Between two polls no loop runs: code of the host reaches the guest by wakers, handles of tasks, and `LoopHandle`.
//!
//! Not here: the host interface itself, for other hosts (`asyncio-loop`).

mod host_waker;

mod bell;
mod descriptor;
mod timer;

mod guest;

mod lent;

mod run;

pub use guest::Guest;
pub use run::{run, run_with};

/// The functions that the attributes expand to. Not a part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::run::{run_main, run_test, run_test_within};
}

/// The program of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
