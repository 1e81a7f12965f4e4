//! Servers: answers, limits, orderly ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{
    HyperService, Listener, Method, Peer, Request, Response, Server, Session, StatusCode, body,
};
use asyncio::net::{MemoryStream, memory_pair};
use asyncio::sync::{Event, Queue};
use asyncio::{sleep, spawn, timeout};

#[asyncio::test(clock = "real")]
async fn closures_answer_with_anything_that_is_a_response() -> Outcome {
    let server = start(async |request: Request| match request.uri().path() {
        "/text" => Ok("text".to_owned()),
        path => Err((StatusCode::NOT_FOUND, format!("no {path}"))),
    })
    .await;
    let session = Session::new();
    let found = session.get(url(&server, "/text")).send().await?;
    assert_eq!(
        (found.status(), found.text().await?.as_str()),
        (StatusCode::OK, "text")
    );
    let missing = session.get(url(&server, "/x")).send().await?;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(missing.text().await?, "no /x");
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_service_of_hyper_answers() -> Outcome {
    let state = Rc::new(Cell::new(0)); // not `Send`
    let service = hyper_service(state);
    let server = start(HyperService(service)).await;
    let session = Session::new();
    for n in 1..4 {
        let text = session.get(url(&server, "/")).send().await?.text().await?;
        assert_eq!(text, n.to_string());
    }
    Ok(())
}

fn hyper_service(
    state: Rc<Cell<u32>>,
) -> impl hyper::service::Service<
    http::Request<hyper::body::Incoming>,
    Response = http::Response<String>,
    Error = std::convert::Infallible,
> {
    hyper::service::service_fn(move |_| {
        state.set(state.get() + 1);
        let response = http::Response::new(state.get().to_string());
        async { Ok(response) }
    })
}

#[asyncio::test(clock = "real")]
async fn flat_answers_are_the_same() -> Outcome {
    let handler = async |request: Request| match request.uri().path() {
        "/pieces" => {
            let pieces = (0..100).map(|_| Ok::<_, std::io::Error>("piece ".repeat(1000)));
            Response::new(body::from_stream(futures::stream::iter(pieces)))
        }
        path => Response::new(path.repeat(path.len() * path.len()).into()),
    };
    let flat = start_with(Server::builder().flat_answers(true), handler).await;
    let other = start(handler).await;
    let session = Session::builder().max_per_host(1).build();
    let large = format!("/{}", "x".repeat(100));
    for path in ["/small", &large, "/pieces", "/", &large, "/small"] {
        let fetch = async |server| session.get(url(server, path)).send().await?.bytes().await;
        let (flat, other) = (fetch(&flat).await?, fetch(&other).await?);
        assert!(flat == other && !flat.is_empty(), "{path}");
    }
    assert_eq!((flat.connections(), other.connections()), (1, 1));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn handlers_overlap() -> Outcome {
    let server = start(async |_: Request| {
        sleep(Duration::from_millis(300)).await;
        "slow"
    })
    .await;
    let session = Session::new();
    let begin = asyncio::time();
    let fetches = (0..20).map(|_| async {
        let response = session.get(url(&server, "/")).send().await.unwrap();
        response.text().await.unwrap()
    });
    assert_eq!(asyncio::gather_iter(fetches).await, ["slow"; 20]);
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "one after the other takes 6 s"
    );
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn bodies_stream_both_ways() -> Outcome {
    // Echoes piece by piece: the first piece comes back before the last one is sent.
    let server = start(async |request: Request| {
        let pieces = http_body_util::BodyStream::new(request.into_body());
        let pieces = futures::StreamExt::map(pieces, |frame| {
            frame.map(|frame| frame.into_data().unwrap_or_default())
        });
        Response::new(body::from_stream(pieces))
    })
    .await;
    let (put, get) = futures::channel::mpsc::unbounded::<Result<&'static str, std::io::Error>>();
    put.unbounded_send(Ok("one"))?;
    let session = Session::new();
    let sending = session.post(url(&server, "/")).body(body::from_stream(get));
    let mut response = sending.send().await?;
    assert_eq!(response.chunk().await?.as_deref(), Some(&b"one"[..]));
    put.unbounded_send(Ok("two"))?;
    assert_eq!(response.chunk().await?.as_deref(), Some(&b"two"[..]));
    drop(put);
    assert_eq!(response.chunk().await?, None);
    assert_eq!(session.idle_connections(), 1);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn the_peer_of_a_request_is_known() -> Outcome {
    let server = start(async |request: Request| match Peer::of(&request) {
        Some(peer) => peer.to_string(),
        None => "nobody".to_owned(),
    })
    .await;
    let raw = Raw::connect(server.addresses()[0]).await;
    let own = raw.0.local_addr()?.to_string();
    raw.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(raw.rest().await.ends_with(&format!("\r\n\r\n{own}")));
    Ok(())
}

#[cfg(unix)]
#[asyncio::test(clock = "real")]
async fn unix_sockets_serve() -> Outcome {
    use asyncio::net::{UnixListener, UnixStream};
    let path = std::env::temp_dir().join(format!("asyncio-http-{}", std::process::id()));
    let hello = async |request: Request| Peer::of(&request).unwrap().to_string();
    let server = Server::builder().start(hello, [UnixListener::bind(&path)?]);
    let stream = UnixStream::connect(&path).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = vec![0; 4096];
    let mut n = 0;
    while let more @ 1.. = stream.read(&mut answer[n..]).await? {
        n += more;
    }
    assert!(answer[..n].ends_with(b"\r\n\r\nlocal"));
    drop(server);
    Ok(())
}

/// A listener fails when it is told so.
#[asyncio::test]
async fn a_server_ends_with_its_last_listener() -> Outcome {
    struct Failing(Rc<Event>);

    impl Listener for Failing {
        type Stream = MemoryStream;

        async fn accept(&self) -> io::Result<(MemoryStream, Peer)> {
            self.0.wait().await;
            Err(io::Error::other("no more"))
        }
    }

    let reports = Rc::new(RefCell::new(Vec::new()));
    asyncio::set_exception_handler({
        let reports = reports.clone();
        move |report: &asyncio::Unhandled| reports.borrow_mut().push(report.to_string())
    });
    let fails = [(); 3].map(|()| Rc::new(Event::new()));
    let listeners = fails.clone().map(Failing);
    let server = Server::builder().start(async |_: Request| "page", listeners);
    for (n, fail) in fails.iter().enumerate() {
        assert!(server.is_serving(), "after {n} of 3 have failed");
        fail.set();
        eventually("it is reported", || reports.borrow().len() == n + 1).await;
    }
    assert!(!server.is_serving());
    assert!(reports.borrow()[0].contains("listener"));
    let error = timeout(LONG, server.serve_forever()).await?.unwrap_err();
    assert_eq!(error.to_string(), "no more");
    Ok(())
}

/// Ten times the limit, by a client that takes a piece every second.
#[asyncio::test]
async fn a_client_that_takes_an_answer_piece_by_piece_is_served() -> Outcome {
    let clients = Rc::new(Queue::new(0));
    let limit = Duration::from_secs(2);
    let options = Server::builder().write_timeout(limit).min_rate(500);
    let page = async |_: Request| "x".repeat(20_000);
    let server = options.start(page, [InMemory(clients.clone())]);
    let (client, theirs) = memory_pair(1000);
    clients.put_nowait(theirs).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut buf = [0; 1000];
    while let n @ 1.. = client.read(&mut buf).await? {
        answer.extend_from_slice(&buf[..n]);
        sleep(limit / 2).await;
    }
    assert!(answer.ends_with(&[b'x'; 20_000]), "{}", answer.len());
    assert!(server.shutdown(LONG).await);
    Ok(())
}

mod panics {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn a_handler_that_panics_ends_its_connection_only() -> Outcome {
        let reports = Rc::new(RefCell::new(Vec::new()));
        asyncio::set_exception_handler({
            let reports = reports.clone();
            move |unhandled: &asyncio::Unhandled| {
                reports.borrow_mut().push(unhandled.to_string());
            }
        });
        let server = start(async |request: Request| {
            assert_ne!(request.uri().path(), "/panic", "the handler panics");
            "fine"
        })
        .await;
        let other = Raw::connect(server.addresses()[0]).await;
        other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        other.until("fine").await;

        let answer = answers(&server, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&answer), "500");
        assert!(answer.contains("connection: close"));
        other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        other.until("fine").await;
        assert_eq!(reports.borrow().len(), 1);
        assert!(reports.borrow()[0].contains("a handler of HTTP requests panicked"));
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_late_panic_spoils_no_answer_before_it() -> Outcome {
        asyncio::set_exception_handler(|_: &asyncio::Unhandled| {});
        let server = start(async |request: Request| {
            for _ in 0..3 {
                asyncio::yield_now().await;
            }
            assert_ne!(request.uri().path(), "/panic", "the handler panics");
            "fine"
        })
        .await;
        let request = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let requests = ["/", "/", "/panic", "/"].map(request).concat();
        let answer = answers(&server, requests).await;
        let statuses = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]);
        assert_eq!(statuses.collect::<Vec<_>>(), ["200", "200", "500"]);
        assert_eq!(answer.matches("fine").count(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_service_may_panic_in_its_call() -> Outcome {
        let reports = Rc::new(Cell::new(0));
        asyncio::set_exception_handler({
            let reports = reports.clone();
            move |_: &asyncio::Unhandled| reports.set(reports.get() + 1)
        });
        let service = hyper::service::service_fn(|request: http::Request<_>| {
            let _: &hyper::body::Incoming = request.body();
            assert_ne!(request.uri().path(), "/panic", "the call panics");
            async { Ok::<_, std::convert::Infallible>(http::Response::new("fine".to_owned())) }
        });
        let server = start(HyperService(service)).await;
        let answer = answers(&server, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!((status(&answer), reports.get()), ("500", 1));
        let answer = answers(&server, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(answer.ends_with("fine"));
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_body_that_panics_ends_its_connection_only() -> Outcome {
        asyncio::set_exception_handler(|_: &asyncio::Unhandled| {});
        let server = start(async |request: Request| {
            if request.uri().path() == "/" {
                return Response::new("fine".into());
            }
            let pieces = futures::stream::poll_fn(
                |_| -> std::task::Poll<Option<Result<&str, std::io::Error>>> {
                    panic!("the body panics")
                },
            );
            Response::new(body::from_stream(pieces))
        })
        .await;
        answers(&server, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = answers(&server, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(answer.ends_with("fine"));
        eventually("both are gone", || server.connections() == 0).await;
        Ok(())
    }
}

type Trace = Rc<RefCell<Vec<&'static str>>>;

/// A server whose handlers run until they are cancelled, and then clean up.
async fn endless() -> (Server, Trace) {
    let trace = Trace::default();
    let noted = trace.clone();
    let server = start(async move |_: Request| {
        noted.borrow_mut().push("begin");
        let forever = std::future::pending::<()>();
        asyncio::on_cancel(forever, async {
            sleep(Duration::from_millis(5)).await;
            noted.borrow_mut().push("cleaned up");
        })
        .await;
    });
    (server.await, trace)
}

/// Shuts an endless server down when this number of handlers run.
async fn end_in_cleanups(server: &Server, trace: &Trace, handlers: usize) {
    eventually("the handlers begin", || trace.borrow().len() == handlers).await;
    assert!(!server.shutdown(Duration::from_millis(20)).await);
    let expected = [["begin"].repeat(handlers), ["cleaned up"].repeat(handlers)];
    assert_eq!(*trace.borrow(), expected.concat());
    assert_eq!(server.connections(), 0);
}

mod ending {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn a_shutdown_waits_for_the_request_under_way() -> Outcome {
        let (begun, go) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let server = start({
            let (begun, go) = (begun.clone(), go.clone());
            async move |_: Request| {
                begun.set();
                go.wait().await;
                "done"
            }
        })
        .await;
        let server = Rc::new(server);
        let idle = Raw::connect(server.addresses()[0]).await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        begun.wait().await;

        let stopping = spawn({
            let server = server.clone();
            async move { server.shutdown(LONG).await }
        });
        assert_eq!(idle.rest().await, "", "an idle connection ends at once");
        assert!(!stopping.is_finished());
        go.set();
        let answer = raw.rest().await;
        assert!(answer.ends_with("done"));
        assert!(answer.contains("connection: close"));
        assert!(stopping.await?, "nothing was cancelled");
        assert!(!server.is_serving());
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn after_the_grace_period_handlers_are_cancelled_and_clean_up() -> Outcome {
        let (server, trace) = endless().await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        end_in_cleanups(&server, &trace, 1).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_cancelled_serve_stops_in_order() -> Outcome {
        let listener = asyncio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let begun = Rc::new(Event::new());
        let serving = spawn({
            let begun = begun.clone();
            asyncio::http::serve(listener, async move |_: Request| {
                begun.set();
                sleep(Duration::from_millis(50)).await;
                "done"
            })
        });
        let raw = Raw::connect(address).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        begun.wait().await;
        serving.cancel();
        assert!(raw.rest().await.ends_with("done"));
        assert!(serving.await.is_err_and(|error| error.is_cancelled()));
        assert!(asyncio::net::TcpStream::connect(address).await.is_err());
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_dropped_server_accepts_no_more_and_serves_those_that_are_there() -> Outcome {
        let server = start(async |_: Request| "hello").await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.until("hello").await;
        let address = server.addresses()[0];
        drop(server);
        asyncio::yield_now().await;
        assert!(asyncio::net::TcpStream::connect(address).await.is_err());
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.until("hello").await;
        Ok(())
    }

    /// The handler prepares an upgrade, and then answers otherwise.
    #[asyncio::test(clock = "real")]
    async fn an_upgrade_that_is_not_answered_does_not_happen() -> Outcome {
        let upgrades = Rc::new(Cell::new(0));
        let server = start({
            let upgrades = upgrades.clone();
            async move |mut request: Request| {
                let upgrades = upgrades.clone();
                let mut answer = asyncio::http::upgrade(&mut request, "echo", async move |_| {
                    upgrades.set(upgrades.get() + 1);
                });
                if request.uri().path() == "/no" {
                    *answer.status_mut() = asyncio::http::StatusCode::OK;
                }
                answer
            }
        })
        .await;
        for (path, happened) in [("/no", 0), ("/yes", 1)] {
            let raw = Raw::connect(server.addresses()[0]).await;
            raw.send(format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
            ))
            .await;
            raw.until("\r\n\r\n").await;
            drop(raw);
            eventually("it has ended", || server.connections() == 0).await;
            assert_eq!(upgrades.get(), happened, "{path}");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_client_that_leaves_drops_its_handler() -> Outcome {
        struct Dropped(Rc<Event>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.set();
            }
        }
        let (begun, dropped) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let server = start({
            let (begun, dropped) = (begun.clone(), dropped.clone());
            async move |_: Request| {
                let _dropped = Dropped(dropped.clone());
                begun.set();
                std::future::pending::<()>().await;
            }
        })
        .await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        begun.wait().await;
        drop(raw);
        timeout(LONG, dropped.wait()).await?;
        eventually("the connection is gone", || server.connections() == 0).await;
        Ok(())
    }
}

#[cfg(feature = "http2")]
mod http2 {
    use super::*;
    use asyncio::http::Version;
    use asyncio::net::TcpListener;

    fn session() -> Session {
        Session::builder().http2_prior_knowledge(true).build()
    }

    /// RFC 9113, section 8.1: the head of a request without a body ends the stream.
    #[asyncio::test(clock = "real")]
    async fn a_request_without_a_body_is_one_frame() -> Outcome {
        const PREFACE: usize = 24;
        const HEADERS: u8 = 1;
        const END_STREAM: u8 = 1;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let fetching = spawn(async move {
            let sent = session().get(format!("http://{address}/")).send();
            sent.await.is_ok()
        });
        let reading = async {
            let raw = Raw(listener.accept().await?.0);
            raw.send(b"\0\0\0\x04\0\0\0\0\0").await;
            let mut bytes = vec![0; PREFACE];
            raw.0.read_exact(&mut bytes).await?;
            loop {
                let mut head = [0; 9];
                raw.0.read_exact(&mut head).await?;
                if head[3] == HEADERS {
                    return Ok::<_, std::io::Error>(head[4]);
                }
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                bytes.resize(length as usize, 0);
                raw.0.read_exact(&mut bytes).await?;
            }
        };
        let flags = timeout(LONG, reading).await??;
        assert_eq!(flags & END_STREAM, END_STREAM);
        fetching.cancel();
        Ok(())
    }

    /// RFC 9113, section 6.5.2: the setting 3 is the number of streams.
    #[asyncio::test(clock = "real")]
    async fn a_server_says_how_many_streams_it_serves() -> Outcome {
        const SETTINGS: u8 = 4;
        let usual = Server::builder();
        for (options, number) in [(usual.clone(), 100_u32), (usual.max_streams(7), 7)] {
            let server = start_with(options, async |_: Request| "page").await;
            let raw = Raw::connect(server.addresses()[0]).await;
            raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
            raw.send(frame(SETTINGS, 0, 0, &[])).await;
            let mut head = [0; 9];
            raw.0.read_exact(&mut head).await?;
            assert_eq!(head[3], SETTINGS);
            let mut settings = vec![0; usize::from(head[2])];
            raw.0.read_exact(&mut settings).await?;
            let mut settings = settings.chunks(6);
            let setting = settings.find(|setting| setting[..2] == [0, 3]).unwrap();
            assert_eq!(setting[2..], number.to_be_bytes());
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn many_requests_share_one_connection() -> Outcome {
        let server = start(async |request: Request| {
            sleep(Duration::from_millis(20)).await;
            format!("{:?} {}", request.version(), request.uri().path())
        })
        .await;
        let session = session();
        let fetches = (0..50).map(|n| {
            let url = url(&server, &format!("/{n}"));
            let session = &session;
            async move {
                let response = session.get(url).send().await.unwrap();
                assert_eq!(response.version(), Version::HTTP_2);
                response.text().await.unwrap()
            }
        });
        let texts = asyncio::gather_iter(fetches).await;
        assert_eq!(texts[7], "HTTP/2.0 /7");
        assert_eq!(server.connections(), 1);
        drop(session);
        eventually("the connection ends with its session", || {
            server.connections() == 0
        })
        .await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_shutdown_waits_for_the_streams_under_way() -> Outcome {
        let begun = Rc::new(Event::new());
        let server = start({
            let begun = begun.clone();
            async move |_: Request| {
                begun.set();
                sleep(Duration::from_millis(50)).await;
                "done"
            }
        })
        .await;
        let session = session();
        let fetch = async { session.get(url(&server, "/")).send().await?.text().await };
        let stop = async {
            begun.wait().await;
            server.shutdown(LONG).await
        };
        let (text, in_order) = futures::join!(fetch, stop);
        assert_eq!(text?, "done");
        assert!(in_order);
        Ok(())
    }

    /// RFC 9113, section 8.1.1: it would be malformed.
    #[asyncio::test(clock = "real")]
    async fn no_body_follows_where_none_belongs() -> Outcome {
        let server = start(async |request: Request| match request.uri().path() {
            "/204" => (StatusCode::NO_CONTENT, "body"),
            "/304" => (StatusCode::NOT_MODIFIED, "body"),
            _ => (StatusCode::OK, "body"),
        })
        .await;
        let sessions = [session(), Session::new()];
        for session in &sessions {
            for (method, path, text) in [
                (Method::HEAD, "/", ""),
                (Method::GET, "/204", ""),
                (Method::GET, "/304", ""),
                (Method::GET, "/", "body"),
            ] {
                let is_head = method == Method::HEAD;
                let response = session.request(method, url(&server, path)).send().await?;
                if is_head {
                    assert_eq!(response.content_length(), Some(4));
                }
                assert_eq!(response.text().await?, text, "{path}");
            }
        }
        assert_eq!(server.connections(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn after_the_grace_period_handlers_are_cancelled_and_clean_up() -> Outcome {
        let (server, trace) = endless().await;
        let session = session();
        let fetches = [(); 2].map(|()| {
            let request = session.get(url(&server, "/"));
            asyncio::spawn(async move { request.send().await.is_err() })
        });
        end_in_cleanups(&server, &trace, 2).await;
        for fetch in fetches {
            assert!(fetch.await?);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn the_address_of_a_closed_server_is_free() -> Outcome {
        let server = start(async |_: Request| "fine").await;
        let address = server.addresses()[0];
        asyncio::yield_now().await;
        assert!(server.shutdown(Duration::ZERO).await);
        let refused = asyncio::net::TcpStream::connect(address).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionRefused
        );
        Ok(())
    }

    /// A server that is closed has no handlers any more.
    #[asyncio::test(clock = "real")]
    async fn a_connection_ends_after_its_handlers() -> Outcome {
        struct OnDrop(Rc<Cell<usize>>);

        impl Drop for OnDrop {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }

        let (begun, dropped) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let server = start({
            let (begun, dropped) = (begun.clone(), dropped.clone());
            async move |_: Request| {
                let _on_drop = OnDrop(dropped.clone());
                begun.set(begun.get() + 1);
                std::future::pending::<()>().await;
            }
        })
        .await;
        let session = session();
        let fetches = [(); 2].map(|()| {
            let request = session.get(url(&server, "/"));
            asyncio::spawn(async move { request.send().await.is_err() })
        });
        eventually("the handlers begin", || begun.get() == 2).await;
        drop((fetches, session));
        server.close();
        timeout(LONG, server.wait_closed()).await?;
        assert_eq!(dropped.get(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_handler_that_panics_ends_its_stream_only() -> Outcome {
        asyncio::set_exception_handler(|_: &asyncio::Unhandled| {});
        let server = start(async |request: Request| {
            assert_ne!(request.uri().path(), "/panic", "the handler panics");
            for _ in 0..3 {
                asyncio::yield_now().await;
            }
            assert_ne!(request.uri().path(), "/late", "the handler panics");
            "fine"
        })
        .await;
        let session = session();
        let panicked = session.get(url(&server, "/panic")).send().await?;
        assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let fetch = async |path| -> Result<_, asyncio::BoxError> {
            let response = session.get(url(&server, path)).send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        };
        let (fine, late) = futures::try_join!(fetch("/"), fetch("/late"))?;
        assert_eq!(fine, (200, "fine".to_owned()));
        assert_eq!(late, (500, String::new()));
        assert_eq!(server.connections(), 1);
        Ok(())
    }
}
