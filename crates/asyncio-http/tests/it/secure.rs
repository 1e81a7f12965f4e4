//! HTTPS: HTTP/1 and HTTP/2 by ALPN, tunnels, websockets, and clients that speak no TLS.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::{
    FetchError, Proxy, Request, Server, ServerBuilder, Session, SessionBuilder, Version,
};
use asyncio::net::tls::{TlsAcceptor, TlsConnector, rustls};
use asyncio::net::{TcpListener, TcpStream, copy_bidirectional, memory_pair};
use asyncio::sync::{Event, Queue};
use asyncio::{spawn, timeout};

/// Both sides of TLS, which trust each other.
fn certified() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = made.signing_key.serialize_pem();
    let acceptor = TlsAcceptor::from_pem(&made.cert.pem(), &key).unwrap();
    (acceptor, TlsConnector::with_roots(roots))
}

/// The options of a server and of a session that trust each other.
fn both_sides() -> (ServerBuilder, SessionBuilder) {
    let (acceptor, connector) = certified();
    (
        Server::builder().tls(acceptor),
        Session::builder().tls(connector),
    )
}

fn secure_url(server: &Server, scheme: &str) -> String {
    format!("{scheme}://localhost:{}/", server.addresses()[0].port())
}

async fn tell(request: Request) -> String {
    format!("{:?} {}", request.version(), request.uri().path())
}

#[asyncio::test(clock = "real")]
async fn both_sides_agree_on_a_version() -> Outcome {
    let (options, sessions) = both_sides();
    let server = start_with(options.clone(), tell).await;
    let response = sessions
        .clone()
        .build()
        .get(secure_url(&server, "https"))
        .send()
        .await?;
    #[cfg(feature = "http2")]
    assert_eq!(response.version(), Version::HTTP_2);
    assert!(response.text().await?.ends_with(" /"));
    #[cfg(feature = "http2")]
    {
        let (old_options, old_sessions) = both_sides();
        let old = start_with(old_options.http2(false), tell).await;
        let session = old_sessions.build();
        // The first of many finds out, and all are served.
        let fetches = (0..30).map(|_| async {
            session
                .get(secure_url(&old, "https"))
                .send()
                .await?
                .text()
                .await
        });
        let texts = asyncio::try_gather_iter(fetches).await?;
        assert!(texts.iter().all(|text| text == "HTTP/1.1 /"));
        let old = sessions.http2(false).build();
        let response = old.get(secure_url(&server, "https")).send().await?;
        assert_eq!(response.version(), Version::HTTP_11);
    }
    assert!(server.shutdown(LONG).await);
    Ok(())
}

#[cfg(feature = "http2")]
#[asyncio::test(clock = "real")]
async fn many_fetches_at_once_make_one_http2_connection() -> Outcome {
    let (options, sessions) = both_sides();
    let server = start_with(options, tell).await;
    let session = sessions.build();
    let fetches = (0..100).map(|_| async {
        session
            .get(secure_url(&server, "https"))
            .send()
            .await?
            .text()
            .await
    });
    asyncio::try_gather_iter(fetches).await?;
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_certificate_of_nobody_is_an_error_of_connecting() -> Outcome {
    let (options, _) = both_sides();
    let (_, sessions) = both_sides();
    let server = start_with(options, tell).await;
    let error = sessions
        .build()
        .get(secure_url(&server, "https"))
        .send()
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error}");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_tunnel_leads_through_a_proxy() -> Outcome {
    let (options, sessions) = both_sides();
    let server = start_with(options, tell).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::new(&format!("http://me:secret@{}", listener.local_addr()?))?;
    let heads = std::rc::Rc::new(RefCell::new(Vec::new()));
    let proxying = spawn({
        let heads = heads.clone();
        let to = server.addresses()[0];
        async move {
            let inner = Raw(listener.accept().await?.0);
            let head = inner.until("\r\n\r\n").await;
            heads.borrow_mut().push(head);
            let outer = TcpStream::connect(to).await?;
            inner
                .send("HTTP/1.1 200 Connection established\r\n\r\n")
                .await;
            copy_bidirectional(&mut { inner.0 }, &mut { outer }).await
        }
    });
    let session = sessions.proxy(proxy).build();
    let url = secure_url(&server, "https");
    assert!(
        session
            .get(&url)
            .send()
            .await?
            .text()
            .await?
            .ends_with(" /")
    );
    let head = heads.borrow()[0].clone();
    let host = format!("localhost:{}", server.addresses()[0].port());
    assert!(
        head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n")),
        "{head}"
    );
    assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
    drop(session);
    proxying.cancel();
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn clients_without_tls_end_their_connection() -> Outcome {
    let errors = std::rc::Rc::new(RefCell::new(0));
    let (options, sessions) = both_sides();
    let options = options
        .keep_alive_timeout(Duration::from_millis(100))
        .on_error({
            let errors = errors.clone();
            move |_, _| *errors.borrow_mut() += 1
        });
    let server = start_with(options, tell).await;
    answers(&server, "GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(*errors.borrow(), 1);
    // A client that says nothing, and a client that stops in the middle of its hello.
    answers(&server, "").await;
    answers(&server, "\x16\x03\x01\x02\x00\x01\x00").await;
    eventually("all are gone", || server.connections() == 0).await;
    let text = sessions
        .build()
        .get(secure_url(&server, "https"))
        .send()
        .await?
        .text()
        .await?;
    assert!(text.ends_with(" /"));
    Ok(())
}

#[cfg(feature = "websocket")]
#[asyncio::test(clock = "real")]
async fn a_websocket_speaks_http1_whatever_the_server_prefers() -> Outcome {
    use asyncio::http::Response;
    use asyncio::http::websocket::{Message, WebSocket, WebSocketUpgrade};
    let (options, sessions) = both_sides();
    let server = start_with(options, async |mut request: Request| -> Response {
        match WebSocketUpgrade::of(&mut request) {
            Ok(upgrade) => upgrade.answer(async |socket: WebSocket| {
                while let Ok(Some(message)) = socket.recv().await {
                    socket.send(message).await.unwrap();
                }
            }),
            Err(refusal) => refusal,
        }
    })
    .await;
    let socket = sessions
        .build()
        .get(secure_url(&server, "wss"))
        .websocket()
        .await?;
    socket.send("secret").await?;
    assert_eq!(socket.recv().await?, Some(Message::text("secret")));
    socket.close().await?;
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn https_needs_tls_on_the_other_side() -> Outcome {
    let server = start(tell).await;
    let (_, sessions) = both_sides();
    let error = sessions
        .build()
        .get(secure_url(&server, "https"))
        .send()
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
    Ok(())
}

/// Without the goodbye of TLS, an attacker may have cut the body off.
#[asyncio::test(clock = "real")]
async fn a_body_that_ends_with_the_connection_needs_a_goodbye() -> Outcome {
    use futures::AsyncWriteExt as _;

    let (acceptor, connector) = certified();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let page = format!("https://localhost:{}/", listener.local_addr()?.port());
    let serving = spawn(async move {
        for says_goodbye in [true, false] {
            let stream = listener.accept().await.unwrap().0;
            let mut stream = acceptor.accept(stream).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\n\r\nperhaps whole";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
            if says_goodbye {
                stream.shutdown().await.unwrap();
            }
        }
    });
    let session = Session::builder().tls(connector);
    let session = session.build();
    let fetch = async || session.get(&page).send().await?.text().await;
    assert_eq!(timeout(LONG, fetch()).await??, "perhaps whole");
    let cut = timeout(LONG, fetch()).await?;
    assert!(matches!(cut, Err(FetchError::Exchange(_))), "{cut:?}");
    serving.await?;
    Ok(())
}

/// A client that has taken its answer is not slow, however long the next one takes.
#[asyncio::test]
async fn a_client_that_was_slow_once_is_not_cut_off_later() -> Outcome {
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};

    let (acceptor, connector) = certified();
    let clients = Rc::new(Queue::new(0));
    let server = Server::builder()
        .tls(acceptor)
        .write_timeout(Duration::from_secs(2));
    let server = server.start(
        async |request: Request| {
            if request.uri().path() == "/slow" {
                asyncio::sleep(Duration::from_secs(50)).await;
            }
            "x".repeat(10_000)
        },
        [InMemory(clients.clone())],
    );
    // The answer fits in the buffer of TLS, and not in the stream.
    let (ours, theirs) = memory_pair(256);
    clients.put_nowait(theirs).unwrap();
    let mut client = connector.connect("localhost", ours).await?;
    for path in ["/", "/slow"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await?;
        client.flush().await?;
        let mut answer = Vec::new();
        while !answer.ends_with(&[b'x'; 10_000]) {
            let mut buf = [0; 1024];
            let n = client.read(&mut buf).await?;
            assert!(n > 0, "the server cuts the connection off");
            answer.extend_from_slice(&buf[..n]);
        }
    }
    assert!(server.shutdown(LONG).await);
    Ok(())
}

/// Flushed bytes reach the client, though nothing is written or read after them.
#[asyncio::test]
async fn an_upgraded_connection_flushes() -> Outcome {
    use asyncio::http::upgrade;
    use futures::{AsyncReadExt as _, AsyncWriteExt as _};

    let (acceptor, connector) = certified();
    let (clients, has_all) = (Rc::new(Queue::new(0)), Rc::new(Event::new()));
    let until = has_all.clone();
    let server = Server::builder().tls(acceptor).start(
        async move |mut request: Request| {
            let until = until.clone();
            upgrade(&mut request, "echo", async move |mut stream| {
                stream.write_all(&[b'x'; 10_000]).await.unwrap();
                stream.flush().await.unwrap();
                until.wait().await;
            })
        },
        [InMemory(clients.clone())],
    );
    // The bytes fit in the buffer of TLS, and not in the stream.
    let (ours, theirs) = memory_pair(256);
    clients.put_nowait(theirs).unwrap();
    let mut client = connector.connect("localhost", ours).await?;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    client.write_all(request.as_bytes()).await?;
    client.flush().await?;
    let reading = async {
        let mut answer = Vec::new();
        while !answer.ends_with(&[b'x'; 10_000]) {
            let mut buf = [0; 1024];
            let n = client.read(&mut buf).await?;
            answer.extend_from_slice(&buf[..n]);
        }
        std::io::Result::Ok(())
    };
    timeout(LONG, reading).await??;
    has_all.set();
    assert!(server.shutdown(LONG).await);
    Ok(())
}
