//! Faults that other HTTP libraries were reported to have, beside those of the bounds of messages (`desync.rs`).

#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "websocket")]
mod upgrades;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{
    Body, FetchError, HeaderValue, IntoResponse, Request, Response, Server, Session, StatusCode,
    body,
};
use asyncio::net::TcpListener;
use asyncio::{BoxError, spawn, timeout};

mod requests {
    use super::*;

    /// A server that gives back the body, and counts the requests.
    async fn echo() -> (Server, Rc<Cell<u32>>) {
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        let server = start(async move |request: Request| {
            counted.set(counted.get() + 1);
            let target = format!("{} {}", request.method(), request.uri());
            let body = body::to_bytes(request.into_body(), 1000).await.unwrap();
            format!("[{target} {}]", String::from_utf8_lossy(&body))
        })
        .await;
        (server, count)
    }

    const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    #[asyncio::test(clock = "real")]
    async fn extensions_and_trailers_are_no_part_of_a_body() -> Outcome {
        let (server, count) = echo().await;
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;name=value;other=\"quoted\"\r\nabc\r\n2 \r\nde\r\n0;last\r\n\
             Trailer-One: x\r\nContent-Length: 9\r\n\r\n";
        let answer = answers(&server, format!("{chunked}{LAST}")).await;
        assert!(answer.contains("[POST / abcde]"), "{answer}");
        assert!(answer.ends_with("[GET /last ]"), "{answer}");
        assert_eq!(count.get(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn extensions_and_trailers_have_a_limit() -> Outcome {
        let server = start(async |request: Request| {
            let read = body::to_bytes(request.into_body(), 1000).await;
            read.map_or("failed", |_| "read")
        })
        .await;
        let extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(1 << 20));
        let trailers = format!("0\r\n{}\r\n", "Name: value\r\n".repeat(100_000));
        let long_trailer = format!("0\r\nName: {}\r\n\r\n", "x".repeat(1 << 20));
        for body in [extension, trailers, long_trailer] {
            let raw = Raw::connect(server.addresses()[0]).await;
            let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            // The server may close before all is sent.
            let _ = raw.0.write_all(format!("{head}{body}").as_bytes()).await;
            let answer = raw.rest().await;
            assert!(!answer.ends_with("read"), "{answer}");
        }
        let answer = answers(&server, LAST).await;
        assert!(answer.ends_with("read"), "{answer}");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn nothing_is_asked_behind_a_close() -> Outcome {
        let (server, count) = echo().await;
        let behind = "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = answers(&server, format!("{LAST}{behind}")).await;
        assert!(answer.ends_with("[GET /last ]"), "{answer}");
        assert_eq!(count.get(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn targets_have_four_forms() -> Outcome {
        let (server, _) = echo().await;
        for (target, seen) in [
            ("GET /a?b=c", "[GET /a?b=c ]"),
            ("GET http://a/b", "[GET http://a/b ]"),
            ("OPTIONS *", "[OPTIONS * ]"),
        ] {
            let request = format!("{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = answers(&server, request).await;
            assert!(answer.ends_with(seen), "{target}: {answer}");
        }
        for refused in [
            "GET a",
            "GET a:1",
            "CONNECT /",
            "CONNECT http://a/",
            "GET /a b",
            "GET \\",
            "GET http://",
        ] {
            let request = format!("{refused} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert_eq!(status(&answers(&server, request).await), "400", "{refused}");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn many_small_headers_are_too_many() -> Outcome {
        let (server, count) = echo().await;
        let head = |number| {
            let headers = "X: y\r\n".repeat(number);
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n")
        };
        assert_eq!(status(&answers(&server, head(90)).await), "200");
        assert_eq!(status(&answers(&server, head(200)).await), "431");
        assert_eq!(count.get(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_half_read_body_is_no_request() -> Outcome {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        let server = start(async move |request: Request| {
            use futures::StreamExt as _;
            noted.borrow_mut().push(request.uri().path().to_owned());
            let mut pieces = request.into_body().into_data_stream();
            let _first = pieces.next().await;
            "ok"
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = 5 + smuggled.len();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        raw.send(head + "first").await;
        raw.until("ok").await;
        // The server may have closed the connection meanwhile.
        let _ = raw.0.write_all(smuggled.as_bytes()).await;
        let _ = raw.0.write_all(LAST.as_bytes()).await;
        raw.rest().await;
        assert!(!seen.borrow().contains(&"/smuggled".to_owned()), "{seen:?}");
        Ok(())
    }
}

mod answers_of_handlers {
    use super::*;

    fn stream(pieces: &'static [Result<&'static str, std::io::ErrorKind>]) -> Body {
        let pieces = pieces
            .iter()
            .map(|piece| piece.map_err(std::io::Error::from));
        body::from_stream(futures::stream::iter(pieces))
    }

    #[asyncio::test(clock = "real")]
    async fn of_an_informational_status_harm_their_request_only() -> Outcome {
        for code in [100, 102, 103, 199] {
            let server = start(async move |request: Request| {
                let mut response = Response::new(Body::from("text"));
                if request.uri().path() == "/early" {
                    *response.status_mut() = StatusCode::from_u16(code).unwrap();
                }
                response
            })
            .await;
            let answer = answers(&server, "GET /early HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(status(&answer), "500", "{code}: {answer}");
            let answer = answers(&server, "GET / HTTP/1.0\r\n\r\n").await;
            assert!(answer.ends_with("\r\n\r\ntext"), "{answer}");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn of_no_length_end_with_the_connection_for_old_clients() -> Outcome {
        let server = start(async |_: Request| stream(&[Ok("one"), Ok("two")])).await;
        for keep in ["", "Connection: keep-alive\r\n"] {
            let answer = answers(&server, format!("GET / HTTP/1.0\r\n{keep}\r\n")).await;
            assert!(answer.ends_with("\r\n\r\nonetwo"), "{answer}");
            assert!(!answer.contains("transfer-encoding"), "{answer}");
        }
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = raw.until("0\r\n\r\n").await;
        assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn to_head_drop_an_endless_body() -> Outcome {
        let dropped = Rc::new(Cell::new(0));
        struct Counted(Rc<Cell<u32>>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let counted = dropped.clone();
        let server = start(async move |_: Request| {
            let counted = Counted(counted.clone());
            body::from_stream(futures::stream::repeat_with(move || {
                let _counted = &counted;
                Ok::<_, std::io::Error>("endless")
            }))
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        for n in 1..3 {
            raw.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let head = raw.until("\r\n\r\n").await;
            assert_eq!(status(&head), "200");
            assert_eq!(dropped.get(), n);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_fail_in_the_middle_do_not_look_whole() -> Outcome {
        let failing = stream(&[Ok("one"), Err(std::io::ErrorKind::Other), Ok("two")]);
        let bodies = Rc::new(RefCell::new(vec![failing]));
        let server = start(async move |_: Request| bodies.borrow_mut().pop().unwrap()).await;
        let session = Session::new();
        // The error may come before the head is sent.
        let fetched = async { session.get(url(&server, "/")).send().await?.bytes().await };
        assert!(fetched.await.is_err());
        assert_eq!(session.idle_connections(), 0);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn with_a_framing_of_their_own_stay_in_order() -> Outcome {
        let server = start(async |request: Request| {
            let mut response = Response::new(Body::from("text"));
            let (name, value) = match request.uri().path() {
                "/chunked" => ("transfer-encoding", "chunked"),
                "/gzip" => ("transfer-encoding", "gzip"),
                "/upgrade" => ("upgrade", "websocket"),
                _ => ("x", "y"),
            };
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
            response
        })
        .await;
        for path in ["/chunked", "/gzip", "/upgrade"] {
            let session = Session::builder().max_per_host(1).build();
            for path in [path, "/", path, "/"] {
                let response = session.get(url(&server, path)).send().await?;
                assert_eq!(response.text().await?, "text", "{path}");
            }
        }
        Ok(())
    }
}

mod responses {
    use super::*;

    /// Serves one connection after the other: the bytes for its first request, and then the end.
    async fn closing_after(answers: &[&str]) -> Result<String, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let answers: Vec<String> = answers.iter().map(|one| (*one).to_owned()).collect();
        spawn(async move {
            for answer in answers {
                let raw = Raw(listener.accept().await.unwrap().0);
                raw.until("\r\n\r\n").await;
                raw.send(answer).await;
                // A server that lingers, so that the client cannot see the end yet.
                spawn(async move { drop(timeout(Duration::from_millis(200), raw.rest()).await) })
                    .detach();
            }
        })
        .detach();
        Ok(page)
    }

    #[asyncio::test(clock = "real")]
    async fn that_announce_a_close_are_the_last() -> Outcome {
        const SECOND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
        for first in [
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst",
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nfirst",
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfirst",
        ] {
            let page = closing_after(&[first, SECOND]).await?;
            let session = Session::builder().max_per_host(1).build();
            assert_eq!(session.get(&page).send().await?.text().await?, "first");
            assert_eq!(session.idle_connections(), 0, "{first}");
            assert_eq!(session.get(&page).send().await?.text().await?, "second");
        }
        Ok(())
    }

    /// A host that is gone without a word leaves all its connections open.
    #[asyncio::test(clock = "real")]
    async fn that_do_not_come_end_idle_connections() -> Outcome {
        const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
        for begins in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let page = format!("http://{}/", listener.local_addr()?);
            let limit = Duration::from_millis(200);
            let session = Session::builder().read_timeout(limit).build();
            let fetch = async || session.get(&page).send().await?.text().await;
            let answer = async || {
                let raw = Raw(listener.accept().await.unwrap().0);
                raw.until("\r\n\r\n").await;
                raw
            };
            // Both requests are under way before the first is answered.
            let answers = async {
                let raws = [answer().await, answer().await];
                for raw in &raws {
                    raw.send(PAGE).await;
                }
                raws
            };
            let (one, two, raws) = futures::join!(fetch(), fetch(), answers);
            assert_eq!((one?, two?), ("page".to_owned(), "page".to_owned()));
            assert_eq!(session.idle_connections(), 2);
            asyncio::sleep(Duration::from_millis(1)).await;

            let begun = async {
                if begins {
                    // Only one of them gets the request.
                    for raw in &raws {
                        let head = timeout(limit / 4, raw.until("\r\n\r\n")).await;
                        if head.is_ok() {
                            raw.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                                .await;
                        }
                    }
                }
            };
            let (late, ()) = futures::join!(fetch(), begun);
            assert!(late.unwrap_err().is_timeout());
            assert_eq!(session.idle_connections(), 0);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_end_too_early_are_errors() -> Outcome {
        for cut in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
            "HTTP/1.1 200 OK\r\nContent-Le",
        ] {
            let page = closing_after(&[cut]).await?;
            let session = Session::new();
            let fetched = async { session.get(&page).send().await?.text().await };
            let fetched = timeout(LONG, fetched).await?;
            assert!(fetched.is_err(), "{cut:?}: {fetched:?}");
            assert_eq!(session.idle_connections(), 0);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn may_have_trailers_and_odd_headers() -> Outcome {
        let odd = "HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\nX: \u{e9}\r\nEmpty:\r\n\r\n\
             4;a=b\r\ntext\r\n0\r\nTrailer: x\r\n\r\n";
        let page = closing_after(&[odd]).await?;
        let session = Session::new();
        let response = session.get(&page).send().await?;
        assert_eq!(
            (response.header("x"), response.header("empty")),
            (None, Some(""))
        );
        assert_eq!(response.headers()["x"].as_bytes(), "\u{e9}".as_bytes());
        assert_eq!(response.text().await?, "text");
        assert_eq!(session.idle_connections(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn with_endless_heads_are_errors() -> Outcome {
        let many = "X: y\r\n".repeat(5_000);
        let long = format!("X: {}", "y".repeat(1 << 20));
        for headers in [many, long] {
            let page = closing_after(&[&format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n")]).await?;
            let fetched = Session::new().get(&page).send();
            assert!(timeout(LONG, fetched).await?.is_err());
        }
        Ok(())
    }
}

mod secrets {
    use super::*;

    /// A server that tells which secrets it has got, and redirects from `/to?URL`.
    async fn curious() -> Server {
        start(async |request: Request| {
            let headers = request.headers();
            let names = ["authorization", "cookie", "proxy-authorization"];
            let seen = names.map(|name| {
                headers
                    .get(name)
                    .map_or("", |value| value.to_str().unwrap())
            });
            let mut response = Response::new(Body::from(seen.join("|")));
            if let Some(to) = request.uri().query() {
                *response.status_mut() = StatusCode::FOUND;
                let headers = response.headers_mut();
                headers.insert("location", to.parse().unwrap());
                headers.insert("set-cookie", "jar=1".parse().unwrap());
            }
            response
        })
        .await
    }

    #[asyncio::test(clock = "real")]
    async fn stay_with_the_first_origin() -> Outcome {
        let (one, other) = (curious().await, curious().await);
        let session = Session::builder()
            .header("authorization", "of the session")
            .build();
        let fetch = async |first: &str| -> Result<String, BoxError> {
            let request = session.get(first).header("cookie", "own=2");
            let request = request.header("proxy-authorization", "p");
            Ok(request.send().await?.text().await?)
        };
        // The same host on another port is another origin. A cookie has no port (RFC 6265, section 8.5).
        let seen = fetch(&format!("{}?{}", url(&one, "/"), url(&other, "/end"))).await?;
        assert_eq!(seen, "|jar=1|");
        let seen = fetch(&format!("{}?/end", url(&one, "/"))).await?;
        assert_eq!(seen, "of the session|own=2|p");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn of_a_url_are_no_part_of_its_request() -> Outcome {
        let server = start(async |request: Request| {
            let headers = request.headers();
            let host = headers["host"].to_str().unwrap().to_owned();
            let secret = headers["authorization"].to_str().unwrap();
            format!("{} {host} {secret}", request.uri())
        })
        .await;
        let address = server.addresses()[0];
        let session = Session::new();
        let page = format!("http://me:pass@{address}/path?query#fragment");
        let response = session.get(&page).send().await?;
        let shown = response.url().to_string();
        let text = response.text().await?;
        assert_eq!(text, format!("/path?query {address} Basic bWU6cGFzcw=="));
        assert!(!shown.contains("pass"), "{shown}");
        Ok(())
    }
}

mod redirects {
    use super::*;

    /// A server that redirects at once by this status, without reading the body, and gives the page an endless body.
    async fn hasty(status: StatusCode) -> Server {
        start(async move |request: Request| {
            if request.uri().path() == "/" {
                return format!("{} at last", request.method()).into_response();
            }
            let pages = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("see there"));
            let mut response = Response::new(body::from_stream(pages));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert("location", HeaderValue::from_static("/"));
            response
        })
        .await
    }

    /// The body of an upload that never ends, and whether it is dropped.
    fn endless() -> (Body, Rc<Cell<bool>>) {
        struct Dropped(Rc<Cell<bool>>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let is_dropped = Rc::new(Cell::new(false));
        let dropped = Dropped(is_dropped.clone());
        let pieces = futures::stream::unfold(dropped, async |dropped| {
            asyncio::yield_now().await;
            Some((Ok::<_, std::io::Error>("piece"), dropped))
        });
        (body::from_stream(pieces), is_dropped)
    }

    #[asyncio::test(clock = "real")]
    async fn of_an_upload_under_way_end_it() -> Outcome {
        for (code, text) in [
            (StatusCode::SEE_OTHER, Some("GET at last")),
            (StatusCode::FOUND, Some("GET at last")),
            (StatusCode::TEMPORARY_REDIRECT, None),
            (StatusCode::PERMANENT_REDIRECT, None),
        ] {
            let server = hasty(code).await;
            let (upload, is_dropped) = endless();
            let session = Session::new();
            let fetch = async {
                let request = session.post(url(&server, "/from")).body(upload);
                request.send().await?.text().await
            };
            match (timeout(LONG, fetch).await?, text) {
                (Ok(got), Some(text)) => assert_eq!(got, text, "{code}"),
                (Err(FetchError::BodyIsGone(_)), None) => {}
                (other, _) => panic!("{code}: {other:?}"),
            }
            eventually("the upload is over", || is_dropped.get()).await;
        }
        Ok(())
    }
}

/// A peer that has sent its end, while the other side has something to say, keeps no loop busy.
mod half_closed {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[asyncio::test(clock = "real")]
    async fn clients_of_an_open_answer() -> Outcome {
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let server = start(async move |_: Request| {
            let counted = counted.clone();
            let first = futures::stream::iter([Ok::<_, std::io::Error>("first")]);
            let rest = futures::stream::poll_fn(move |_| {
                counted.set(counted.get() + 1);
                std::task::Poll::Pending
            });
            body::from_stream(futures::StreamExt::chain(first, rest))
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.until("first\r\n").await;
        raw.0.shutdown(std::net::Shutdown::Write)?;
        asyncio::sleep(MOMENT).await;
        assert!(polls.get() < 10, "{}", polls.get());
        drop(raw);
        eventually("it is over", || server.connections() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn servers_of_an_open_upload() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let upload = futures::stream::poll_fn(move |_| {
            counted.set(counted.get() + 1);
            std::task::Poll::<Option<std::io::Result<&str>>>::Pending
        });
        let session = Session::new();
        let request = session.post(page).body(body::from_stream(upload));
        let fetching = spawn(async move { request.send().await?.text().await });
        let raw = Raw(listener.accept().await?.0);
        raw.until("\r\n\r\n").await;
        raw.send("HTTP/1.1 200 OK\r\n\r\nto the end").await;
        raw.0.shutdown(std::net::Shutdown::Write)?;
        assert_eq!(timeout(LONG, fetching).await???, "to the end");
        asyncio::sleep(MOMENT).await;
        assert!(polls.get() < 10, "{}", polls.get());
        // The upload is given up.
        raw.rest().await;
        Ok(())
    }
}
