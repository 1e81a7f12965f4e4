//! axum's [`Router`] with handlers that need no `Send`.
//!
//! ```
//! use std::cell::RefCell;
//! use asyncio::http::routing::{Json, Path, Router, get};
//! use asyncio::http::{Server, Session, Shared, StatusCode, local};
//! use asyncio::net::TcpListener;
//!
//! #[derive(Default)]
//! struct App {
//!     names: RefCell<Vec<String>>, // no Mutex: there is one thread
//! }
//!
//! async fn name(app: Shared<App>, Path(id): Path<usize>) -> Result<String, StatusCode> {
//!     app.names.borrow().get(id).cloned().ok_or(StatusCode::NOT_FOUND)
//! }
//!
//! async fn add(app: Shared<App>, Json(name): Json<String>) -> StatusCode {
//!     app.names.borrow_mut().push(name);
//!     StatusCode::CREATED
//! }
//!
//! # asyncio::run(async {
//! let router = Router::new()
//!     .route("/names/{id}", get(name))
//!     .route("/names", get(async || "all of them").post(local(add)))
//!     .with_state(Shared::new(App::default()));
//! let server = Server::builder().start(router, [TcpListener::bind("127.0.0.1:0").await?]);
//!
//! let session = Session::new();
//! let base = format!("http://{}", server.addresses()[0]);
//! session.post(format!("{base}/names")).json("Ada").send().await?.error_for_status()?;
//! assert_eq!(session.get(format!("{base}/names/0")).send().await?.text().await?, "Ada");
//! assert_eq!(session.get(format!("{base}/names/1")).send().await?.status(), StatusCode::NOT_FOUND);
//! # Ok::<(), asyncio::BoxError>(())
//! # }).unwrap();
//! ```
//!
//! [`get`], [`post`] and the others return axum's [`MethodRouter`]. So layers, nested routers, fallbacks and axum's own
//! handlers mix with ours. Where a method of axum takes a handler, [`local`] adapts ours.
//!
//! A router belongs to the loop on which its handlers were made. With a loop on each core, each makes its own.

use std::convert::Infallible;

pub use axum::Router;
pub use axum::extract::{
    DefaultBodyLimit, Form, FromRef, FromRequest, FromRequestParts, Json, MatchedPath, OriginalUri,
    Path, Query, RawQuery, State,
};
pub use axum::response::{Html, Redirect};
pub use axum::routing::{MethodFilter, MethodRouter};

use crate::local_handler::{LocalHandler, local};

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        ///
        /// # Panics
        ///
        /// Without a running loop.
        #[track_caller]
        pub fn $name<H, T, S>(handler: H) -> MethodRouter<S, Infallible>
        where
            H: LocalHandler<T, S>,
            T: 'static,
            S: Clone + Send + Sync + 'static,
        {
            axum::routing::$name(local(handler))
        }
    )*};
}

methods! {
    /// Has `GET` requests, and `HEAD` requests without a handler of their own, answered by `handler`.
    get
    /// Has `POST` requests answered by `handler`.
    post
    /// Has `PUT` requests answered by `handler`.
    put
    /// Has `DELETE` requests answered by `handler`.
    delete
    /// Has `PATCH` requests answered by `handler`.
    patch
    /// Has `HEAD` requests answered by `handler`.
    head
    /// Has `OPTIONS` requests answered by `handler`.
    options
    /// Has `TRACE` requests answered by `handler`.
    trace
    /// Has `CONNECT` requests answered by `handler`.
    connect
    /// Has requests of any method answered by `handler`.
    any
}

/// Has requests of these methods answered by `handler`.
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
pub fn on<H, T, S>(methods: MethodFilter, handler: H) -> MethodRouter<S, Infallible>
where
    H: LocalHandler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    axum::routing::on(methods, local(handler))
}
