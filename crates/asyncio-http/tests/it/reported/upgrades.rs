//! Upgrades: while the server stops, given up, refused, and through a proxy.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};
use asyncio::http::{FetchError, Proxy, Request, Response, Session};
use asyncio::net::{TcpListener, TcpStream, copy_bidirectional};
use asyncio::sync::Event;
use asyncio::{spawn, timeout};

use crate::support::*;

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn echo(socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

fn accept(mut request: Request) -> Response {
    match WebSocketUpgrade::of(&mut request) {
        Ok(upgrade) => upgrade.answer(echo),
        Err(refusal) => refusal,
    }
}

/// An upgrade that a handler answers while its server stops is one, and says goodbye.
#[asyncio::test(clock = "real")]
async fn of_a_server_that_stops_say_goodbye() -> Outcome {
    let (asked, may_answer) = (Rc::new(Event::new()), Rc::new(Event::new()));
    let server = {
        let (asked, may_answer) = (asked.clone(), may_answer.clone());
        start(async move |request: Request| {
            asked.set();
            may_answer.wait().await;
            accept(request)
        })
        .await
    };
    let page = format!("ws://{}/", server.addresses()[0]);
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send(HANDSHAKE).await;
    let session = Session::new();
    let client = spawn(async move { session.get(page).websocket().await.unwrap().recv().await });
    eventually("both ask", || asked.is_set() && server.connections() == 2).await;
    let stopping = spawn(async move { server.shutdown(LONG).await });
    asyncio::yield_now().await;
    may_answer.set();

    let head = raw.until("\r\n\r\n").await;
    assert_eq!(status(&head), "101");
    let mut goodbye = [0; 4];
    raw.0.read_exact(&mut goodbye).await?;
    assert_eq!(
        (goodbye[0], &goodbye[2..]),
        (0x88, &1001_u16.to_be_bytes()[..])
    );
    // A ping, and the answer to the close frame.
    raw.send(b"\x89\x80\0\0\0\0\x88\x80\0\0\0\0").await;
    raw.rest().await;

    assert_eq!(timeout(LONG, client).await??.unwrap(), None);
    assert!(timeout(LONG, stopping).await??, "in order");
    Ok(())
}

/// The client is gone before the answer, or at once after it.
#[asyncio::test(clock = "real")]
async fn whose_client_is_gone_end() -> Outcome {
    let may_answer = Rc::new(Event::new());
    let server = {
        let may_answer = may_answer.clone();
        start(async move |request: Request| {
            may_answer.wait().await;
            accept(request)
        })
        .await
    };
    for is_early in [true, false] {
        let raw = Raw::connect(server.addresses()[0]).await;
        raw.send(HANDSHAKE).await;
        eventually("it asks", || server.connections() == 1).await;
        match is_early {
            true => drop(raw),
            false => {
                may_answer.set();
                raw.until("\r\n\r\n").await;
                // In the middle of a frame.
                raw.send(b"\x81\x85\x37\xfa").await;
                drop(raw);
            }
        }
        may_answer.set();
        eventually("it has ended", || server.connections() == 0).await;
        may_answer.clear();
    }
    Ok(())
}

/// A server that does not answer the request for a websocket, or answers something else without an end.
#[asyncio::test(clock = "real")]
async fn that_are_given_up_close_their_connection() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = format!("ws://{}/", listener.local_addr()?);
    let session = Session::new();

    let asking = spawn(session.get(&page).websocket());
    let raw = Raw(listener.accept().await?.0);
    raw.until("\r\n\r\n").await;
    asking.cancel();
    drop(asking);
    raw.rest().await;

    let asking = spawn(session.get(&page).websocket());
    let raw = Raw(listener.accept().await?.0);
    raw.until("\r\n\r\n").await;
    raw.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        .await;
    let error = timeout(LONG, asking).await??.unwrap_err();
    assert!(matches!(error, FetchError::Status(status, _) if status == 200));
    raw.rest().await;
    Ok(())
}

/// RFC 6455, section 4.1: a client asks its proxy for a tunnel.
#[asyncio::test(clock = "real")]
async fn lead_through_a_tunnel_of_the_proxy() -> Outcome {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let server = {
        let seen = seen.clone();
        start(async move |request: Request| {
            let has_secret = request.headers().contains_key("proxy-authorization");
            seen.borrow_mut()
                .push(format!("{} {has_secret}", request.uri()));
            accept(request)
        })
        .await
    };
    let address = server.addresses()[0];
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::new(&format!("http://me:pass@{}", listener.local_addr()?))?;
    let proxying = spawn(async move {
        let raw = Raw(listener.accept().await.unwrap().0);
        let asked = raw.until("\r\n\r\n").await;
        raw.send("HTTP/1.1 200 Connection established\r\nContent-Length: 9\r\n\r\n")
            .await;
        let mut onward = TcpStream::connect(address).await.unwrap();
        let mut raw = raw.0;
        copy_bidirectional(&mut raw, &mut onward).await.unwrap();
        asked
    });
    let session = Session::builder().proxy(proxy).build();
    let socket = session.get(format!("ws://{address}/chat")).websocket();
    let socket = timeout(LONG, socket).await??;
    socket.send("hello").await?;
    assert_eq!(socket.recv().await?.unwrap().to_string(), "hello");
    socket.close().await?;
    drop(socket);
    let asked = timeout(LONG, proxying).await??;
    assert!(
        asked.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
        "{asked}"
    );
    assert!(asked.contains("Proxy-Authorization: Basic "), "{asked}");
    assert_eq!(*seen.borrow(), ["/chat false"]);
    Ok(())
}

/// A proxy that refuses the tunnel, with a page that has no end.
#[asyncio::test(clock = "real")]
async fn that_the_proxy_refuses_are_errors_of_connecting() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::new(&listener.local_addr()?.to_string())?;
    let refusing = spawn(async move {
        for _ in 0..2 {
            let raw = Raw(listener.accept().await.unwrap().0);
            raw.until("\r\n\r\n").await;
            raw.send("HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n")
                .await;
            raw.rest().await;
        }
    });
    let session = Session::builder().proxy(proxy).build();
    let error = session
        .get("ws://a.example/")
        .websocket()
        .await
        .unwrap_err();
    assert!(
        error.is_connect() && error.to_string().contains("407"),
        "{error}"
    );
    let error = session.get("https://a.example/").send().await.unwrap_err();
    assert!(
        error.is_connect() && error.to_string().contains("407"),
        "{error}"
    );
    timeout(LONG, refusing).await??;
    Ok(())
}
