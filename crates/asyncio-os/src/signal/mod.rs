//! Signals of the system: as a stream, as callbacks, as `ctrl_c`.
//!
//! ```
//! # mod asyncio { pub use asyncio_os::*; }
//! use asyncio::signal::{Signal, signal};
//!
//! # asyncio_loop::run(async {
//! let mut hangups = signal(Signal::HUP)?;
//! # Signal::HUP.raise()?;
//! // On SIGHUP, read the configuration again.
//! assert_eq!(hangups.recv().await?, Signal::HUP);
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod handlers;
mod kind;
mod stream;

pub use handlers::{add_signal_handler, remove_signal_handler};
pub use kind::Signal;
pub use stream::{Signals, ctrl_c, signal, signals};
