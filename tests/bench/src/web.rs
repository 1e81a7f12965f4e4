//! The HTTP of a runtime: servers and a client.

use std::future::Future;

/// HTTP on a runtime.
pub(crate) trait Web: 'static {
    /// The pages that it can serve.
    const PAGES: &'static [Page] = &[Page::Hello, Page::Json, Page::HelloByHttp2];
    /// Whether it has a client.
    const FETCHES: bool = true;

    type Client: Clone + 'static;

    /// Serves `page` to this number of connections, and ends when all of them are closed.
    fn serve(
        listener: std::net::TcpListener,
        page: Page,
        connections: usize,
    ) -> impl Future<Output = ()> + 'static;

    fn client() -> Self::Client;

    /// Fetches a page. Returns its length.
    fn fetch(client: Self::Client, url: String) -> impl Future<Output = usize> + 'static;
}

/// A page of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// `Hello, World!`, from a service of hyper.
    Hello,
    /// A small value as JSON, from a route of axum.
    Json,
    /// The page of `Hello` by HTTP/2, with prior knowledge.
    HelloByHttp2,
}

/// The body of [`Page::Hello`].
pub(crate) const HELLO: &str = "Hello, World!";

/// The value of [`Page::Json`].
#[derive(Debug, serde::Serialize)]
pub(crate) struct Price {
    pub(crate) name: &'static str,
    pub(crate) cents: u32,
}

pub(crate) const PRICE: Price = Price {
    name: "tea",
    cents: 320,
};

/// The missing HTTP of a runtime. No workload calls it.
#[derive(Debug)]
pub(crate) struct NoWeb;

impl Web for NoWeb {
    const PAGES: &'static [Page] = &[];
    const FETCHES: bool = false;
    type Client = ();

    async fn serve(_listener: std::net::TcpListener, _page: Page, _connections: usize) {}

    fn client() {}

    async fn fetch((): (), _url: String) -> usize {
        0
    }
}
