//! The client: connections, limits, redirects, bodies, cookies, proxies.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{
    Body, FetchError, Method, Peer, Proxy, Request, Response, Session, StatusCode, body, header,
};
use asyncio::net::TcpListener;
use asyncio::sync::Event;
use asyncio::{BoxError, sleep, spawn, timeout};

#[asyncio::test(clock = "real")]
async fn a_thousand_fetches_share_the_connections() -> Outcome {
    let server = start(async |request: Request| request.uri().path().to_owned()).await;
    let session = Session::builder().max_per_host(7).build();
    let fetches = (0..1000).map(|n| {
        let (session, server) = (&session, &server);
        async move {
            let path = format!("/{n}");
            let text = session.get(url(server, &path)).send().await?.text().await?;
            assert_eq!(text, path);
            Ok::<_, FetchError>(())
        }
    });
    asyncio::try_gather_iter(fetches).await?;
    assert_eq!((session.idle_connections(), server.connections()), (7, 7));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn one_fetch_after_the_other_takes_one_connection() -> Outcome {
    let server = start(async |request: Request| Peer::of(&request).unwrap().to_string()).await;
    let session = Session::new();
    let mut peers = HashSet::new();
    // More than the fetches after which the session looks for old connections.
    for _ in 0..130 {
        peers.insert(session.get(url(&server, "/")).send().await?.text().await?);
    }
    assert_eq!((peers.len(), session.idle_connections()), (1, 1));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn requests_beyond_the_limit_are_served_in_order() -> Outcome {
    let server = start(async |request: Request| {
        sleep(Duration::from_millis(2)).await;
        request.uri().path().to_owned()
    })
    .await;
    let session = Session::builder().max_per_host(1).build();
    let order = RefCell::new(Vec::new());
    let fetches = (0..20).map(|n| {
        let (session, server, order) = (&session, &server, &order);
        async move {
            session
                .get(url(server, "/"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap();
            order.borrow_mut().push(n);
        }
    });
    asyncio::gather_iter(fetches).await;
    assert!(order.borrow().is_sorted());
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_cancelled_waiter_passes_its_turn_on() -> Outcome {
    let server = start(async |_: Request| {
        sleep(Duration::from_millis(20)).await;
        "done"
    })
    .await;
    let session = Session::builder().max_per_host(1).build();
    let fetch = || {
        let (session, url) = (session.clone(), url(&server, "/"));
        async move { session.get(url).send().await?.text().await }
    };
    let first = spawn(fetch());
    asyncio::yield_now().await;
    let second = spawn(fetch());
    let third = spawn(fetch());
    asyncio::yield_now().await;
    second.cancel();
    assert_eq!(timeout(LONG, third).await???, "done");
    assert_eq!(first.await??, "done");
    Ok(())
}

/// Held, dropped, and as a child of a `gather`.
#[asyncio::test(clock = "real")]
async fn a_request_may_be_cancelled_at_each_await() -> Outcome {
    let server = start(async |request: Request| {
        let body = body::to_bytes(request.into_body(), 1 << 20).await;
        body.map_or(0, |body| body.len()).to_string()
    })
    .await;
    let session = Session::builder().max_per_host(1).build();
    let post = async |size| -> Result<String, FetchError> {
        let post = session.post(url(&server, "/")).body(vec![0; size]);
        post.send().await?.text().await
    };
    for steps in 0..60 {
        for is_held in [true, false] {
            let large = session.post(url(&server, "/")).body(vec![0; 300_000]);
            let task = spawn(async move { large.send().await?.text().await });
            for _ in 0..steps {
                asyncio::yield_now().await;
            }
            if is_held {
                task.cancel();
                drop(timeout(LONG, task).await?);
            }
        }
        let both = asyncio::gather((post(300_000), post(1)));
        drop(timeout(Duration::from_micros(50 * steps), both).await);
        assert_eq!(timeout(LONG, post(5)).await??, "5");
    }
    eventually("one is left", || server.connections() == 1).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_response_that_is_dropped_early_closes_its_connection() -> Outcome {
    let server = start(async |_: Request| "x".repeat(10_000_000)).await;
    let session = Session::builder().max_per_host(1).build();
    let mut response = session.get(url(&server, "/")).send().await?;
    response.chunk().await?;
    drop(response);
    assert_eq!(session.idle_connections(), 0);
    // The permit is free again.
    let response = timeout(LONG, session.get(url(&server, "/")).send()).await??;
    assert_eq!(response.bytes().await?.len(), 10_000_000);
    eventually("one connection is left", || server.connections() == 1).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_kept_connection_that_the_server_has_closed_is_replaced() -> Outcome {
    // Answers one request on each connection, promises to keep it, and closes it.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let served = Rc::new(Cell::new(0));
    let serving = spawn({
        let served = served.clone();
        async move {
            loop {
                let raw = Raw(listener.accept().await.unwrap().0);
                raw.until("\r\n\r\n").await;
                served.set(served.get() + 1);
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    });
    let session = Session::new();
    for n in 1..20 {
        let text = session
            .get(format!("http://{address}/"))
            .send()
            .await?
            .text()
            .await?;
        assert_eq!((text.as_str(), served.get()), ("ok", n));
    }
    serving.cancel();
    Ok(())
}

/// After two kept connections that break, a new one is made. The others may be as old.
#[asyncio::test(clock = "real")]
async fn two_kept_connections_are_tried_before_a_new_one() -> Outcome {
    const KEPT: usize = 4;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (first, second) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let serving = spawn({
        let (first, second) = (first.clone(), second.clone());
        async move {
            loop {
                let raw = Raw(listener.accept().await.unwrap().0);
                let (first, second) = (first.clone(), second.clone());
                spawn(async move {
                    raw.until("\r\n\r\n").await;
                    first.set(first.get() + 1);
                    // So each of the first requests needs a connection of its own.
                    eventually("all have come", || first.get() >= KEPT).await;
                    raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await;
                    let mut buf = [0; 4096];
                    if matches!(raw.0.read(&mut buf).await, Ok(1..)) {
                        second.set(second.get() + 1);
                    }
                })
                .detach();
            }
        }
    });
    let session = Session::builder().max_per_host(KEPT).build();
    let get = async || {
        let sent = session.get(format!("http://{address}/")).send();
        sent.await?.text().await
    };
    asyncio::try_gather_iter((0..KEPT).map(|_| get())).await?;
    assert_eq!((session.idle_connections(), second.get()), (KEPT, 0));
    assert_eq!(get().await?, "ok");
    assert_eq!((first.get(), second.get()), (KEPT + 1, 2));
    serving.cancel();
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_connection_that_is_kept_for_too_long_is_closed_by_later_requests() -> Outcome {
    let limit = Duration::from_millis(5);
    let session = Session::builder().idle_timeout(limit).build();
    let one = start(async |_: Request| "one").await;
    let other = start(async |_: Request| "other").await;
    session.get(url(&one, "/")).send().await?.text().await?;
    assert_eq!(session.idle_connections(), 1);
    sleep(2 * limit).await;
    // The session looks now and then.
    for _ in 0..64 {
        session.get(url(&other, "/")).send().await?.text().await?;
    }
    assert_eq!(session.idle_connections(), 1, "that of the last request");
    eventually("the server sees it", || one.connections() == 0).await;
    Ok(())
}

/// The session looks for old connections at one request in 64.
#[asyncio::test(clock = "real")]
async fn a_host_in_use_keeps_its_limit() -> Outcome {
    let goes_on = Rc::new(Event::new());
    let until = goes_on.clone();
    let busy = start(async move |_: Request| {
        until.wait().await;
        "done"
    })
    .await;
    let other = start(async |_: Request| "other").await;
    let session = Session::builder().max_per_host(1).build();
    let fetch = async || session.get(url(&busy, "/")).send().await?.text().await;
    let look = async {
        eventually("it is busy", || busy.connections() == 1).await;
        for _ in 0..64 {
            session.get(url(&other, "/")).send().await?.text().await?;
        }
        let (second, _) = futures::join!(fetch(), async {
            // The second one has its turn to connect meanwhile.
            for _ in 0..8 {
                session.get(url(&other, "/")).send().await?.text().await?;
            }
            assert_eq!(busy.connections(), 1);
            goes_on.set();
            Ok::<_, FetchError>(())
        });
        second
    };
    let (first, second) = futures::join!(fetch(), look);
    assert_eq!((first?, second?), ("done".into(), "done".into()));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_body_that_is_not_as_long_as_it_says_is_an_error() -> Outcome {
    let server = start(async |request: Request| {
        let body = body::to_bytes(request.into_body(), 1000).await;
        body.map_or(0, |body| body.len()).to_string()
    })
    .await;
    for prior_knowledge in [false, cfg!(feature = "http2")] {
        let mut builder = Session::builder();
        if prior_knowledge {
            #[cfg(feature = "http2")]
            (builder = builder.http2_prior_knowledge(true));
        }
        let session = builder.build();
        let post = |length: &'static str| {
            let pieces = ["fo", "ur"].map(Ok::<_, std::io::Error>);
            let pieces = body::from_stream(futures::stream::iter(pieces));
            let post = session.post(url(&server, "/"));
            post.header("content-length", length).body(pieces).send()
        };
        // A length of zero is left out.
        for length in ["4", "0"] {
            assert_eq!(post(length).await?.text().await?, "4");
        }
        for wrong in ["1", "3", "5"] {
            let error = post(wrong).await.unwrap_err();
            assert!(matches!(error, FetchError::Exchange(_)), "{error:?}");
        }
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_post_that_may_have_been_seen_is_not_repeated() -> Outcome {
    // Keeps the connection after the first request, and closes it after the head of the second.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let serving = spawn({
        let seen = seen.clone();
        async move {
            loop {
                let raw = Raw(listener.accept().await.unwrap().0);
                for n in 0..2 {
                    let head = raw.until("\r\n\r\n").await;
                    seen.borrow_mut()
                        .push(head.split(' ').next().unwrap_or_default().to_owned());
                    if n == 0 {
                        raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                            .await;
                    }
                }
            }
        }
    });
    let session = Session::new();
    let page = format!("http://{address}/");
    session.get(&page).send().await?.text().await?;
    let posted = session.post(&page).send().await;
    assert!(matches!(posted, Err(FetchError::Exchange(_))), "{posted:?}");
    session.get(&page).send().await?.text().await?;
    // A GET may be repeated.
    assert_eq!(session.get(&page).send().await?.text().await?, "ok");
    assert_eq!(*seen.borrow(), ["GET", "POST", "GET", "GET", "GET"]);
    serving.cancel();
    Ok(())
}

/// A server that answers each head at once and reads no body.
async fn hasty() -> Result<(std::net::SocketAddr, Rc<Cell<usize>>), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let open = Rc::new(Cell::new(0));
    let counted = open.clone();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = counted.clone();
            open.set(open.get() + 1);
            spawn(async move {
                let raw = Raw(stream);
                raw.until("\r\n\r\n").await;
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                let mut buf = [0];
                while open.get() > 0 && matches!(raw.0.peek(&mut buf).await, Ok(1..)) {
                    sleep(Duration::from_millis(1)).await;
                }
                open.set(open.get() - 1);
            })
            .detach();
        }
    })
    .detach();
    Ok((address, open))
}

mod an_answer_before_the_end_of_the_upload {
    use super::*;

    fn endless() -> Body {
        body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>())
    }

    #[asyncio::test(clock = "real")]
    async fn keeps_the_connection_from_other_requests() -> Outcome {
        let (address, open) = hasty().await?;
        let page = format!("http://{address}/");
        let session = Session::builder().max_per_host(1).build();
        for _ in 0..3 {
            let response = session.post(&page).body(endless()).send().await?;
            assert_eq!(response.text().await?, "ok");
            assert_eq!(session.idle_connections(), 0);
        }
        eventually("all are closed", || open.get() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn is_dropped_with_its_connection() -> Outcome {
        let (address, open) = hasty().await?;
        let response = Session::new()
            .post(format!("http://{address}/"))
            .body(endless())
            .send()
            .await?;
        drop(response);
        eventually("it is closed", || open.get() == 0).await;
        Ok(())
    }

    /// The body is in hyper's buffer, and the socket's is full.
    #[asyncio::test(clock = "real")]
    async fn holds_the_next_request_up_for_a_moment() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let serving = spawn(async move {
            let mut unread = Vec::new();
            loop {
                let raw = Raw(listener.accept().await.unwrap().0);
                raw.until("\r\n\r\n").await;
                raw.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
                unread.push(raw);
            }
        });
        let session = Session::builder().max_per_host(1).build();
        let large = vec![0; 20_000_000];
        let response = session.post(&page).body(large).send().await?;
        assert_eq!(response.text().await?, "ok");
        let next = timeout(LONG, session.get(&page).send()).await??;
        assert_eq!(next.text().await?, "ok");
        serving.cancel();
        Ok(())
    }
}

mod time_limits {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn a_long_upload_is_no_silence_of_the_server() -> Outcome {
        let server = start(async |request: Request| {
            let body = body::to_bytes(request.into_body(), 1000).await.unwrap();
            body.len().to_string()
        })
        .await;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(60))
            .build();
        // The first pause is longer than the limit, and all of them are.
        let pieces = futures::stream::unfold(0, async |n| {
            let pause = if n == 0 { 100 } else { 20 };
            sleep(Duration::from_millis(pause)).await;
            (n < 5).then_some((Ok::<_, std::io::Error>("x"), n + 1))
        });
        let post = session
            .post(url(&server, "/"))
            .body(body::from_stream(pieces));
        assert_eq!(post.send().await?.text().await?, "5");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_server_that_takes_no_body() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(60))
            .build();
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(100_000)));
        let post = session
            .post(format!("http://{}/", listener.local_addr()?))
            .body(body::from_stream(pieces));
        let error = timeout(LONG, post.send()).await?.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        Ok(())
    }

    /// The server is ready with each piece before the reader asks for it.
    #[asyncio::test(clock = "real")]
    async fn a_reader_that_is_slow() -> Outcome {
        let server = start(async |_: Request| vec![0; 32 << 20]).await;
        let get = Session::new().get(url(&server, "/"));
        let mut response = get.timeout(Duration::from_millis(50)).send().await?;
        let mut late = 0;
        let error = loop {
            match response.chunk().await {
                Ok(piece) => assert!(piece.is_some(), "the whole body has come"),
                Err(error) => break error,
            }
            sleep(Duration::from_millis(60)).await;
            late += 1;
        };
        assert!(error.is_timeout(), "{error}");
        assert_eq!(late, 1);
        assert!(response.chunk().await?.is_none());
        eventually("it is closed", || server.connections() == 0).await;
        Ok(())
    }

    /// The answer begins at once, and goes on when the upload does.
    #[asyncio::test(clock = "real")]
    async fn a_server_that_waits_for_the_upload() -> Outcome {
        let server = start(async |request: Request| Response::new(request.into_body())).await;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(60))
            .build();
        let pieces = futures::stream::unfold(0, async |n| {
            sleep(Duration::from_millis(100)).await;
            (n < 2).then_some((Ok::<_, std::io::Error>("x"), n + 1))
        });
        let post = session
            .post(url(&server, "/"))
            .body(body::from_stream(pieces));
        assert_eq!(post.send().await?.text().await?, "xx");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_silent_server() -> Outcome {
        let server = start(async |_: Request| std::future::pending::<()>().await).await;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(30))
            .build();
        let error = session.get(url(&server, "/")).send().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "waiting for the server took longer than 30ms"
        );
        eventually("the connection is closed", || server.connections() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_server_that_falls_silent() -> Outcome {
        let server = start(async |_: Request| {
            let first = futures::stream::once(async { Ok::<_, std::io::Error>("some") });
            let silence = futures::stream::pending();
            Response::new(body::from_stream(futures::StreamExt::chain(first, silence)))
        })
        .await;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(30))
            .build();
        let response = session.get(url(&server, "/")).send().await?;
        let error = response.bytes().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "waiting for the server took longer than 30ms"
        );
        let whole = session
            .get(url(&server, "/"))
            .timeout(Duration::from_millis(20));
        let error = whole.send().await?.bytes().await.unwrap_err();
        assert_eq!(error.to_string(), "the fetch took longer than 20ms");
        Ok(())
    }

    /// It has begun its answer, and takes no more of the request.
    #[asyncio::test(clock = "real")]
    async fn a_server_that_falls_silent_during_the_upload() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let serving = spawn(async move {
            let raw = Raw(listener.accept().await.unwrap().0);
            raw.until("\r\n\r\n").await;
            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok")
                .await;
            std::future::pending::<()>().await;
        });
        let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1 << 16)));
        let session = Session::builder()
            .read_timeout(Duration::from_millis(30))
            .build();
        let post = session.post(page).body(body::from_stream(endless));
        let reading = post.send().await?.bytes();
        let error = timeout(LONG, reading).await?.unwrap_err();
        assert_eq!(
            error.to_string(),
            "waiting for the server took longer than 30ms"
        );
        serving.cancel();
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn the_wait_for_a_connection_counts() -> Outcome {
        let server = start(async |_: Request| std::future::pending::<()>().await).await;
        let session = Session::builder().max_per_host(1).build();
        let first = spawn({
            let (session, url) = (session.clone(), url(&server, "/"));
            async move { session.get(url).send().await.map(drop) }
        });
        asyncio::yield_now().await;
        let second = session
            .get(url(&server, "/"))
            .timeout(Duration::from_millis(20));
        assert!(second.send().await.unwrap_err().is_timeout());
        drop(first);
        Ok(())
    }
}

mod redirects {
    use super::*;

    async fn redirecting() -> asyncio::http::Server {
        start(async |request: Request| {
            let (parts, body) = request.into_parts();
            let to = |status: u16, to: &str| {
                let mut response = Response::new(Body::from("moved"));
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
                    .headers_mut()
                    .insert(header::LOCATION, to.parse().unwrap());
                response
            };
            match parts.uri.path() {
                "/302" => to(302, "/end?a=b"),
                "/307" => to(307, "end"),
                "/303" => to(303, "./end"),
                "/circle" => to(302, "circle"),
                "/nowhere" => to(302, "ftp://x/"),
                "/localhost" => {
                    let port = parts.headers["host"]
                        .to_str()
                        .unwrap()
                        .rsplit(':')
                        .next()
                        .unwrap();
                    to(302, &format!("http://localhost:{port}/end"))
                }
                _ => {
                    let body = body::to_bytes(body, 1000).await.unwrap();
                    let body = String::from_utf8_lossy(&body);
                    let secret = parts.headers.get("authorization").is_some();
                    Response::new(
                        format!("{} {} {body:?} {secret}", parts.method, parts.uri).into(),
                    )
                }
            }
        })
        .await
    }

    #[asyncio::test(clock = "real")]
    async fn are_followed_as_their_status_says() -> Outcome {
        let server = redirecting().await;
        let session = Session::new();
        for (method, path, end) in [
            (Method::GET, "/302", "GET /end?a=b \"\" true"),
            (Method::POST, "/302", "GET /end?a=b \"\" true"),
            (Method::PUT, "/302", "PUT /end?a=b \"text\" true"),
            (Method::POST, "/307", "POST /end \"text\" true"),
            (Method::PUT, "/303", "GET /end \"\" true"),
            // The secret is for the first host only.
            (Method::GET, "/localhost", "GET /end \"\" false"),
        ] {
            let has_body = method != Method::GET;
            let mut request = session
                .request(method, url(&server, path))
                .bearer_auth("secret");
            if has_body {
                request = request.body("text");
            }
            let response = request.send().await?;
            assert!(response.url().path().ends_with("/end"));
            assert_eq!(response.text().await?, end);
        }
        assert!(server.connections() <= 2, "redirects reuse the connection");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn with_a_short_page_keep_the_connection() -> Outcome {
        let server = start(async |request: Request| {
            let peer = Peer::of(&request).unwrap().to_string();
            let to = [(header::LOCATION, "/end")];
            match request.uri().path() {
                "/end" => (StatusCode::OK, to, peer),
                _ => (StatusCode::FOUND, to, "x".repeat(16_000)),
            }
        })
        .await;
        let session = Session::new();
        let mut peers = HashSet::new();
        for _ in 0..3 {
            peers.insert(session.get(url(&server, "/")).send().await?.text().await?);
        }
        assert_eq!(peers.len(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn end_in_an_error_when_there_is_no_following() -> Outcome {
        let server = redirecting().await;
        let session = Session::builder().max_redirects(3).build();
        let fetch = |path| session.get(url(&server, path)).send();
        assert!(matches!(
            fetch("/circle").await,
            Err(FetchError::TooManyRedirects(3))
        ));
        let session = Session::builder().max_redirects(1).build();
        assert!(session.get(url(&server, "/302")).send().await.is_ok());
        assert!(matches!(
            fetch("/nowhere").await,
            Err(FetchError::Invalid(_))
        ));
        let stream = body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>("x")]));
        let again = session.post(url(&server, "/307")).body(stream).send().await;
        assert!(matches!(again, Err(FetchError::BodyIsGone(_))), "{again:?}");
        let unfollowed = Session::builder().max_redirects(0).build();
        let response = unfollowed.get(url(&server, "/302")).send().await?;
        assert_eq!(response.status(), StatusCode::FOUND);
        Ok(())
    }
}

#[asyncio::test(clock = "real")]
async fn cookies_come_back() -> Outcome {
    let server = start(async |request: Request| {
        let sent = request
            .headers()
            .get("cookie")
            .map(|value| value.to_str().unwrap().to_owned());
        let mut response = Response::new(Body::from(sent.unwrap_or_default()));
        response
            .headers_mut()
            .insert("set-cookie", "visit=1; Path=/".parse().unwrap());
        response
    })
    .await;
    let session = Session::new();
    let text = async |session: &Session| session.get(url(&server, "/")).send().await?.text().await;
    assert_eq!(text(&session).await?, "");
    assert_eq!(text(&session).await?, "visit=1");
    let own = url(&server, "/").parse()?;
    assert_eq!(session.cookies(&own).as_deref(), Some("visit=1"));
    assert_eq!(session.cookies(&"http://other/".parse()?), None);
    let forgetful = Session::builder().cookies(false).build();
    text(&forgetful).await?;
    assert_eq!(text(&forgetful).await?, "");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn invalid_requests_are_errors_and_send_nothing() -> Outcome {
    let session = Session::new();
    for bad in [
        "",
        "nonsense",
        "/path",
        "ftp://a/",
        "http://",
        "http://a b/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/",
        "http://\u{fc}/",
    ] {
        let error = session.get(bad).send().await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{bad:?}: {error}");
    }
    let error = session
        .get("http://a/")
        .header("a b", "c")
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Invalid(_)));
    let error = session
        .get("http://a/")
        .header("a", "b\r\nc: d")
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Invalid(_)));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn urls_are_encoded() -> Outcome {
    let server = start(async |request: Request| request.uri().to_string()).await;
    let session = Session::new();
    for (path, sent) in [
        ("", "/"),
        ("?x", "/?x"),
        ("/a b?c d", "/a%20b?c%20d"),
        ("/\u{e9}", "/%C3%A9"),
        ("/%20?a=[]&b={}", "/%20?a=[]&b=%7B%7D"),
        ("/a\r\nX: y", "/a%0D%0AX:%20y"),
        ("/a#b", "/a"),
    ] {
        let text = session.get(url(&server, path)).send().await?.text().await?;
        assert_eq!(text, sent, "{path:?}");
    }
    for (path, sent) in [("/", "/?a=1"), ("/?", "/?a=1"), ("/?b=2", "/?b=2&a=1")] {
        let get = session.get(url(&server, path)).query([("a", "1")]);
        assert_eq!(get.send().await?.text().await?, sent, "{path:?}");
    }
    Ok(())
}

/// Otherwise the server takes a part of the next request for the rest of the body.
#[asyncio::test(clock = "real")]
async fn the_framing_of_a_body_is_not_the_callers() -> Outcome {
    let server = start(async |request: Request| {
        let (parts, body) = request.into_parts();
        let size = body::to_bytes(body, 1000).await.unwrap().len();
        format!("{} {size}", parts.uri.path())
    })
    .await;
    let session = Session::new();
    for (name, value) in [("Content-Length", "7"), ("Transfer-Encoding", "chunked")] {
        for (method, text) in [(Method::GET, ""), (Method::POST, "abc")] {
            let fetch = session
                .request(method, url(&server, "/first"))
                .header(name, value)
                .body(text);
            let first = fetch.send().await?.text().await?;
            assert_eq!(first, format!("/first {}", text.len()));
            let next = session.get(url(&server, "/next")).send().await?;
            assert_eq!(next.text().await?, "/next 0");
        }
    }
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_request_without_a_body_announces_none() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let head = spawn(async move {
        let raw = Raw(listener.accept().await.unwrap().0);
        let head = raw.until("\r\n\r\n").await;
        raw.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        head.to_ascii_lowercase()
    });
    let request = Session::new().get(format!("http://{address}/"));
    assert_eq!(request.send().await?.bytes().await?, "");
    let head = head.await?;
    assert!(
        !head.contains("content-length") && !head.contains("transfer-encoding"),
        "{head}"
    );
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn nobody_at_the_port_is_an_error_of_connecting() -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let error = Session::new()
        .get(format!("http://127.0.0.1:{port}/"))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_body_beyond_the_limit_is_an_error() -> Outcome {
    let server = start(async |_: Request| vec![0; 1001]).await;
    let session = Session::builder().max_body(1000).build();
    let error = session
        .get(url(&server, "/"))
        .send()
        .await?
        .bytes()
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(1000)), "{error}");
    Ok(())
}

/// As by a proxy: a length that is known stays known.
#[asyncio::test(clock = "real")]
async fn a_response_is_the_body_of_another() -> Outcome {
    let origin = start(async |request: Request| match request.uri().path() {
        "/pieces" => {
            let pieces = ["one", "two"].map(Ok::<_, std::io::Error>);
            Response::new(body::from_stream(futures::stream::iter(pieces)))
        }
        _ => Response::new("x".repeat(100_000).into()),
    })
    .await;
    let (address, session) = (url(&origin, ""), Session::new());
    let proxy = start(async move |request: Request| {
        let url = format!("{address}{}", request.uri().path());
        let response = session.get(url).send().await.unwrap();
        Response::new(Body::from(response.into_body()))
    })
    .await;
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let whole = answers(&proxy, get("/")).await;
    assert!(whole.contains("\r\ncontent-length: 100000\r\n"));
    assert!(whole.ends_with(&format!("\r\n\r\n{}", "x".repeat(100_000))));
    let pieces = answers(&proxy, get("/pieces")).await;
    assert!(pieces.contains("\r\ntransfer-encoding: chunked\r\n"));
    let text = Session::new().get(url(&proxy, "/pieces")).send().await?;
    assert_eq!(text.text().await?, "onetwo");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_request_is_the_body_of_another() -> Outcome {
    let origin = start(async |request: Request| {
        let length = request.headers().get(header::CONTENT_LENGTH).cloned();
        let bytes = body::to_bytes(request.into_body(), usize::MAX).await;
        format!("{length:?} {}", bytes.unwrap().len())
    })
    .await;
    let (address, session) = (url(&origin, "/"), Session::new());
    let proxy = start(async move |request: Request| {
        let sending = session.post(&address).body(request.into_body());
        sending.send().await.unwrap().text().await.unwrap()
    })
    .await;
    let request = Session::new().post(url(&proxy, "/"));
    let answer = request.body("x".repeat(100_000)).send().await?;
    assert_eq!(answer.text().await?, "Some(\"100000\") 100000");
    Ok(())
}

/// By the trait of bodies, and as a stream.
#[asyncio::test(clock = "real")]
async fn a_body_has_frames_and_an_end() -> Outcome {
    use futures::TryStreamExt as _;
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    let server = start(async |_: Request| "x".repeat(100_000)).await;
    let session = Session::new();
    let mut body = session.get(url(&server, "/")).send().await?.into_body();
    assert_eq!(body.size_hint().exact(), Some(100_000));
    assert!(!body.is_end_stream());
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.into_data().unwrap().len();
    }
    assert_eq!(length, 100_000);
    assert!(body.is_end_stream());
    let body = session.get(url(&server, "/")).send().await?.into_body();
    let pieces: Vec<_> = body.try_collect().await?;
    assert_eq!(pieces.concat().len(), 100_000);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn errors_of_status_are_asked_for() -> Outcome {
    let server = start(async |_: Request| StatusCode::NOT_FOUND).await;
    let response = Session::new().get(url(&server, "/x")).send().await?;
    let error = response.error_for_status().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("404 Not Found for http://127.0.0.1:")
    );
    Ok(())
}

#[cfg(feature = "json")]
#[asyncio::test(clock = "real")]
async fn json_goes_both_ways() -> Outcome {
    let server = start(async |request: Request| {
        assert_eq!(request.headers()["content-type"], "application/json");
        let body = body::to_bytes(request.into_body(), 1000).await.unwrap();
        let mut numbers: Vec<i32> = serde_json::from_slice(&body).unwrap();
        numbers.reverse();
        serde_json::to_vec(&numbers).unwrap()
    })
    .await;
    let request = Session::new().post(url(&server, "/")).json(&[1, 2, 3]);
    assert_eq!(request.send().await?.json::<Vec<i32>>().await?, [3, 2, 1]);
    let request = Session::new().post(url(&server, "/")).json(&[1]);
    let error = request.send().await?.json::<String>().await.unwrap_err();
    assert!(matches!(error, FetchError::Decode(_)), "{error}");
    Ok(())
}

#[cfg(feature = "gzip")]
mod compressed {
    use super::*;
    use std::io::Write as _;

    fn compressed(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        use flate2::Compression;
        use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
        let (out, level) = (Vec::new(), Compression::best());
        match encoding {
            "gzip" => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut encoder = DeflateEncoder::new(out, level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    async fn server(body: Vec<u8>, encoding: &'static str) -> asyncio::http::Server {
        start(async move |request: Request| {
            assert_eq!(request.headers()["accept-encoding"], "gzip, deflate");
            let mut response = Response::new(Body::from(body.clone()));
            let encoding = encoding.parse().unwrap();
            response.headers_mut().insert("content-encoding", encoding);
            response
        })
        .await
    }

    #[asyncio::test(clock = "real")]
    async fn bodies_are_decompressed() -> Outcome {
        let text = "all work and no play makes a dull page. ".repeat(10_000);
        for (kind, encoding) in [("gzip", "gzip"), ("zlib", "deflate"), ("raw", "deflate")] {
            let server = server(compressed(kind, text.as_bytes()), encoding).await;
            let session = Session::new();
            let response = session.get(url(&server, "/")).send().await?;
            assert_eq!(response.header("content-encoding"), None);
            assert_eq!(response.text().await?, text, "{kind}");
            assert_eq!(session.idle_connections(), 1);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_response_without_a_body_needs_no_decompression() -> Outcome {
        let server = server(Vec::new(), "gzip").await;
        assert_eq!(
            Session::new()
                .get(url(&server, "/"))
                .send()
                .await?
                .text()
                .await?,
            ""
        );
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_bomb_ends_at_the_limit() -> Outcome {
        let bomb = compressed("gzip", &vec![0; 8 << 20]);
        assert!(bomb.len() < 40_000);
        let server = server(bomb, "gzip").await;
        let session = Session::builder().max_body(1 << 20).build();
        let error = session
            .get(url(&server, "/"))
            .send()
            .await?
            .bytes()
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::TooLarge(_)), "{error}");
        // Piece by piece, no piece is large.
        let mut response = session.get(url(&server, "/")).send().await?;
        let mut largest = 0;
        while let Some(piece) = response.chunk().await? {
            largest = largest.max(piece.len());
        }
        assert!(largest <= 1 << 20, "{largest}");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn broken_compression_is_an_error() -> Outcome {
        let good = compressed("gzip", "text ".repeat(1000).as_bytes());
        for bad in [good[..good.len() - 9].to_vec(), b"no gzip at all".to_vec()] {
            let server = server(bad, "gzip").await;
            let error = Session::new()
                .get(url(&server, "/"))
                .send()
                .await?
                .text()
                .await;
            assert!(matches!(error, Err(FetchError::Decode(_))), "{error:?}");
        }
        Ok(())
    }
}

mod proxies {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn a_plain_request_names_the_whole_url_to_its_proxy() -> Outcome {
        let proxy = start(async |request: Request| {
            let headers = request.headers();
            let header = |name| {
                headers
                    .get(name)
                    .map_or("", |value| value.to_str().unwrap())
            };
            format!(
                "{} {} {}",
                request.uri(),
                header("host"),
                header("proxy-authorization")
            )
        })
        .await;
        let proxy = Proxy::new(&format!("http://me:secret@{}", proxy.addresses()[0]))?;
        let session = Session::builder()
            .proxy(proxy)
            .no_proxy("127.0.0.1")
            .build();
        let text = session
            .get("http://no.such.host/a?b")
            .send()
            .await?
            .text()
            .await?;
        assert_eq!(
            text,
            "http://no.such.host/a?b no.such.host Basic bWU6c2VjcmV0"
        );
        // Not for hosts that need none.
        let server = start(async |request: Request| request.uri().to_string()).await;
        assert_eq!(
            session.get(url(&server, "/x")).send().await?.text().await?,
            "/x"
        );
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_proxy_that_refuses_is_an_error_of_connecting() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let proxy = async {
            for answer in [
                "HTTP/1.1 403 Forbidden\r\n\r\n",
                "nonsense\r\n\r\n",
                "HTTP/1.1 200 OK\r\n\r\ntoo early",
            ] {
                let raw = Raw(listener.accept().await?.0);
                assert!(
                    raw.until("\r\n\r\n")
                        .await
                        .starts_with("CONNECT no.such.host:443 HTTP/1.1\r\n")
                );
                raw.send(answer).await;
                raw.rest().await;
            }
            Ok::<_, BoxError>(())
        };
        let fetches = async {
            let session = Session::builder()
                .proxy(Proxy::new(&address.to_string())?)
                .build();
            for message in [
                "the proxy refuses: HTTP/1.1 403 Forbidden",
                "the proxy refuses: nonsense",
                "bytes follow the answer",
            ] {
                let error = session
                    .get("https://no.such.host/")
                    .send()
                    .await
                    .unwrap_err();
                assert!(error.is_connect());
                assert!(error.to_string().contains(message), "{error}");
            }
            Ok::<_, BoxError>(())
        };
        let (served, fetched) = futures::join!(proxy, fetches);
        served?;
        fetched
    }
}

#[test]
fn a_body_on_another_loop_is_an_error_and_goes_on_at_home() {
    use futures::StreamExt as _;

    let mut home = asyncio::EventLoop::new().unwrap();
    let goes_on = Rc::new(Event::new());
    let until = goes_on.clone();
    let begun = home.run_until_complete(async move {
        let server = start(async move |_: Request| {
            let until = until.clone();
            let pieces = futures::stream::unfold(0, move |n| {
                let until = until.clone();
                async move {
                    if n == 1 {
                        until.wait().await;
                    }
                    (n < 2).then_some((Ok::<_, std::io::Error>("x"), n + 1))
                }
            });
            Response::new(body::from_stream(pieces))
        })
        .await;
        let response = Session::new().get(url(&server, "/")).send().await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.next().await.unwrap().unwrap(), "x");
        (server, body)
    });
    let (server, mut body) = begun.unwrap();
    let elsewhere = asyncio::run(async { timeout(LONG, body.next()).await.unwrap() });
    assert!(
        matches!(elsewhere, Some(Err(FetchError::Elsewhere))),
        "{elsewhere:?}"
    );
    goes_on.set();
    let rest = home.run_until_complete(async { timeout(LONG, body.next()).await });
    assert_eq!(rest.unwrap().unwrap().unwrap().unwrap(), "x");
    drop((server, home));
    let after = asyncio::run(async { timeout(LONG, body.next()).await.unwrap() });
    assert!(after.is_none_or(|end| end.is_err()));
}
