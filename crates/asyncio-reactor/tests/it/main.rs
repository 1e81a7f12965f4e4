//! A reactor with real sockets: a module a concept.
#![cfg(unix)]

mod budget;
mod closing;
mod crowds;
mod nothing_is_missed;
mod polled;
mod readiness;
mod reentrant;
#[path = "../support/mod.rs"]
mod support;
mod turning;
