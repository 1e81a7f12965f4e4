//! Clients that are slow, hostile or broken. Each ends its own connection only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{Request, Response, Server, body};
use asyncio::net::TcpStream;
use asyncio::sleep;

/// A server of which each test asks at the end whether it still serves, and whether anything is left.
async fn sturdy() -> Server {
    let options = Server::builder()
        .header_timeout(Duration::from_millis(100))
        .keep_alive_timeout(Duration::from_millis(150))
        .read_timeout(Duration::from_millis(100))
        .write_timeout(Duration::from_millis(100))
        .max_body(100_000)
        .max_head(8192);
    start_with(options, answer).await
}

thread_local! {
    /// How many pieces of the endless body were asked for.
    static PIECES: Cell<usize> = const { Cell::new(0) };
}

async fn answer(request: Request) -> Response {
    match request.uri().path() {
        "/page" => Response::new("x".repeat(20_000).into()),
        "/large" => Response::new("x".repeat(50_000_000).into()),
        "/endless" => {
            let endless = futures::stream::repeat_with(|| {
                PIECES.set(PIECES.get() + 1);
                Ok::<_, std::io::Error>("x".repeat(10_000))
            });
            Response::new(body::from_stream(endless))
        }
        _ => match body::to_bytes(request.into_body(), usize::MAX).await {
            Ok(bytes) => Response::new(format!("{} bytes", bytes.len()).into()),
            Err(error) => Response::new(format!("failed: {error}").into()),
        },
    }
}

/// Whether the server serves, with nothing left of the clients before.
async fn is_well(server: &Server) {
    eventually("all connections are gone", || server.connections() == 0).await;
    let answer = answers(server, "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(answer.ends_with("2 bytes"), "{answer}");
    eventually("this connection is gone", || server.connections() == 0).await;
}

#[asyncio::test(clock = "real")]
async fn garbage_gets_400() -> Outcome {
    let server = sturdy().await;
    for garbage in [
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n: no name\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03 a TLS hello\r\n\r\n",
    ] {
        let answer = answers(&server, garbage).await;
        assert_eq!(status(&answer), "400", "{garbage:?}: {answer}");
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn ambiguous_lengths_get_400_or_end_the_connection() -> Outcome {
    let server = sturdy().await;
    let after = "\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for refused in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Content-Length : 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "X: a\n Content-Length: 5",
        "Transfer-Encoding:\x0bchunked",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{refused}{after}");
        let answer = answers(&server, request).await;
        assert_eq!(status(&answer), "400", "{refused:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1").count(),
            1,
            "{refused:?}: {answer}"
        );
    }
    // RFC 9112, section 6.3: chunked counts, and the connection ends after the answer.
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{both}{after}");
        let answer = answers(&server, request).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{both:?}: {answer}");
        assert!(answer.ends_with("0 bytes"), "{both:?}: {answer}");
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn bad_chunks_are_an_error_of_the_body() -> Outcome {
    let server = sturdy().await;
    for chunks in [
        "x\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2;\x01\n",
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(request).await;
        raw.0.shutdown(std::net::Shutdown::Write)?;
        let answer = raw.rest().await;
        assert!(
            answer.is_empty() || answer.contains("failed: "),
            "{chunks:?}: {answer}"
        );
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn endless_heads_get_431() -> Outcome {
    let server = sturdy().await;
    let long_line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100_000));
    let long_header = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(5_000));
    for endless in [long_line, long_header, many_headers] {
        let raw = Raw::connect(server.addresses()[0]).await;
        // The server may close before all is sent.
        let _ = raw.0.write_all(endless.as_bytes()).await;
        let answer = raw.rest().await;
        // A reset may overtake the answer, because bytes are unread.
        assert!(
            answer.is_empty() || ["414", "431"].contains(&status(&answer)),
            "{answer}"
        );
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn slow_heads_end_at_the_limit() -> Outcome {
    let server = sturdy().await;
    let begin = asyncio::time();
    // One byte now and then does not prolong it.
    let slow = async {
        let raw = Raw::connect(server.addresses()[0]).await;
        for byte in
            b"GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        {
            if raw.0.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        raw.rest().await
    };
    let silent = async { Raw::connect(server.addresses()[0]).await.rest().await };
    let kept = answers(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (slow, silent, kept) = futures::join!(slow, silent, kept);
    // A client that has sent nothing would take 408 for the answer to its next request.
    assert_eq!((status(&slow), silent.as_str()), ("408", ""));
    assert!(kept.ends_with("0 bytes"));
    assert!(begin.elapsed() < Duration::from_secs(5));
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_fast_client_is_not_taken_for_a_slow_one() -> Outcome {
    let server = sturdy().await;
    let raw = Raw::connect(server.addresses()[0]).await;
    let begin = asyncio::time();
    // For longer than each of the limits.
    while begin.elapsed() < Duration::from_millis(400) {
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        raw.until("0 bytes").await;
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_slow_handler_is_not_taken_for_a_slow_client() -> Outcome {
    let options = Server::builder()
        .header_timeout(Duration::from_millis(20))
        .keep_alive_timeout(Duration::from_millis(20));
    let server = start_with(options, async |_: Request| {
        sleep(Duration::from_millis(200)).await;
        "late"
    })
    .await;
    let answer = answers(
        &server,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("late"));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn clients_that_never_read_end_at_the_limit() -> Outcome {
    let server = sturdy().await;
    for path in ["/large", "/endless"] {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        eventually("it is served", || server.connections() == 1).await;
        eventually("it is cut", || server.connections() == 0).await;
    }
    // The buffers of the system hold some megabytes, and nothing else grows.
    assert!(PIECES.get() < 2_000, "{}", PIECES.get());
    // Requests whose answers nobody reads.
    let raw = Raw::connect(server.addresses()[0]).await;
    let requests = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let flood = async { while raw.0.write_all(requests.as_bytes()).await.is_ok() {} };
    asyncio::timeout(LONG, flood).await?;
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn bodies_that_do_not_come_end_at_the_limit() -> Outcome {
    let server = sturdy().await;
    for head in [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc",
    ] {
        let answer = answers(&server, format!("POST / HTTP/1.1\r\nHost: a\r\n{head}")).await;
        assert_eq!(answer, "");
    }
    is_well(&server).await;
    Ok(())
}

/// Each byte comes in time, and the last one would come in hours.
#[asyncio::test(clock = "real")]
async fn bodies_that_trickle_end_at_the_rate() -> Outcome {
    for (rate, is_cut) in [(1_000, true), (0, false)] {
        let options = Server::builder()
            .read_timeout(Duration::from_millis(60))
            .min_rate(rate);
        let server = start_with(options, answer).await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n")
            .await;
        for _ in 0..50 {
            if raw.0.write_all(b"x").await.is_err() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        raw.0.shutdown(std::net::Shutdown::Write).ok();
        let answer = raw.rest().await;
        assert_eq!(answer.is_empty(), is_cut, "{answer}");
        eventually("it ends", || server.connections() == 0).await;
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn clients_that_read_byte_by_byte_end_at_the_rate() -> Outcome {
    let options = Server::builder()
        .write_timeout(Duration::from_millis(150))
        .min_rate(100_000_000);
    let server = start_with(options, answer).await;
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    raw.until("\r\n\r\n").await;
    let mut buf = vec![0; 100_000];
    let reading = async {
        // Often enough for the limit between two pieces.
        while matches!(raw.0.read(&mut buf).await, Ok(1..)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    asyncio::timeout(LONG, reading).await?;
    eventually("it is cut", || server.connections() == 0).await;
    Ok(())
}

/// RFC 9112, section 3.2. A proxy and the server must not see different hosts.
#[asyncio::test(clock = "real")]
async fn a_request_names_one_host() -> Outcome {
    let server = sturdy().await;
    for (version, hosts, code) in [
        ("1.1", "", "400"),
        ("1.1", "Host: a\r\nHost: a\r\n", "400"),
        ("1.1", "Host: a\r\nX: y\r\nHost: b\r\n", "400"),
        ("1.1", "X: y\r\nX: z\r\n", "400"),
        ("1.1", "X: y\r\nHost: a\r\nX: z\r\n", "200"),
        ("1.1", "Host: a, b\r\n", "400"),
        ("1.1", "Host: a b\r\n", "400"),
        ("1.1", "Host: a/b\r\n", "400"),
        ("1.1", "Host: a@b\r\n", "400"),
        ("1.1", "Host: [::1]:80\r\n", "200"),
        ("1.1", "Host:\r\n", "200"),
        ("1.0", "", "200"),
    ] {
        let request = format!("GET / HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        assert_eq!(status(&answers(&server, &request).await), code, "{request}");
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn bodies_beyond_the_limit() -> Outcome {
    let server = sturdy().await;
    let announced = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n";
    assert_eq!(status(&answers(&server, announced).await), "413");
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("2710\r\n{}\r\n", "x".repeat(10_000));
    while raw.0.write_all(chunk.as_bytes()).await.is_ok() {}
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn resets_at_every_step() -> Outcome {
    let server = sturdy().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    for step in 0..request.len() {
        let stream = TcpStream::connect(server.addresses()[0]).await?;
        stream.write_all(&request.as_bytes()[..step]).await?;
        // A reset in place of a close.
        stream.set_linger(Some(Duration::ZERO))?;
        drop(stream);
    }
    for path in ["/", "/large", "/endless"] {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        raw.until("\r\n").await;
        raw.0.set_linger(Some(Duration::ZERO))?;
    }
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn half_closed_clients_get_their_answer() -> Outcome {
    let server = sturdy().await;
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    raw.0.shutdown(std::net::Shutdown::Write)?;
    let answer = raw.rest().await;
    assert!(answer.is_empty() || answer.ends_with("3 bytes"), "{answer}");
    is_well(&server).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_flood_of_connections_ends_at_the_limit() -> Outcome {
    let most = Rc::new(Cell::new(0));
    let server = start_with(Server::builder().max_connections(5), async |_: Request| {
        sleep(Duration::from_millis(1)).await;
        "served"
    })
    .await;
    let clients = (0..100).map(|_| {
        let (server, most) = (&server, &most);
        async move {
            let answer = answers(server, "GET / HTTP/1.0\r\n\r\n").await;
            most.set(server.connections().max(most.get()));
            assert!(answer.ends_with("served"));
        }
    });
    asyncio::gather_iter(clients).await;
    assert!((1..=5).contains(&most.get()), "{}", most.get());
    eventually("all are gone", || server.connections() == 0).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn errors_are_told_with_the_peer() -> Outcome {
    let errors = Rc::new(RefCell::new(Vec::new()));
    let options = Server::builder().on_error({
        let errors = errors.clone();
        move |peer, error| {
            errors
                .borrow_mut()
                .push((peer.address(), error.to_string()))
        }
    });
    let server = start_with(options, async |_: Request| "fine").await;
    let raw = Raw::connect(server.addresses()[0]).await;
    let own = raw.0.local_addr()?;
    raw.send("nonsense\r\n\r\n").await;
    raw.rest().await;
    eventually("it is told", || !errors.borrow().is_empty()).await;
    let (peer, error) = errors.borrow_mut().remove(0);
    assert_eq!(peer, Some(own));
    assert!(error.contains("invalid HTTP"), "{error}");
    Ok(())
}

#[cfg(target_os = "linux")]
#[asyncio::test(clock = "real")]
async fn no_descriptor_is_left() -> Outcome {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let server = sturdy().await;
    is_well(&server).await;
    let before = (descriptors(), asyncio::all_tasks().len());
    for _ in 0..20 {
        answers(&server, "nonsense\r\n\r\n").await;
        answers(&server, "GET / HTTP/1.0\r\n\r\n").await;
    }
    eventually("all are gone", || server.connections() == 0).await;
    // Other tests of this process open and close some meanwhile.
    eventually("as many as before", || descriptors() <= before.0 + 20).await;
    assert!(asyncio::all_tasks().len() <= before.1 + 1);
    Ok(())
}

#[cfg(feature = "http2")]
mod http2 {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    /// `GET /`, by indices of the static table, with an authority.
    fn get(stream: u32) -> Vec<u8> {
        frame(1, 0x5, stream, b"\x82\x86\x84\x41\x01a")
    }

    /// Sends frames until the server closes, or all are sent; then waits until it closes.
    async fn flood(server: &Server, frames: impl Iterator<Item = Vec<u8>>) -> bool {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(PREFACE).await;
        raw.send(frame(4, 0, 0, &[])).await;
        for frame in frames {
            if raw.0.write_all(&frame).await.is_err() {
                return true;
            }
        }
        raw.rest().await;
        false
    }

    #[asyncio::test(clock = "real")]
    async fn rapid_resets_end_their_connection() -> Outcome {
        let begun = Rc::new(Cell::new(0));
        let server = start_with(
            Server::builder().keep_alive_timeout(Duration::from_millis(500)),
            {
                let begun = begun.clone();
                async move |_: Request| {
                    begun.set(begun.get() + 1);
                    std::future::pending::<()>().await;
                }
            },
        )
        .await;
        let frames = (0..200_000).map(|n| {
            let stream = 2 * n + 1;
            [get(stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
        });
        assert!(
            flood(&server, frames).await,
            "the server ends the connection"
        );
        assert!(begun.get() < 10_000, "{}", begun.get());
        eventually("it is gone", || server.connections() == 0).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn a_client_that_opens_no_window_ends_at_the_limit() -> Outcome {
        let server = sturdy().await;
        for path in [&b"\x04\x06/large"[..], b"\x04\x08/endless"] {
            let raw = Raw::connect(server.addresses()[0]).await;
            raw.send(PREFACE).await;
            // SETTINGS_INITIAL_WINDOW_SIZE is 0.
            raw.send(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
            let headers = [&b"\x82\x86"[..], path, b"\x41\x01a"].concat();
            raw.send(frame(1, 0x5, 1, &headers)).await;
            raw.rest().await;
        }
        is_well(&server).await;
        Ok(())
    }

    /// Another body of the connection comes to its end meanwhile, or is given up.
    #[asyncio::test(clock = "real")]
    async fn a_body_that_does_not_come_ends_at_the_limit() -> Outcome {
        let server = sturdy().await;
        let post = |stream| frame(1, 0x4, stream, b"\x83\x86\x84\x41\x01a");
        for end in [frame(0, 0x1, 3, b"ok"), frame(3, 0, 3, &[0, 0, 0, 8])] {
            let raw = Raw::connect(server.addresses()[0]).await;
            raw.send(PREFACE).await;
            raw.send(frame(4, 0, 0, &[])).await;
            raw.send([post(1), post(3), end].concat()).await;
            raw.rest().await;
        }
        is_well(&server).await;
        Ok(())
    }

    /// Requests that begin later are no pieces of a body that does not come.
    #[asyncio::test(clock = "real")]
    async fn more_requests_give_no_more_time_for_a_body() -> Outcome {
        let options = Server::builder().read_timeout(Duration::from_millis(100));
        let server = start_with(options.min_rate(0), answer).await;
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(PREFACE).await;
        raw.send(frame(4, 0, 0, &[])).await;
        for n in 0..100 {
            let post = frame(1, 0x4, 2 * n + 1, b"\x83\x86\x84\x41\x01a");
            if raw.0.write_all(&post).await.is_err() {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("a hundred requests wait for their bodies");
    }

    #[asyncio::test(clock = "real")]
    async fn floods_of_settings_and_pings_are_bounded() -> Outcome {
        let server = sturdy().await;
        // The client reads none of the acknowledgements.
        let settings = (0..100_000).map(|_| frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]));
        flood(&server, settings).await;
        let pings = (0..100_000).map(|_| frame(6, 0, 0, &[0; 8]));
        flood(&server, pings).await;
        is_well(&server).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn endless_continuations_end_their_connection() -> Outcome {
        let server = sturdy().await;
        let header = b"\x40\x01x\x7f\x81\x01"
            .iter()
            .copied()
            .chain([b'y'; 256])
            .collect::<Vec<_>>();
        let first = frame(1, 0, 1, b"\x82\x86\x84\x41\x01a");
        let more = std::iter::repeat_n(frame(9, 0, 1, &header), 100_000);
        assert!(flood(&server, std::iter::once(first).chain(more)).await);
        is_well(&server).await;
        Ok(())
    }

    #[asyncio::test(clock = "real")]
    async fn broken_frames_end_their_connection() -> Outcome {
        let server = sturdy().await;
        for bad in [
            frame(0, 0, 1, b"data on no stream"),
            frame(8, 0, 0, &[0; 4]),
            frame(4, 0, 3, &[]),
            frame(1, 0x5, 2, b"\x82"),
            frame(1, 0x5, 1, b"\xff\xff\xff\xff\xff\xff"),
            b"\xff\xff\xff\x00\x00\x00\x00\x00\x01".to_vec(),
        ] {
            flood(&server, std::iter::once(bad)).await;
        }
        // Half a preface.
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(&PREFACE[..10]).await;
        assert_eq!(raw.rest().await, "");
        is_well(&server).await;
        Ok(())
    }
}
