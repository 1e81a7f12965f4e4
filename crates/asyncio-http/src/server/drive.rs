//! The task of a connection, from the handshake to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;

use axum_core::BoxError;
use futures_io::{AsyncRead, AsyncWrite};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::answer::answer;
use super::connection::Connection;
use super::server_io::ServerIo;
use super::shared::Shared;
use crate::bound::LoopBound;
use crate::service::Answers;

/// Serves one stream until it ends.
pub(super) async fn serve_stream<S, T>(
    stream: T,
    service: Rc<S>,
    connection: &Rc<Connection>,
    shared: &Shared,
) -> Result<(), BoxError>
where
    S: Answers,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    #[cfg(feature = "tls")]
    if let Some(acceptor) = &shared.options.tls {
        let acceptor = acceptor.clone().alpn(shared.options.protocols());
        let stream = acceptor.accept(stream).await?;
        // Without ALPN the client speaks HTTP/1.
        let is_http2 = stream.alpn_protocol() == Some(b"h2");
        return serve_protocol(stream, Some(is_http2), service, connection, shared).await;
    }
    serve_protocol(stream, None, service, connection, shared).await
}

async fn serve_protocol<S, T>(
    stream: T,
    is_http2: Option<bool>,
    service: Rc<S>,
    connection: &Rc<Connection>,
    shared: &Shared,
) -> Result<(), BoxError>
where
    S: Answers,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
    let mut io = ServerIo::new(stream, shared.scratch.clone(), connection.clone());
    #[cfg(feature = "http2")]
    {
        let is_http2 = match is_http2 {
            _ if !shared.options.http2 => false,
            Some(is_http2) => is_http2,
            None => {
                let sniffed = io.speaks_http2();
                match until(sniffed, connection).await {
                    Some(is_http2) => is_http2?,
                    None => return Ok(()),
                }
            }
        };
        if is_http2 {
            connection.is_http2.set(true);
            return serve_http2(io, service, connection, shared).await;
        }
    }
    #[cfg(not(feature = "http2"))]
    let _ = is_http2;
    serve_http1(io, service, connection, shared).await
}

async fn serve_http1<S, T>(
    io: ServerIo<T>,
    service: Rc<S>,
    connection: &Rc<Connection>,
    shared: &Shared,
) -> Result<(), BoxError>
where
    S: Answers,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let answers = service_fn(|request: hyper::Request<Incoming>| {
        answer(service.clone(), connection.clone(), request)
    });
    let served = http1::Builder::new()
        .max_buf_size(shared.options.max_head)
        // hyper demands `Send` of a stream that may be upgraded.
        .serve_connection(LoopBound::new(io), answers)
        .with_upgrades();
    drive(served, connection, |served| served.graceful_shutdown()).await?;
    let afterwards = connection.afterwards.take();
    if let Some(afterwards) = afterwards {
        connection.is_upgraded.set(true);
        afterwards.await;
    }
    Ok(())
}

#[cfg(feature = "http2")]
async fn serve_http2<S, T>(
    io: ServerIo<T>,
    service: Rc<S>,
    connection: &Rc<Connection>,
    shared: &Shared,
) -> Result<(), BoxError>
where
    S: Answers,
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    use crate::on_loop::OnLoop;
    use hyper::server::conn::http2;

    let of_connection = connection.clone();
    let answers = service_fn(move |request: hyper::Request<Incoming>| {
        answer(service.clone(), of_connection.clone(), request)
    });
    let max_head = u32::try_from(shared.options.max_head).unwrap_or(u32::MAX);
    let served = http2::Builder::new(OnLoop)
        .timer(OnLoop)
        .max_header_list_size(max_head)
        .max_concurrent_streams(shared.options.max_streams)
        .serve_connection(io, answers);
    drive(served, connection, |served| served.graceful_shutdown()).await?;
    Ok(())
}

/// Polls a connection of hyper to its end, and passes on the request to stop.
async fn drive<C>(
    served: C,
    connection: &Connection,
    stop: impl Fn(Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut served = pin!(served);
    let mut asked = pin!(connection.stop.wait());
    let mut is_stopping = false;
    poll_fn(|cx| {
        if !is_stopping && asked.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            stop(served.as_mut());
        }
        served.as_mut().poll(cx)
    })
    .await
}

/// The outcome of `future`, or `None` if the connection is to stop first.
#[cfg(feature = "http2")]
async fn until<F: Future>(future: F, connection: &Connection) -> Option<F::Output> {
    use std::task::Poll;

    let mut future = pin!(future);
    let mut asked = pin!(connection.stop.wait());
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => asked.as_mut().poll(cx).map(|()| None),
    })
    .await
}
