//! New connections: TCP, the tunnel of a proxy, TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_net::TcpStream;
#[cfg(feature = "rustls")]
use asyncio_net::tls::TlsStream;
use futures_io::{AsyncRead, AsyncWrite};

use super::origin::Origin;
use super::proxy::{Proxy, Way};

/// The size of a proxy's answer.
const MAX_ANSWER: usize = 16 * 1024;

/// A connection of the client.
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "rustls")]
    Tls(TlsStream<TcpStream>),
}

impl Stream {
    /// The connection, if it is one without TLS.
    pub(crate) fn as_plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            #[cfg(feature = "rustls")]
            Self::Tls(_) => None,
        }
    }

    /// Whether both sides have agreed on HTTP/2.
    #[cfg(feature = "http2")]
    pub(crate) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => stream.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Connects to an origin.
pub(crate) async fn connect(
    way: Way<'_>,
    #[cfg(feature = "rustls")] tls: impl FnOnce() -> io::Result<asyncio_net::tls::TlsConnector>,
) -> io::Result<Stream> {
    let origin = way.origin;
    let next = way.proxy.map_or(origin, |proxy| &proxy.origin);
    let stream = TcpStream::connect((next.host.as_str(), next.port)).await?;
    if let Some(proxy) = way.tunnel() {
        open_tunnel(&stream, origin, proxy).await?;
    }
    if !origin.is_secure {
        return Ok(Stream::Plain(stream));
    }
    #[cfg(feature = "rustls")]
    return Ok(Stream::Tls(tls()?.connect(&origin.host, stream).await?));
    #[cfg(not(feature = "rustls"))]
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "`https` needs one of the features `tls`, `graviola` and `rustls`",
    ))
}

/// Has a proxy connect to the origin (RFC 9110, section 9.3.6).
async fn open_tunnel(stream: &TcpStream, to: &Origin, proxy: &Proxy) -> io::Result<()> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;

    let mut answer = Vec::new();
    let mut buf = [0; 1024];
    let mut begin = 0;
    let end = loop {
        let rest = &answer[begin..];
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
            let n = stream.read(&mut buf).await?;
            if n == 0 || answer.len() + n > MAX_ANSWER {
                return Err(io::Error::other("the proxy does not answer in HTTP"));
            }
            answer.extend_from_slice(&buf[..n]);
            continue;
        };
        let line = rest.split(|&byte| byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        let mut words = line.split(' ');
        let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
        let code = words.next().filter(|code| is_http && code.len() == 3);
        begin += end + 4;
        match code.unwrap_or_default() {
            "101" => {}
            // Other answers come before the last one (RFC 9110, section 15.2).
            early if early.starts_with('1') => continue,
            success if success.starts_with('2') => break begin,
            _ => {}
        }
        let message = format!("the proxy refuses: {line}");
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, message));
    };
    if end < answer.len() {
        // In TLS and in HTTP the client speaks first.
        return Err(io::Error::other("bytes follow the answer of the proxy"));
    }
    Ok(())
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_close(cx),
            #[cfg(feature = "rustls")]
            Self::Tls(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

#[cfg(test)]
mod tunnels {
    use asyncio_executors::gather;
    use asyncio_loop::run;
    use asyncio_net::TcpListener;

    use super::*;

    /// Opens a tunnel through a proxy that answers with these bytes and closes.
    async fn opened(answer: &str) -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        let (accepted, _) = listener.accept().await?;
        let answering = async move {
            let asked = accepted.read(&mut [0; 1024]).await?;
            assert!(asked > 0);
            accepted.write_all(answer.as_bytes()).await
        };
        let to = Origin::of(&"https://host".parse().unwrap()).unwrap();
        let proxy = Proxy::new("http://proxy").unwrap();
        let (opened, answered) = gather((open_tunnel(&stream, &to, &proxy), answering)).await;
        answered.and(opened)
    }

    #[test]
    fn a_tunnel_is_open_after_an_answer_with_success() {
        run(async {
            use io::ErrorKind::{ConnectionRefused, Other};
            for (answer, outcome) in [
                ("HTTP/1.1 200 OK\r\nServer: a\r\n\r\n", Ok(())),
                ("HTTP/1.0 299\r\n\r\n", Ok(())),
                ("HTTP/1.1 103 a\r\nb: c\r\n\r\nHTTP/1.1 200\r\n\r\n", Ok(())),
                (
                    "HTTP/1.1 102 a\r\n\r\nHTTP/1.1 407 no\r\n\r\n",
                    Err(ConnectionRefused),
                ),
                ("HTTP/1.1 101 a\r\n\r\n", Err(ConnectionRefused)),
                ("HTTP/1.1 407 no\r\n\r\n", Err(ConnectionRefused)),
                ("HTTP/1.1 20 no\r\n\r\n", Err(ConnectionRefused)),
                ("HTTP/1.1 2000 no\r\n\r\n", Err(ConnectionRefused)),
                ("ICY 200 OK\r\n\r\n", Err(ConnectionRefused)),
                ("HTTP/1.1 200 OK\r\nServer: a\r\n", Err(Other)),
                ("HTTP/1.1 200 OK\r\n\r\nsurplus", Err(Other)),
            ] {
                let opened = opened(answer).await.map_err(|error| error.kind());
                assert_eq!(opened, outcome, "{answer:?}");
            }
        });
    }

    #[test]
    fn an_answer_has_a_limit() {
        run(async {
            let long = |length: usize| format!("{:x<1$}\r\n\r\n", "HTTP/1.1 200 ", length - 4);
            opened(&long(MAX_ANSWER)).await.unwrap();
            let error = opened(&long(MAX_ANSWER + 1)).await.unwrap_err();
            assert!(error.to_string().contains("does not answer"), "{error}");
        });
    }
}

#[cfg(all(test, feature = "tls", target_os = "linux"))]
mod tests {
    use std::future::poll_fn;

    use asyncio_executors::try_gather;
    use asyncio_loop::run;
    use asyncio_net::TcpListener;
    use asyncio_net::tls::{TlsAcceptor, TlsConnector, rustls::RootCertStore};

    use super::*;

    /// A connection over TLS: the client's end, and the server's.
    async fn both_ends() -> io::Result<(Stream, TlsStream<TcpStream>)> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let key = made.signing_key.serialize_pem();
        let acceptor = TlsAcceptor::from_pem(&made.cert.pem(), &key).unwrap();
        let connector = TlsConnector::with_roots(roots);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        let shaken = (
            connector.connect("localhost", client),
            acceptor.accept(server),
        );
        let (client, server) = try_gather(shaken).await?;
        Ok((Stream::Tls(client), server))
    }

    async fn read(server: &mut TlsStream<TcpStream>, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *server).poll_read(cx, buf)).await
    }

    #[test]
    fn a_flush_waits_until_the_last_bytes_are_sent() {
        run(async {
            let (mut client, mut server) = both_ends().await.unwrap();
            let bytes = vec![7; 1 << 16];
            let mut sent = 0;
            // As much as the sockets and the client's buffer take.
            while let Poll::Ready(written) =
                poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_write(cx, &bytes))).await
            {
                sent += written.unwrap();
            }
            let flushed = poll_fn(|cx| Poll::Ready(Pin::new(&mut client).poll_flush(cx))).await;
            assert!(flushed.is_pending());
            let reading = async {
                let (mut received, mut buf) = (0, vec![0; 1 << 16]);
                while received < sent {
                    received += read(&mut server, &mut buf).await?;
                }
                Ok(received)
            };
            let flushing = poll_fn(|cx| Pin::new(&mut client).poll_flush(cx));
            let ((), received) = try_gather((flushing, reading)).await.unwrap();
            assert_eq!(received, sent);
        });
    }

    /// Otherwise the server takes it for a connection that was cut.
    #[test]
    fn a_close_says_that_it_is_the_end() {
        run(async {
            let (mut client, mut server) = both_ends().await.unwrap();
            poll_fn(|cx| Pin::new(&mut client).poll_close(cx))
                .await
                .unwrap();
            assert_eq!(read(&mut server, &mut [0]).await.unwrap(), 0);
        });
    }
}
