//! HTTP on the asyncio event loop, without `Send`: a [`Server`] and a client, [`Session`].
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use asyncio::http::{Request, Server, Session};
//! use asyncio::net::TcpListener;
//!
//! # asyncio::run(async {
//! let visits = Rc::new(Cell::new(0)); // no Arc, no Mutex: there is one thread
//! let count = async move |_: Request| {
//!     visits.set(visits.get() + 1);
//!     format!("visit {}", visits.get())
//! };
//! let server = Server::builder().start(count, [TcpListener::bind("127.0.0.1:0").await?]);
//!
//! let session = Session::new();
//! let page = format!("http://{}/", server.addresses()[0]);
//! assert_eq!(session.get(&page).send().await?.text().await?, "visit 1");
//! assert_eq!(session.get(&page).send().await?.text().await?, "visit 2");
//! # Ok::<(), asyncio::BoxError>(())
//! # }).unwrap();
//! ```
//!
//! [hyper](https://docs.rs/hyper) speaks the protocols, and the types of requests and responses are those of the crates
//! `http` and `http-body`. No runtime of another library is involved.
//!
//! # What is always true
//!
//! - Handlers, services and bodies need no `Send`. Where another library demands it, [`LoopBound`] checks at run time.
//! - Nothing that a peer sends ends more than its own connection, or takes memory without a limit.
//! - A session, a server and their bodies belong to the loop on which they were made.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `http2` | HTTP/2, for servers and clients |
//! | `tls` | HTTPS |
//! | `graviola` | HTTPS without a C compiler |
//! | `rustls` | HTTPS with the ciphers of the program's own provider |
//! | `json` | JSON bodies |
//! | `axum` | axum's `Router`, with handlers that need no `Send`: [`routing`](crate#axum) |
//! | `gzip` | compressed responses in the client |
//! | `websocket` | websockets |
//! | `multipart` | forms with files |

mod bound;
mod hyper_io;
mod in_place;
mod on_loop;

pub mod body;
pub mod files;
#[cfg(feature = "multipart")]
mod form_heads;
mod listener;
#[cfg(feature = "multipart")]
pub mod multipart;
mod server;
mod service;
pub mod sse;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(feature = "axum")]
mod local_handler;
#[cfg(feature = "axum")]
pub mod routing;
#[cfg(feature = "axum")]
mod shared;

mod client;

pub use body::Body;
pub use bound::LoopBound;
pub use client::{
    FetchBody, FetchError, FetchResponse, Proxy, RequestBody, RequestBuilder, Session,
    SessionBuilder,
};
pub use hyper_io::HyperIo;
pub use listener::{Listener, Peer};
pub use on_loop::OnLoop;
pub use server::{Server, ServerBuilder, Upgraded, closing, serve, upgrade};
pub use service::{HyperService, Service};

#[cfg(feature = "axum")]
pub use local_handler::{Local, LocalHandler, local};
#[cfg(feature = "axum")]
pub use shared::Shared;

pub use axum_core::response::{IntoResponse, Response};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
/// A request with a body.
pub type Request<B = Body> = http::Request<B>;

/// Compiles and runs the program of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
