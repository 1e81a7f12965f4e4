//! HTTP/2: requests that a server has not looked at, connections that end or fall silent, windows, trailers.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::{Body, FetchError, Request, Response, Server, Session, body};
use asyncio::net::TcpListener;
use asyncio::sync::Event;
use asyncio::{BoxError, sleep, spawn, timeout, yield_now};
use http_body_util::StreamBody;
use hyper::body::Frame;

use self::Answer::{GoAway, Head, LastPage, Nothing, Page, Reset};
use crate::support::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const REFUSED: u32 = 7;
const CANCEL: u32 = 8;

fn session() -> Session {
    Session::builder().http2_prior_knowledge(true).build()
}

/// The answer of a scripted server to a request.
#[derive(Clone, Copy)]
enum Answer {
    /// Status 200 without a body.
    Page,
    /// Status 200, of which the body does not come.
    Head,
    Nothing,
    /// A reset with a code.
    Reset(u32),
    /// The connection ends, and the server has not looked at the request.
    GoAway,
    /// The last answer of a connection.
    LastPage,
}

impl Answer {
    fn bytes(self, stream: u32) -> Vec<u8> {
        let goaway = |last: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        match self {
            Self::Page => frame(HEADERS, 0x5, stream, b"\x88"),
            Self::Head => frame(HEADERS, 0x4, stream, b"\x88"),
            Self::Nothing => Vec::new(),
            Self::Reset(code) => frame(RESET, 0, stream, &code.to_be_bytes()),
            Self::GoAway => goaway(0),
            Self::LastPage => [goaway(stream), Self::Page.bytes(stream)].concat(),
        }
    }
}

/// The next frame: its kind, its flags, its stream and the length of its payload. `None` at the end.
async fn next_frame(raw: &Raw) -> Option<(u8, u8, u32, usize)> {
    let mut head = [0; 9];
    raw.0.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    raw.0.read_exact(&mut vec![0; length]).await.ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, length))
}

/// The stream of the next request. `None` at the end of the connection.
async fn next_request(raw: &Raw) -> Option<u32> {
    loop {
        let (kind, _, stream, _) = next_frame(raw).await?;
        if kind == HEADERS {
            return Some(stream);
        }
    }
}

/// The connections of a scripted server: for each, the answers to its requests. After the last it is closed.
type Script = &'static [&'static [Answer]];

/// A server that follows a script. Returns its address, and the number of requests that it has seen so far.
async fn scripted(script: Script) -> Result<(String, Rc<Cell<usize>>), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = format!("http://{}/", listener.local_addr()?);
    let seen = Rc::new(Cell::new(0));
    let counted = seen.clone();
    spawn(async move {
        for answers in script {
            let raw = Raw(listener.accept().await.unwrap().0);
            let counted = counted.clone();
            spawn(async move {
                raw.0.read_exact(&mut [0; 24]).await.unwrap();
                raw.send(frame(SETTINGS, 0, 0, &[])).await;
                for answer in *answers {
                    let Some(stream) = next_request(&raw).await else {
                        return;
                    };
                    counted.set(counted.get() + 1);
                    raw.send(answer.bytes(stream)).await;
                }
            })
            .detach();
        }
    })
    .detach();
    Ok((page, seen))
}

mod requests_that_were_not_looked_at {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn are_sent_again() -> Outcome {
        const SCRIPTS: [Script; 2] = [&[&[Reset(REFUSED), Page]], &[&[GoAway, Nothing], &[Page]]];
        for script in SCRIPTS {
            let (page, count) = scripted(script).await?;
            let fetch = session().post(&page).body("twice").send();
            assert_eq!(timeout(LONG, fetch).await??.status(), 200);
            assert_eq!(count.get(), 2);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn are_errors_if_their_body_is_gone() -> Outcome {
        let (page, count) = scripted(&[&[Reset(REFUSED), Page]]).await?;
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>("once")]);
        let fetch = session().post(&page).body(body::from_stream(pieces)).send();
        let error = timeout(LONG, fetch).await?.unwrap_err();
        assert!(matches!(error, FetchError::Exchange(_)), "{error}");
        assert_eq!(count.get(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn are_not_sent_for_ever() -> Outcome {
        let (page, count) = scripted(&[&[Reset(REFUSED); 9]]).await?;
        assert!(timeout(LONG, session().get(&page).send()).await?.is_err());
        assert_eq!(count.get(), 4);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn are_no_others() -> Outcome {
        let (page, count) = scripted(&[&[Reset(CANCEL), Page]]).await?;
        assert!(timeout(LONG, session().get(&page).send()).await?.is_err());
        assert_eq!(count.get(), 1);
        Ok(())
    }
}

mod connections {
    use super::*;

    #[asyncio::test(clock = "real")]
    async fn that_go_away_answer_and_get_no_more_requests() -> Outcome {
        let (page, count) = scripted(&[&[LastPage, Nothing], &[Page]]).await?;
        let session = session();
        for n in 1..3 {
            let fetch = session.post(&page).body("once").send();
            assert_eq!(timeout(LONG, fetch).await??.status(), 200);
            assert_eq!(count.get(), n);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_end_in_the_moment_of_a_request_have_it_again() -> Outcome {
        // The second answer is the end of the connection.
        let (page, count) = scripted(&[&[Page, Nothing], &[Page]]).await?;
        let session = session();
        for _ in 0..2 {
            let fetch = session.get(&page).send();
            assert_eq!(timeout(LONG, fetch).await??.status(), 200);
        }
        assert_eq!(count.get(), 3);

        let (page, count) = scripted(&[&[Page, Nothing], &[Page]]).await?;
        assert_eq!(session.get(&page).send().await?.status(), 200);
        let fetch = session.post(&page).body("perhaps seen").send();
        assert!(timeout(LONG, fetch).await?.is_err());
        assert_eq!(count.get(), 2);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_fall_silent_get_no_more_requests() -> Outcome {
        let (page, count) = scripted(&[&[Page, Nothing, Nothing, Page], &[Page]]).await?;
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.read_timeout(Duration::from_millis(200)).build();
        assert_eq!(session.get(&page).send().await?.status(), 200);
        assert!(session.get(&page).send().await.unwrap_err().is_timeout());
        assert_eq!(session.get(&page).send().await?.status(), 200);
        assert_eq!(count.get(), 3);
        Ok(())
    }

    /// A request that waits for its turn has a server that is busy, and not one that is silent.
    #[asyncio::test(clock = "real")]
    async fn that_are_full_are_not_silent() -> Outcome {
        let server = start_with(
            Server::builder().max_streams(1),
            async |request: Request| {
                sleep(Duration::from_millis(100)).await;
                let body = body::to_bytes(request.into_body(), 1000).await;
                body.unwrap().len().to_string()
            },
        )
        .await;
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.read_timeout(Duration::from_millis(400)).build();
        let page = url(&server, "/");
        let posts = (0..8).map(|n| session.post(&page).body(vec![0; n % 2]));
        let fetches = posts.map(async |post| post.send().await?.text().await);
        let texts = timeout(LONG, asyncio::try_gather_iter(fetches)).await??;
        assert_eq!(texts.concat(), "01010101");
        assert_eq!(server.connections(), 1);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_are_full_and_silent_end_all_requests_at_the_limit() -> Outcome {
        const LIMIT: Duration = Duration::from_millis(300);
        let server = start_with(Server::builder().max_streams(1), async |_: Request| {
            pending::<()>().await;
        })
        .await;
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.read_timeout(LIMIT).build();
        let begin = asyncio::time();
        let fetches: Vec<_> = (0..8)
            .map(|_| spawn(session.get(url(&server, "/")).send()))
            .collect();
        for fetch in fetches {
            assert!(timeout(LONG, fetch).await??.unwrap_err().is_timeout());
        }
        assert!(begin.elapsed() < 4 * LIMIT, "one after the other");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_fall_silent_in_a_body_get_no_more_requests() -> Outcome {
        let (page, _) = scripted(&[&[Head, Nothing, Nothing], &[Page]]).await?;
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.read_timeout(Duration::from_millis(200)).build();
        let response = session.get(&page).send().await?;
        assert!(response.bytes().await.unwrap_err().is_timeout());
        assert_eq!(session.get(&page).send().await?.status(), 200);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_are_idle_for_too_long_close() -> Outcome {
        let server = start(async |_: Request| "ok").await;
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.idle_timeout(Duration::from_millis(20)).build();
        session.get(url(&server, "/")).send().await?.text().await?;
        assert_eq!(server.connections(), 1);
        sleep(Duration::from_millis(40)).await;
        // The session looks for old connections at one request in 64.
        let other = start(async |_: Request| "ok").await;
        for _ in 0..64 {
            session.get(url(&other, "/")).send().await?.text().await?;
        }
        eventually("it is closed", || server.connections() == 0).await;
        // One that is in use does not count as idle.
        let held = session.get(url(&other, "/")).send().await?;
        sleep(Duration::from_millis(40)).await;
        session.get(url(&other, "/")).send().await?.text().await?;
        eventually("one is left", || other.connections() == 1).await;
        assert_eq!(held.text().await?, "ok");
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn outlive_requests_that_are_given_up() -> Outcome {
        let server = start(async |request: Request| {
            if request.uri().path() == "/slow" {
                pending::<()>().await;
            }
            "ok"
        })
        .await;
        let session = session();
        for n in 0..200 {
            let slow = spawn(session.get(url(&server, "/slow")).send());
            for _ in 0..n % 8 {
                yield_now().await;
            }
            drop(slow);
            if n % 10 == 0 {
                let fetch = async { session.get(url(&server, "/")).send().await?.text().await };
                assert_eq!(timeout(LONG, fetch).await??, "ok");
            }
        }
        assert_eq!(server.connections(), 1);
        Ok(())
    }
}

/// Servers that answer a request with frames without an end. The next request is served on another connection.
mod floods {
    use super::*;

    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;

    /// Fetches from a server that sends these frames, the last of them again and again. Returns the error, and the
    /// number of steps of another task.
    async fn flooded(frames: &[Vec<u8>]) -> Result<(FetchError, usize), BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let page = format!("http://{}/", listener.local_addr()?);
        let (first, last) = (frames.concat(), frames.last().unwrap().repeat(1_000));
        let serve = async move |raw: Raw, flood: Option<(Vec<u8>, Vec<u8>)>| {
            raw.0.read_exact(&mut [0; 24]).await.unwrap();
            raw.send(frame(SETTINGS, 0, 0, &[])).await;
            let Some(stream) = next_request(&raw).await else {
                return;
            };
            let Some((first, last)) = flood else {
                raw.send(Page.bytes(stream)).await;
                return pending().await;
            };
            raw.send(&first).await;
            while raw.0.write_all(&last).await.is_ok() {}
        };
        let serving = spawn(async move {
            let mut flood = Some((first, last));
            let mut connections = Vec::new();
            loop {
                let raw = Raw(listener.accept().await.unwrap().0);
                let flood = flood.take();
                connections.push(spawn(async move { serve(raw, flood).await }));
            }
        });
        let steps = Rc::new(Cell::new(0));
        let stepping = spawn({
            let steps = steps.clone();
            async move {
                loop {
                    steps.set(steps.get() + 1);
                    sleep(Duration::from_millis(1)).await;
                }
            }
        });
        let builder = Session::builder().http2_prior_knowledge(true);
        let session = builder.read_timeout(Duration::from_millis(200)).build();
        let error = timeout(LONG, session.get(&page).send()).await?.unwrap_err();
        let steps = steps.get();
        stepping.cancel();
        // On a machine with much to do, the limit may pass again.
        let next = async {
            loop {
                match session.get(&page).send().await {
                    Err(error) if error.is_timeout() => {}
                    response => return response,
                }
            }
        };
        assert_eq!(timeout(LONG, next).await??.status(), 200);
        serving.cancel();
        Ok((error, steps))
    }

    #[asyncio::test(clock = "real")]
    async fn of_early_answers_settings_and_pings_end_at_the_limit() -> Outcome {
        for flood in [
            // Status 103.
            frame(HEADERS, 0x4, 1, b"\x08\x03103"),
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            frame(PING, 0, 0, &[0; 8]),
        ] {
            let (error, steps) = flooded(&[flood]).await?;
            assert!(error.is_timeout(), "{error}");
            assert!(steps > 2, "{steps} steps of another task");
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn of_headers_are_too_much() -> Outcome {
        let header = [&b"\x00\x01x\x7f\x81\x01"[..], &[b'y'; 256]].concat();
        let begin = frame(HEADERS, 0, 1, b"\x88");
        let (error, _) = flooded(&[begin, frame(CONTINUATION, 0, 1, &header)]).await?;
        assert!(matches!(error, FetchError::Exchange(_)), "{error}");
        Ok(())
    }
}

mod windows {
    use super::*;

    const LARGE: usize = 3 << 20;

    #[asyncio::test(clock = "real")]
    async fn are_not_taken_by_bodies_that_nobody_reads() -> Outcome {
        let done = Rc::new(Event::new());
        let server = {
            let done = done.clone();
            start(async move |request: Request| {
                let is_slow = request.uri().path() == "/slow";
                let body = request.into_body();
                if is_slow {
                    drop(body);
                    done.wait().await;
                    return "slow".to_owned();
                }
                let bytes = body::to_bytes(body, usize::MAX).await.unwrap();
                bytes.len().to_string()
            })
            .await
        };
        let session = session();
        let send = |path: &str| session.post(url(&server, path)).body(vec![0; LARGE]).send();
        let slow: Vec<_> = (0..4).map(|_| spawn(send("/slow"))).collect();
        eventually("they have begun", || server.connections() == 1).await;
        let response = timeout(LONG, send("/")).await??;
        assert_eq!(response.text().await?, LARGE.to_string());
        done.set();
        for slow in slow {
            // The rest of its body may be cut off.
            drop(timeout(LONG, slow).await?);
        }
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn may_shrink_in_the_middle_of_a_body() -> Outcome {
        let server = start(async |_: Request| vec![0_u8; 1 << 20]).await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(frame(SETTINGS, 0, 0, &[])).await;
        raw.send(frame(HEADERS, 0x5, 1, b"\x82\x86\x84\x41\x01a"))
            .await;
        let more = (1_u32 << 21).to_be_bytes();
        let (mut received, mut has_shrunk) = (0, false);
        let reading = async {
            loop {
                let (kind, flags, _, length) = next_frame(&raw).await.unwrap();
                if kind != DATA {
                    continue;
                }
                received += length;
                if flags & 1 == 1 {
                    return;
                }
                if !std::mem::replace(&mut has_shrunk, true) {
                    // The window of the stream is less than zero for a moment.
                    raw.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
                    raw.send(frame(WINDOW_UPDATE, 0, 0, &more)).await;
                    raw.send(frame(WINDOW_UPDATE, 0, 1, &more)).await;
                }
            }
        };
        timeout(LONG, reading).await?;
        assert_eq!(received, 1 << 20);
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn that_the_client_never_opens_harm_their_request_only() -> Outcome {
        let server = start(async |request: Request| match request.uri().path() {
            "/large" => vec![0_u8; LARGE],
            _ => b"ok".to_vec(),
        })
        .await;
        let session = session();
        // It is less than the window of the connection, and more than that of a stream.
        let held = session.get(url(&server, "/large")).send().await?;
        for _ in 0..10 {
            let fetch = async { session.get(url(&server, "/")).send().await?.text().await };
            assert_eq!(timeout(LONG, fetch).await??, "ok");
        }
        assert_eq!(timeout(LONG, held.bytes()).await??.len(), LARGE);
        // One that is dropped gives its part of the window back.
        for _ in 0..6 {
            drop(session.get(url(&server, "/large")).send().await?);
        }
        let fetch = async {
            session
                .get(url(&server, "/large"))
                .send()
                .await?
                .bytes()
                .await
        };
        assert_eq!(timeout(LONG, fetch).await??.len(), LARGE);
        assert_eq!(server.connections(), 1);
        Ok(())
    }
}

#[asyncio::test(clock = "real")]
async fn trailers_are_no_part_of_a_body() -> Outcome {
    let trailers = RefCell::new(Vec::new());
    let trailers = Rc::new(trailers);
    let server = {
        let trailers = trailers.clone();
        start(async move |request: Request| -> Response {
            use http_body_util::BodyExt as _;
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                match frame.into_data() {
                    Ok(data) => length += data.len(),
                    Err(frame) => trailers.borrow_mut().push(frame.into_trailers().unwrap()),
                }
            }
            let mut after = http::HeaderMap::new();
            after.insert("x-after", length.to_string().parse().unwrap());
            let frames = [Frame::data("text".into()), Frame::trailers(after)];
            let frames = frames.map(Ok::<_, std::io::Error>);
            Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))))
        })
        .await
    };
    for session in [session(), Session::new()] {
        let response = session.post(url(&server, "/")).body("12345").send().await?;
        assert_eq!(response.text().await?, "text");
    }
    // A request with trailers.
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.send(frame(SETTINGS, 0, 0, &[])).await;
    raw.send(frame(HEADERS, 0x4, 1, b"\x83\x86\x84\x41\x01a"))
        .await;
    raw.send(frame(DATA, 0, 1, b"12345")).await;
    raw.send(frame(HEADERS, 0x5, 1, b"\x40\x01x\x01y")).await;
    eventually("they come", || !trailers.borrow().is_empty()).await;
    assert_eq!(trailers.borrow()[0]["x"], "y");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_stream_that_the_client_resets_drops_its_handler_only() -> Outcome {
    struct Dropped(Rc<Cell<u32>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let server: Server = {
        let dropped = dropped.clone();
        start(async move |request: Request| {
            let _dropped = Dropped(dropped.clone());
            if request.uri().path() == "/slow" {
                pending::<()>().await;
            }
            "ok"
        })
        .await
    };
    let session = session();
    let slow = spawn(session.get(url(&server, "/slow")).send());
    let other = spawn(session.get(url(&server, "/slow")).send());
    session.get(url(&server, "/")).send().await?.text().await?;
    assert_eq!(dropped.get(), 1);
    drop(slow);
    eventually("the handler is dropped", || dropped.get() == 2).await;
    assert!(!other.is_finished());
    assert_eq!(server.connections(), 1);
    Ok(())
}
