//! HTTP by ours, by hyper, axum and reqwest on tokio, and by hyper on compio.

mod compio;

pub(crate) use self::compio::OnCompio;

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::tokio::Kind;
use crate::web::{HELLO, PRICE, Page, Price, Web};

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(
        HELLO.as_bytes(),
    ))))
}

async fn price() -> axum::Json<Price> {
    axum::Json(PRICE)
}

/// asyncio-http.
#[derive(Debug)]
pub(crate) struct Ours;

impl Web for Ours {
    type Client = asyncio::http::Session;

    async fn serve(listener: std::net::TcpListener, page: Page, _connections: usize) {
        use asyncio::http::routing::{Router, get};
        use asyncio::http::{HyperService, Server};

        let listener = asyncio::net::TcpListener::from_std(listener).expect("it is a listener");
        let server = match page {
            Page::Hello | Page::HelloByHttp2 => {
                Server::builder().start(HyperService(service_fn(hello)), [listener])
            }
            Page::Json => {
                let router = Router::new().route("/", get(price));
                Server::builder().start(router, [listener])
            }
        };
        // The load holds its connections until its end.
        let mut was_used = false;
        while !was_used || server.connections() > 0 {
            was_used |= server.connections() > 0;
            asyncio::sleep(Duration::from_millis(20)).await;
        }
    }

    fn client() -> Self::Client {
        asyncio::http::Session::new()
    }

    async fn fetch(client: Self::Client, url: String) -> usize {
        let response = client.get(url).send().await.expect("the server answers");
        response.bytes().await.expect("the page comes").len()
    }
}

/// hyper and `axum::serve` on tokio, and reqwest.
#[derive(Debug)]
pub(crate) struct OnTokio<K>(PhantomData<K>);

impl<K: Kind> Web for OnTokio<K> {
    type Client = reqwest::Client;

    async fn serve(listener: std::net::TcpListener, page: Page, connections: usize) {
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
        if page == Page::Json {
            return serve_axum(listener).await;
        }
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            // As hyper-util and axum do it.
            stream.set_nodelay(true).expect("it is a connection");
            let stream = TokioIo::new(stream);
            tasks.push(K::spawn(async move {
                if page == Page::HelloByHttp2 {
                    let server = http2::Builder::new(Spawns::<K>(PhantomData));
                    let _ = server.serve_connection(stream, service_fn(hello)).await;
                } else {
                    let server = http1::Builder::new();
                    let _ = server.serve_connection(stream, service_fn(hello)).await;
                }
            }));
        }
        for task in tasks {
            K::join(task).await;
        }
    }

    fn client() -> reqwest::Client {
        let client = reqwest::Client::builder().no_proxy().build();
        client.expect("the options are valid")
    }

    async fn fetch(client: reqwest::Client, url: String) -> usize {
        let response = client.get(url).send().await.expect("the server answers");
        response.bytes().await.expect("the page comes").len()
    }
}

/// Runs the requests of an HTTP/2 connection in tasks.
#[derive(Debug)]
struct Spawns<K>(PhantomData<K>);

impl<K> Clone for Spawns<K> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<K: Kind, F: Future<Output: 'static> + 'static> Executor<F> for Spawns<K> {
    fn execute(&self, future: F) {
        K::detach(K::spawn(future));
    }
}

/// Serves until the last connection is closed.
async fn serve_axum(listener: tokio::net::TcpListener) {
    let router = axum::Router::new().route("/", axum::routing::get(price));
    let open = Arc::new(AtomicUsize::new(0));
    let make = Make {
        router,
        open: Arc::clone(&open),
    };
    let over = async move {
        let mut was_used = false;
        while !was_used || open.load(Ordering::Relaxed) > 0 {
            was_used |= open.load(Ordering::Relaxed) > 0;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let serving = axum::serve(listener, make);
    serving
        .with_graceful_shutdown(over)
        .await
        .expect("it serves");
}

/// Makes a service for each connection, and counts those that are there.
#[derive(Debug, Clone)]
struct Make {
    router: axum::Router,
    open: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> tower_service::Service<T> for Make {
    type Response = OfConnection;
    type Error = Infallible;
    type Future = std::future::Ready<Result<OfConnection, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _connection: T) -> Self::Future {
        self.open.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(OfConnection {
            router: self.router.clone(),
            _counted: Arc::new(Counted(Arc::clone(&self.open))),
        }))
    }
}

/// The router, for one connection.
#[derive(Debug, Clone)]
struct OfConnection {
    router: axum::Router,
    _counted: Arc<Counted>,
}

impl<R> tower_service::Service<R> for OfConnection
where
    axum::Router: tower_service::Service<R>,
{
    type Response = <axum::Router as tower_service::Service<R>>::Response;
    type Error = <axum::Router as tower_service::Service<R>>::Error;
    type Future = <axum::Router as tower_service::Service<R>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        tower_service::Service::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        tower_service::Service::call(&mut self.router, request)
    }
}

/// Serves on a thread of its own until the process ends, on ours, for all clients alike.
pub(crate) fn serve_for_clients(listener: std::net::TcpListener) -> impl Future<Output = ()> {
    Ours::serve(listener, Page::Hello, usize::MAX)
}
