//! Tests that drive the facade as a user does, a module a concept.

mod bounded;
#[cfg(target_os = "linux")]
mod busy;
mod circles;
mod closing;
mod console;
mod cpython;
#[cfg(unix)]
mod ctrl_c;
mod eager;
#[cfg(unix)]
mod examples;
mod first_hour;
mod fused;
mod handed_over;
mod host;
mod in_place;
mod loop_pool;
mod nothing_lost;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod processes;
mod ready_awaits;
mod requests;
mod select;
#[cfg(unix)]
mod stdio;
mod synchronising;
mod testing;
mod thread_bound;
mod threads;
mod tokio;
#[cfg(unix)]
mod twins;
mod unretrieved;
mod wrong_loop;
