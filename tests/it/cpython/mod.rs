//! Behaviours of CPython's asyncio that we keep: a file for each file of its tests, a module for each
//! class, and each function named as there. `rows.txt` has what became of each.

mod eager_task_factory;
mod locks;
mod rows;
mod runners;
mod server;
mod staggered;
mod streams;
#[cfg(unix)]
mod subprocess;
mod taskgroups;
mod tasks;
mod threads;
mod timeouts;
mod transports;
mod waitfor;
