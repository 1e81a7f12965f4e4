//! hyper on compio, by the adaptors of cyper.

use compio::net::TcpListener;
use cyper_core::{CompioExecutor, HyperStream};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;

use super::hello;
use crate::web::{Page, Web};

/// hyper on compio. Its routes of axum and its client are left out.
#[derive(Debug)]
pub(crate) struct OnCompio;

impl Web for OnCompio {
    const PAGES: &'static [Page] = &[Page::Hello, Page::HelloByHttp2];
    const FETCHES: bool = false;

    type Client = ();

    async fn serve(listener: std::net::TcpListener, page: Page, connections: usize) {
        let listener = TcpListener::from_std(listener).expect("compio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            stream.set_nodelay(true).expect("it is a connection");
            // As cyper-axum does it.
            let stream = stream.into_poll_fd().expect("it is a connection");
            stream.set_nonblocking(true).expect("it is a connection");
            let stream = HyperStream::new_plain(stream);
            tasks.push(compio::runtime::spawn(async move {
                if page == Page::HelloByHttp2 {
                    let server = http2::Builder::new(CompioExecutor);
                    let _ = server.serve_connection(stream, service_fn(hello)).await;
                } else {
                    let server = http1::Builder::new();
                    let _ = server.serve_connection(stream, service_fn(hello)).await;
                }
            }));
        }
        for task in tasks {
            let _ = task.await;
        }
    }

    fn client() {}

    async fn fetch((): (), _url: String) -> usize {
        0
    }
}
