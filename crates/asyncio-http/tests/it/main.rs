//! Servers, clients and websockets on loopback: a module a concept.

mod bad_clients;
mod bound;
mod client;
mod contents;
mod cores;
mod desync;
mod reported;
#[cfg(feature = "axum")]
mod routes;
#[cfg(all(feature = "tls", target_os = "linux"))]
mod secure;
mod server;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "websocket")]
mod websockets;
