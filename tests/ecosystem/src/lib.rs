//! Programs with crates that need tokio, or another host, in tasks of ours.
//!
//! The programs are in `examples`. `cargo run -p asyncio-ecosystem --bin NAME` runs one, and the tests run all of them
//! against servers on loopback. The package is no default member of the workspace, because it brings a hundred crates.
