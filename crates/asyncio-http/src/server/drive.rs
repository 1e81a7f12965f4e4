//! The task of a connection, from the handshake to its end.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::SystemTime;

use axum_core::BoxError;
use futures_io::{AsyncRead, AsyncWrite};
use hyper::body::Incoming;
use hyper::rt::Write as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::answer::answer;
use super::connection::Connection;
use super::panics::poll_past_panics;
use super::server_io::ServerIo;
use super::shared::Shared;
#[cfg(feature = "http2")]
use super::streams::Streams;
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
    #[cfg(feature = "rustls")]
    if let Some(acceptor) = &shared.options.tls {
        let acceptor = acceptor.clone().alpn(shared.options.protocols());
        let Some(stream) = until(acceptor.accept(stream), connection).await else {
            return Ok(());
        };
        let stream = stream?;
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
    let answers =
        service_fn(|request: hyper::Request<Incoming>| answer(&service, connection, request));
    let mut served = http1::Builder::new()
        .max_buf_size(shared.options.max_head)
        .writev(!shared.options.flat_answers)
        // hyper demands `Send` of a stream that may be upgraded.
        .serve_connection(LoopBound::new(io), answers)
        .with_upgrades();
    let outcome = drive(Pin::new(&mut served), connection, |served| {
        Pin::new(&mut **served).graceful_shutdown();
    });
    if !outcome.await? {
        // No request is under way and hyper has sent all answers, so the stream is free.
        if let Some(parts) = served.into_parts() {
            tell_late(parts.io).await?;
        }
        return Ok(());
    }
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
    use asyncio_executors::on_cancel;
    use hyper::server::conn::http2;

    let of_connection = connection.clone();
    let answers = service_fn(move |request: hyper::Request<Incoming>| {
        answer(&service, &of_connection, request)
    });
    let max_head = u32::try_from(shared.options.max_head).unwrap_or(u32::MAX);
    let streams = Streams::new(connection.clone());
    let served = http2::Builder::new(streams.clone())
        .timer(OnLoop)
        .max_header_list_size(max_head)
        .max_concurrent_streams(shared.options.max_streams)
        .serve_connection(io, answers);
    let outcome = {
        let served = pin!(served);
        let driving = drive(served, connection, |served| {
            served.as_mut().graceful_shutdown();
        });
        // Without their connection the handlers would be dropped.
        let cleanup = async {
            streams.cancel();
            streams.wait_over().await;
        };
        on_cancel(driving, cleanup).await
    };
    streams.wait_over().await;
    outcome?;
    Ok(())
}

/// Tells a client that the head of its request has not come in time.
async fn tell_late<T>(mut io: LoopBound<ServerIo<T>>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let date = httpdate::fmt_http_date(SystemTime::now());
    let answer = format!(
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
    );
    // A client that takes nothing of it is cut off by the sweeper.
    let mut rest = answer.as_bytes();
    while !rest.is_empty() {
        match poll_fn(|cx| Pin::new(&mut io).poll_write(cx, rest)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => rest = &rest[n..],
        }
    }
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await
}

/// Polls a connection of hyper to its end, and passes on the request to stop. `false` if it stops before its end,
/// because the client is late with the head of a request.
async fn drive<C>(
    mut served: Pin<&mut C>,
    connection: &Connection,
    stop: impl Fn(&mut Pin<&mut C>),
) -> Result<bool, hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut asked = pin!(connection.stop.wait());
    let (mut is_waiting, mut is_stopping) = (false, false);
    poll_fn(|cx| {
        // The waker of a task stays the same, so one poll waits for the event.
        let may_stop = !std::mem::replace(&mut is_waiting, true) || connection.stop.is_set();
        if !is_stopping && may_stop && asked.as_mut().poll(cx).is_ready() {
            if connection.is_late.get() {
                return Poll::Ready(Ok(false));
            }
            is_stopping = true;
            stop(&mut served);
        }
        let polled = poll_past_panics(connection, || served.as_mut().poll(cx));
        polled.map_ok(|()| true)
    })
    .await
}

/// The outcome of `future`, or `None` if the connection is to stop first.
#[cfg(any(feature = "http2", feature = "rustls"))]
async fn until<F: Future>(future: F, connection: &Connection) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut asked = pin!(connection.stop.wait());
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => asked.as_mut().poll(cx).map(|()| None),
    })
    .await
}
