//! Websockets between our server and our client, and bytes of other clients.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::websocket::{CloseCode, Message, WebSocket, WebSocketUpgrade};
use asyncio::http::{FetchError, HeaderValue, Request, Response, Server, Session};
use asyncio::net::TcpListener;
use asyncio::{sleep, spawn, timeout};
use tungstenite::handshake::derive_accept_key;

async fn serve(handler: impl AsyncFn(WebSocket) + Clone + 'static) -> Server {
    start(async move |mut request: Request| -> Response {
        let handler = handler.clone();
        match WebSocketUpgrade::of(&mut request) {
            Ok(upgrade) => upgrade
                .protocols(["chat.2", "chat.1"])
                .max_message(100_000)
                .answer(async move |socket| handler(socket).await),
            Err(refusal) => refusal,
        }
    })
    .await
}

async fn echo(socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

fn ws(server: &Server) -> String {
    format!("ws://{}/", server.addresses()[0])
}

#[asyncio::test(clock = "real")]
async fn messages_go_both_ways() -> Outcome {
    let server = serve(echo).await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    socket.send("text").await?;
    socket.send(vec![0; 50_000]).await?;
    assert_eq!(socket.recv().await?, Some(Message::text("text")));
    assert_eq!(socket.recv().await?, Some(Message::binary(vec![0; 50_000])));
    socket.close().await?;
    assert_eq!(socket.recv().await?, None);
    assert!(socket.send("late").await.unwrap_err().is_closed());
    socket.close().await?;
    eventually("the connection ends", || server.connections() == 0).await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_receiver_and_senders_share_a_socket() -> Outcome {
    // More than the buffers of both sides hold, so each waits for the other.
    let server = serve(echo).await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    let message = "x".repeat(90_000);
    let send = async || {
        for _ in 0..100 {
            socket.send(message.clone()).await.unwrap();
        }
    };
    let receive = async {
        for _ in 0..200 {
            let received = socket.recv().await.unwrap().unwrap();
            assert_eq!(received.len(), message.len());
        }
    };
    timeout(LONG, async { futures::join!(send(), send(), receive) }).await?;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_cancelled_operation_loses_nothing() -> Outcome {
    let server = serve(echo).await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    for n in 0..50 {
        let limit = Duration::from_micros(n * 20);
        let _ = timeout(limit, socket.send(n.to_string())).await;
    }
    socket.send("end").await?;
    let mut last = -1;
    loop {
        // Cancelled now and then.
        let Ok(message) = timeout(Duration::from_micros(50), socket.recv()).await else {
            continue;
        };
        let message = message?.unwrap().into_text()?;
        if message.as_str() == "end" {
            return Ok(());
        }
        let n = message.parse::<i32>()?;
        assert!(n > last, "in order, each once");
        last = n;
    }
}

#[asyncio::test(clock = "real")]
async fn a_subprotocol_is_agreed_on() -> Outcome {
    let server = serve(echo).await;
    let offers = [
        ("chat.1, chat.2", "chat.2"),
        ("chat.1", "chat.1"),
        ("other", ""),
    ];
    for (offer, agreed) in offers {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(format!(
            "{HANDSHAKE}Sec-WebSocket-Protocol: {offer}\r\n\r\n"
        ))
        .await;
        let head = raw.until("\r\n\r\n").await;
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(line.unwrap_or_default(), agreed);
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn the_agreed_subprotocol_is_known_to_the_server() -> Outcome {
    let server = start(async |mut request: Request| -> Response {
        let upgrade = WebSocketUpgrade::of(&mut request).unwrap();
        let upgrade = upgrade.protocols(["chat.2", "chat.1"]);
        let agreed = upgrade.protocol().unwrap_or("none").to_owned();
        upgrade.answer(async |socket: WebSocket| socket.send(agreed).await.unwrap())
    })
    .await;
    for (offer, agreed) in [("chat.1", "chat.1"), ("other", "none")] {
        let offering = Session::new().get(ws(&server));
        let offering = offering.header("sec-websocket-protocol", offer);
        let socket = offering.websocket().await?;
        assert_eq!(socket.recv().await?, Some(Message::text(agreed)));
    }
    Ok(())
}

/// RFC 6455, section 4.1: the client must fail the connection.
#[asyncio::test(clock = "real")]
async fn a_subprotocol_that_was_not_offered_is_an_error() -> Outcome {
    let server = start(async |mut request: Request| -> Response {
        let upgrade = WebSocketUpgrade::of(&mut request).unwrap();
        let mut response = upgrade.answer(echo);
        let chat = HeaderValue::from_static("chat");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", chat);
        response
    })
    .await;
    let session = Session::new();
    let error = session.get(ws(&server)).websocket().await.unwrap_err();
    assert!(matches!(error, FetchError::Decode(_)), "{error}");
    let offers = session.get(ws(&server));
    let offers = offers.header("sec-websocket-protocol", "chat");
    offers.websocket().await?.close().await?;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn cookies_of_an_answer_are_kept() -> Outcome {
    let server = start(async |mut request: Request| -> Response {
        let answer = WebSocketUpgrade::of(&mut request).map(|upgrade| upgrade.answer(echo));
        let (Ok(mut response) | Err(mut response)) = answer;
        let cookie = request.uri().query().unwrap().parse().unwrap();
        response.headers_mut().insert("set-cookie", cookie);
        response
    })
    .await;
    let session = Session::new();
    let socket = session.get(format!("{}?a=1", ws(&server))).websocket();
    socket.await?.close().await?;
    // Refused, because of its method.
    let socket = session.post(format!("{}?b=2", ws(&server))).websocket();
    assert!(matches!(socket.await, Err(FetchError::Status(..))));
    let cookies = session.cookies(&url(&server, "/").parse()?);
    assert_eq!(cookies.as_deref(), Some("a=1; b=2"));
    let none = Session::builder().cookies(false).build();
    let socket = none.get(format!("{}?a=1", ws(&server))).websocket();
    socket.await?.close().await?;
    assert_eq!(none.cookies(&url(&server, "/").parse()?), None);
    Ok(())
}

/// Answers the next request for a websocket. The answer has these headers, and the right key.
async fn agree(listener: &TcpListener, headers: &str) -> Raw {
    let raw = Raw(listener.accept().await.unwrap().0);
    let head = raw.until("\r\n\r\n").await;
    let mut asked = head.lines().filter_map(|line| line.split_once(": "));
    let key = asked.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.unwrap().1.as_bytes());
    let status = "HTTP/1.1 101 Switching Protocols";
    raw.send(format!(
        "{status}\r\n{headers}Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
    .await;
    raw
}

/// RFC 6455, section 4.1.
#[asyncio::test(clock = "real")]
async fn a_server_agrees_to_what_was_asked_for_and_to_nothing_else() -> Outcome {
    const BOTH: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = format!("ws://{}/", listener.local_addr()?);
    let session = Session::new();
    for (headers, agrees) in [
        (BOTH, true),
        ("Connection: Upgrade\r\n", false),
        ("Upgrade: h2c\r\nConnection: Upgrade\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Upgrade: websocket\r\nConnection: close\r\n", false),
        (&format!("{BOTH}Sec-WebSocket-Protocol: chat.2\r\n"), true),
        (&format!("{BOTH}Sec-WebSocket-Protocol: chat\r\n"), false),
        (
            &format!("{BOTH}Sec-WebSocket-Protocol: chat.1, chat.2\r\n"),
            false,
        ),
        (
            &format!("{BOTH}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            false,
        ),
    ] {
        let asking = session.get(&page);
        let asking = asking.header("sec-websocket-protocol", "chat.1, chat.2");
        let (socket, raw) = asyncio::gather((asking.websocket(), agree(&listener, headers))).await;
        match socket {
            Ok(_) => assert!(agrees, "{headers}"),
            Err(error) => {
                assert!(
                    !agrees && matches!(error, FetchError::Decode(_)),
                    "{headers}: {error}"
                );
                assert_eq!(raw.rest().await, "", "the connection is closed");
            }
        }
    }
    Ok(())
}

/// Some servers reset the connection after their close.
#[asyncio::test(clock = "real")]
async fn a_connection_that_breaks_after_the_close_has_ended() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = async {
        let raw = agree(&listener, "Upgrade: websocket\r\nConnection: Upgrade\r\n").await;
        // The message stays unread, so the end of the socket is a reset.
        assert_eq!(raw.0.peek(&mut [0]).await.unwrap(), 1);
        raw.send(b"\x88\x00").await;
    };
    let talking = async {
        let socket = Session::new().get(format!("ws://{address}/"));
        let socket = socket.websocket().await.unwrap();
        socket.send("unread").await.unwrap();
        socket.recv().await
    };
    let ((), received) = asyncio::gather((serving, talking)).await;
    assert_eq!(received?, None);
    Ok(())
}

/// The example of RFC 6455, section 1.3, without its end.
const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

#[asyncio::test(clock = "real")]
async fn the_handshake_is_that_of_the_rfc() -> Outcome {
    let server = serve(echo).await;
    let raw = Raw::connect(server.addresses()[0]).await;
    // A frame right behind the handshake is not lost: "Hello", masked, from section 5.7.
    let frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    raw.send([format!("{HANDSHAKE}\r\n").as_bytes(), frame].concat())
        .await;
    let head = raw.until("\r\n\r\n").await;
    assert_eq!(status(&head), "101");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    raw.until("Hello").await;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_request_that_asks_for_no_websocket_is_refused() -> Outcome {
    let server = serve(echo).await;
    for (request, code) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            "426",
        ),
        (
            format!("{HANDSHAKE}Connection: close\r\n\r\n").replace("GET", "POST"),
            "405",
        ),
        (
            format!("{HANDSHAKE}Connection: close\r\n\r\n").replace("Version: 13", "Version: 8"),
            "400",
        ),
        (
            format!("{HANDSHAKE}Connection: close\r\n\r\n").replace("Sec-WebSocket-Key", "X"),
            "400",
        ),
        // Its key has 15 bytes, none of base64, or a second one beside it.
        (
            format!("{HANDSHAKE}Connection: close\r\n\r\n").replace("ZQ==", "=="),
            "400",
        ),
        (
            format!("{HANDSHAKE}Connection: close\r\n\r\n").replace("ZQ==", "Z?=="),
            "400",
        ),
        (
            format!(
                "{HANDSHAKE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: close\r\n\r\n"
            ),
            "400",
        ),
    ] {
        assert_eq!(status(&answers(&server, &request).await), code, "{request}");
    }
    let plain = start(async |_: Request| "no websocket").await;
    let error = Session::new()
        .get(ws(&plain))
        .websocket()
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Status(status, _) if status == 200));
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn bad_frames_end_their_websocket() -> Outcome {
    let server = serve(echo).await;
    for (code, frame) in [
        // Not masked; a reserved opcode; a control frame in pieces; a length beyond the limit.
        (1002, b"\x81\x05Hello".to_vec()),
        (
            1002,
            b"\x83\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec(),
        ),
        (1002, b"\x09\x80\x37\xfa\x21\x3d".to_vec()),
        (
            1009,
            b"\x82\xff\x00\x00\x7f\xff\xff\xff\xff\xff\x37\xfa\x21\x3d".to_vec(),
        ),
        // Text that is no UTF-8.
        (1007, b"\x81\x81\x00\x00\x00\x00\xff".to_vec()),
    ] {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(format!("{HANDSHAKE}\r\n")).await;
        raw.until("\r\n\r\n").await;
        raw.send(&frame).await;
        let mut goodbye = [0; 4];
        raw.0.read_exact(&mut goodbye).await?;
        assert_eq!(goodbye[0], 0x88);
        assert_eq!(u16::from_be_bytes([goodbye[2], goodbye[3]]), code);
        raw.rest().await;
    }
    eventually("all are gone", || server.connections() == 0).await;
    Ok(())
}

/// The waiting task is not forgotten when another one uses the socket.
#[asyncio::test(clock = "real")]
async fn a_close_ends_the_receivers_of_other_tasks() -> Outcome {
    let server = serve(echo).await;
    let socket = Rc::new(Session::new().get(ws(&server)).websocket().await?);
    let receivers = [(); 2].map(|()| {
        let socket = socket.clone();
        spawn(async move { socket.recv().await })
    });
    asyncio::yield_now().await;
    timeout(LONG, socket.close()).await??;
    for receiver in receivers {
        assert_eq!(timeout(LONG, receiver).await??.unwrap(), None);
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn receivers_take_turns() -> Outcome {
    let server = serve(echo).await;
    let socket = Rc::new(Session::new().get(ws(&server)).websocket().await?);
    let trace = Rc::new(RefCell::new(Vec::new()));
    let receivers = [1, 2, 3].map(|n| {
        let (socket, trace) = (socket.clone(), trace.clone());
        spawn(async move {
            let message = socket.recv().await.unwrap().unwrap();
            trace.borrow_mut().push((n, message.to_string()));
        })
    });
    asyncio::yield_now().await;
    for text in ["a", "b", "c"] {
        socket.send(text).await?;
    }
    for receiver in receivers {
        timeout(LONG, receiver).await??;
    }
    let expected = [(1, "a"), (2, "b"), (3, "c")].map(|(n, text)| (n, text.to_owned()));
    assert_eq!(*trace.borrow(), expected);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_stopping_server_says_that_it_goes_away() -> Outcome {
    let ended = Rc::new(Cell::new(false));
    let server = serve({
        let ended = ended.clone();
        async move |socket: WebSocket| {
            echo(socket).await;
            ended.set(true);
        }
    })
    .await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    socket.send("hello").await?;
    socket.recv().await?;
    let (in_order, received) = futures::join!(server.shutdown(LONG), socket.recv());
    assert!(in_order && ended.get());
    assert_eq!(received?, None);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_handler_that_goes_on_is_cancelled_after_the_grace_period() -> Outcome {
    let trace = Rc::new(RefCell::new(Vec::new()));
    let server = serve({
        let trace = trace.clone();
        async move |socket: WebSocket| {
            trace.borrow_mut().push("begin");
            asyncio::on_cancel(std::future::pending::<()>(), async {
                socket.close_with(CloseCode::Away, "bye").await.ok();
                trace.borrow_mut().push("goodbye");
            })
            .await;
        }
    })
    .await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    eventually("it has begun", || !trace.borrow().is_empty()).await;
    let (in_order, received) =
        futures::join!(server.shutdown(Duration::from_millis(10)), socket.recv());
    assert!(!in_order);
    assert_eq!(received?, None);
    assert_eq!(*trace.borrow(), ["begin", "goodbye"]);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_client_that_never_reads_ends_at_the_write_timeout() -> Outcome {
    let options = Server::builder().write_timeout(Duration::from_millis(50));
    let server = start_with(options, async |mut request: Request| -> Response {
        match WebSocketUpgrade::of(&mut request) {
            Ok(upgrade) => upgrade.answer(
                async |socket: WebSocket| {
                    while socket.send(vec![0; 1 << 20]).await.is_ok() {}
                },
            ),
            Err(refusal) => refusal,
        }
    })
    .await;
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send(format!("{HANDSHAKE}\r\n")).await;
    eventually("it is served", || server.connections() == 1).await;
    eventually("it is cut", || server.connections() == 0).await;
    sleep(Duration::from_millis(1)).await;
    Ok(())
}

#[cfg(feature = "axum")]
#[asyncio::test(clock = "real")]
async fn it_is_an_extractor() -> Outcome {
    use asyncio::http::routing::{Router, get};
    let join = async |upgrade: WebSocketUpgrade| upgrade.answer(echo);
    let server = start(Router::new().route("/", get(join))).await;
    let socket = Session::new().get(ws(&server)).websocket().await?;
    socket.send("axum").await?;
    assert_eq!(socket.recv().await?, Some(Message::text("axum")));
    Ok(())
}

/// Real time, because the loop that closes has tasks with limits of time.
#[test]
fn a_websocket_that_outlives_its_loop_refuses_every_call() {
    let began = std::time::Instant::now();
    let (server, kept, receiver) = asyncio::run(async {
        let server = serve(echo).await;
        let session = Session::new();
        let open = async || session.get(ws(&server)).websocket().await.unwrap();
        let (kept, received) = (open().await, open().await);
        kept.send("x").await.unwrap();
        // The server cannot say goodbye to a client that takes nothing.
        let full = open().await;
        let send = async || timeout(Duration::from_millis(20), full.send(vec![0; 90_000])).await;
        while send().await.is_ok() {}
        let receiver = spawn(async move { received.recv().await });
        sleep(Duration::from_millis(1)).await;
        (server, kept, receiver)
    });
    assert!(
        began.elapsed() < LONG / 2,
        "no end of a websocket is waited for"
    );
    let refused = |what: &str, panics: bool| assert!(panics, "{what}");
    let panics = |call: &dyn Fn()| catch_unwind(AssertUnwindSafe(call)).is_err();
    refused("send", panics(&|| drop(asyncio::run(kept.send("late")))));
    refused("recv", panics(&|| drop(asyncio::run(kept.recv()))));
    refused("close", panics(&|| drop(asyncio::run(kept.close()))));
    assert!(asyncio::run(receiver).is_err());
    drop((server, kept));
}
