//! Both sides of a connection agree on where each message ends. Each kind is a fault that another HTTP library had: a
//! body is taken for a request, or a response for that of another request.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{Body, Request, Response, Server, Session, StatusCode};
use asyncio::net::TcpListener;
use asyncio::{sleep, spawn};

mod requests {
    use super::*;

    type Seen = Rc<RefCell<Vec<String>>>;

    /// A server that reads no body, and notes what is asked.
    async fn deaf() -> (Server, Seen) {
        let seen = Seen::default();
        let noted = seen.clone();
        let server = start(async move |request: Request| -> Response {
            let (method, path) = (request.method(), request.uri().path());
            noted.borrow_mut().push(format!("{method} {path}"));
            let (status, length, body) = match path {
                "/204" => (204, None, "surplus"),
                "/304" => (304, None, "surplus"),
                "/short" => (200, Some("20"), "short"),
                "/long" => (200, Some("2"), "longer than announced"),
                _ => (200, None, "ok"),
            };
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(length) = length {
                let length = length.parse().unwrap();
                response.headers_mut().insert("content-length", length);
            }
            response
        })
        .await;
        (server, seen)
    }

    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    #[asyncio::test(clock = "real")]
    async fn a_body_that_no_handler_reads_is_no_request() -> Outcome {
        let length = SMUGGLED.len();
        for body in [
            format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        ] {
            let (server, seen) = deaf().await;
            let first = format!("POST /first HTTP/1.1\r\nHost: a\r\n{body}");
            let answer = answers(&server, first + LAST).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(
                seen.borrow().iter().all(|one| one != "GET /smuggled"),
                "{body:?}: {seen:?}"
            );
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_large_body_that_no_handler_reads_ends_the_connection() -> Outcome {
        let (server, seen) = deaf().await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            .await;
        let pieces = SMUGGLED.repeat(1000);
        while raw.0.write_all(pieces.as_bytes()).await.is_ok() {}
        assert_eq!(*seen.borrow(), ["POST /first"]);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_body_that_waits_for_100_is_none() -> Outcome {
        let (server, seen) = deaf().await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(
            "POST /first HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        )
        .await;
        let head = raw.until("\r\n\r\n").await;
        assert_eq!(status(&head), "200", "{head}");
        // A client that has its answer may send the body, or leave it out. The server cannot tell, so it closes.
        let sent = raw.0.write_all(SMUGGLED.as_bytes()).await;
        if sent.is_ok() {
            assert_eq!(raw.rest().await, "ok");
        }
        assert_eq!(*seen.borrow(), ["POST /first"]);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn answers_without_a_body_have_none() -> Outcome {
        let (server, _) = deaf().await;
        let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        let all = request("GET /204") + &request("GET /304") + &request("HEAD /x") + LAST;
        let answer = answers(&server, all).await;
        let bodies: Vec<_> = answer.split("\r\n\r\n").collect();
        assert_eq!(bodies.len(), 5, "{answer}");
        let begins = |body: &str| body.starts_with("HTTP/1.1 ");
        assert!(bodies[..4].iter().all(|body| begins(body)), "{answer}");
        assert_eq!(bodies[4], "ok");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_wrong_length_of_a_handler_is_status_500() -> Outcome {
        for path in ["/short", "/long"] {
            let (server, _) = deaf().await;
            let ask = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = answers(&server, ask + LAST).await;
            assert_eq!(status(&answer), "500", "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
            // A response to `HEAD` tells the length of a body that does not come.
            let ask = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let answer = answers(&server, ask + LAST).await;
            assert_eq!(status(&answer), "200", "{answer}");
            assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        }
        assert_eq!(asyncio::testing::take_reports().len(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_tunnel_that_no_handler_opens_ends() -> Outcome {
        let (server, seen) = deaf().await;
        let ask = "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = answers(&server, format!("{ask}{SMUGGLED}")).await;
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{answer}");
        assert_eq!(seen.borrow().len(), 1, "{seen:?}");
        eventually("it is gone", || server.connections() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn old_clients_keep_their_connection_if_they_say_so() -> Outcome {
        let (server, _) = deaf().await;
        let raw = Raw::connect(server.addresses()[0]).await;
        for _ in 0..2 {
            raw.send("GET /old HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
                .await;
            let head = raw.until("\r\n\r\n").await.to_ascii_lowercase();
            assert!(head.contains("connection: keep-alive"), "{head}");
            raw.until("ok").await;
        }
        Ok(())
    }

    #[cfg(feature = "http2")]
    #[asyncio::test(clock = "real")]
    async fn http2_does_not_begin_in_the_middle() -> Outcome {
        let (server, seen) = deaf().await;
        let ask = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let answer = answers(&server, format!("{ask}{preface}")).await;
        assert!(answer.ends_with("ok"), "{answer}");
        assert_eq!(*seen.borrow(), ["GET /first"]);
        Ok(())
    }

    /// A proxy passes the body on, and takes the connection for a tunnel. So the bytes of the body would be frames, or
    /// the frames would be requests.
    #[cfg(feature = "websocket")]
    #[asyncio::test(clock = "real")]
    async fn a_websocket_begins_with_no_body() -> Outcome {
        use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};
        let began = Rc::new(RefCell::new(0));
        let count = began.clone();
        let server = start(async move |mut request: Request| {
            let count = count.clone();
            match WebSocketUpgrade::of(&mut request) {
                Ok(upgrade) => upgrade.answer(async move |socket: WebSocket| {
                    *count.borrow_mut() += 1;
                    while let Ok(Some(_)) = socket.recv().await {}
                }),
                Err(refusal) => refusal,
            }
        })
        .await;
        let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let length = SMUGGLED.len();
        for body in [
            format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        ] {
            let raw = Raw::connect(server.addresses()[0]).await;
            raw.send(format!("{ask}{body}")).await;
            let head = raw.until("\r\n\r\n").await;
            assert_eq!(status(&head), "400", "{head}");
        }
        assert_eq!(*began.borrow(), 0);
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(format!("{ask}Content-Length: 0\r\n\r\n")).await;
        assert_eq!(status(&raw.until("\r\n\r\n").await), "101");
        Ok(())
    }
}

mod responses {
    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const STALE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale";

    /// A server that answers the requests of its connections with these bytes, one after the other, and `OK` after
    /// that.
    async fn scripted(script: &[&str]) -> Result<String, asyncio::BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let mut script = script
            .iter()
            .map(|one| (*one).to_owned())
            .collect::<Vec<_>>();
        script.reverse();
        let script = Rc::new(RefCell::new(script));
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = script.clone();
                spawn(async move {
                    let raw = Raw(stream);
                    let mut head = Vec::new();
                    let mut buf = [0; 1];
                    while let Ok(1) = raw.0.read(&mut buf).await {
                        head.push(buf[0]);
                        if head.ends_with(b"\r\n\r\n") {
                            head.clear();
                            let answer = script.borrow_mut().pop();
                            let answer = answer.unwrap_or_else(|| OK.to_owned());
                            let _ = raw.0.write_all(answer.as_bytes()).await;
                        }
                    }
                })
                .detach();
            }
        })
        .detach();
        Ok(page)
    }

    #[asyncio::test(clock = "real")]
    async fn a_surplus_is_no_answer_to_the_next_request() -> Outcome {
        for first in [
            format!("{OK}{STALE}"),
            format!("HTTP/1.1 204 No Content\r\n\r\n{STALE}"),
            format!("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n{STALE}"),
            format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n{STALE}"),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{STALE}"
            ),
        ] {
            let page = scripted(&[&first]).await?;
            let session = Session::builder().max_per_host(1).build();
            session.get(&page).send().await?.bytes().await?;
            let next = session.get(&page).send().await?.text().await?;
            assert_eq!(next, "ok", "{first:?}");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_surplus_that_comes_late_closes_the_idle_connection() -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let serving = spawn(async move {
            let first = Raw(listener.accept().await.unwrap().0);
            first.until("\r\n\r\n").await;
            first.send(OK).await;
            sleep(Duration::from_millis(10)).await;
            first.send(STALE).await;
            let next = Raw(listener.accept().await.unwrap().0);
            next.until("\r\n\r\n").await;
            next.send(OK).await;
            first.rest().await
        });
        let session = Session::new();
        session.get(&page).send().await?.bytes().await?;
        sleep(Duration::from_millis(30)).await;
        assert_eq!(session.get(&page).send().await?.text().await?, "ok");
        assert_eq!(serving.await?, "", "nothing more is sent to the first");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_body_behind_the_answer_to_head_is_none() -> Outcome {
        let page = scripted(&[STALE]).await?;
        let session = Session::builder().max_per_host(1).build();
        let head = session.head(&page).send().await?;
        assert_eq!(head.content_length(), Some(5));
        assert_eq!(head.text().await?, "");
        assert_eq!(session.get(&page).send().await?.text().await?, "ok");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn early_answers_are_skipped() -> Outcome {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        let page = scripted(&[&format!("{early}{OK}"), &format!("{early}{OK}")]).await?;
        let session = Session::new();
        for _ in 0..2 {
            assert_eq!(session.get(&page).send().await?.text().await?, "ok");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn an_endless_row_of_early_answers_ends_at_the_limit() -> Outcome {
        let page = scripted(&[&"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000_000)]).await?;
        let session = Session::builder()
            .read_timeout(Duration::from_millis(200))
            .build();
        let turns = Rc::new(RefCell::new(0));
        let counted = turns.clone();
        let other = spawn(async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                *counted.borrow_mut() += 1;
            }
        });
        let error = session.get(&page).send().await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert!(*turns.borrow() > 0, "{turns:?} turns of another task");
        other.cancel();
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_switch_that_nobody_asked_for_harms_its_request_only() -> Outcome {
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
        let page = scripted(&[&format!("{switch}{STALE}")]).await?;
        let session = Session::builder().max_per_host(1).build();
        // This request may fail or not.
        if let Ok(response) = session.get(&page).send().await {
            drop(response.bytes().await);
        }
        assert_eq!(session.get(&page).send().await?.text().await?, "ok");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn lengths_that_disagree_are_an_error_or_end_the_connection() -> Outcome {
        for fields in [
            "Content-Length: 2\r\nContent-Length: 7",
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            "Content-Length: +2",
            "Content-Length: 2 2",
            "Transfer-Encoding: chunked, gzip",
        ] {
            let page =
                scripted(&[&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok{STALE}")]).await?;
            let session = Session::builder().max_per_host(1).build();
            // Some are read until the server closes, which it does not.
            let first = session.get(&page).timeout(Duration::from_millis(50));
            let first = async { first.send().await?.text().await };
            let first = first.await;
            assert!(
                !matches!(first.as_deref(), Ok("ok")),
                "{fields:?}: {first:?}"
            );
            let next = session.get(&page).send().await?.text().await?;
            assert_eq!(next, "ok", "{fields:?}");
        }
        Ok(())
    }
}
