//! Other programs as peers: CPython's asyncio, openssl and nc.
//!
//! CI installs them (`.ci/run`). Elsewhere, a program that is missing is skipped with a note.
#![cfg(unix)]

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_pool::to_thread;
use futures::{AsyncRead, AsyncWrite};

#[path = "../support/mod.rs"]
mod support;
use support::run;

/// A program, with its output line by line. Its input is what it is given, and then ends.
struct Program {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts a program; `None` if it is missing, which is an error in CI.
    fn start(program: &str, arguments: &[&str], input: &str) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let is_ci = std::env::var_os("CI").is_some();
                assert!(!is_ci, "CI installs {program}: {error}");
                eprintln!("skipped: there is no {program}");
                return None;
            }
        };
        let mut stdin = child.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Some(Self { child, out })
    }

    /// The first of the next lines that `wanted` accepts; empty at the end.
    async fn line(&mut self, wanted: impl Fn(&str) -> bool + Send + 'static) -> String {
        let mut out = self.out.take().expect("one line is read at a time");
        let reading = to_thread(move || {
            loop {
                let mut line = String::new();
                let n = out.read_line(&mut line).unwrap();
                if n == 0 || wanted(line.trim()) {
                    return (line.trim().to_owned(), out);
                }
            }
        });
        let (line, out) = reading.await.unwrap();
        self.out = Some(out);
        line
    }

    /// Waits for its end. Whether it was content.
    async fn ended(mut self) -> bool {
        drop(self.out.take());
        to_thread(move || self.child.wait().unwrap().success())
            .await
            .unwrap()
    }
}

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/peer.py");

/// Answers lines in upper case, until the client says `bye`.
async fn shout<R, W>(mut reader: StreamReader<R>, writer: StreamWriter<W>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
    loop {
        let line = reader.readline().await?;
        if line.is_empty() || line == b"bye\n" {
            return Ok(());
        }
        writer.write(line.to_ascii_uppercase());
        writer.drain().await?;
    }
}

/// Speaks to a server that shouts.
async fn ask<R, W>(mut reader: StreamReader<R>, writer: StreamWriter<W>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
    for line in ["hello\n".to_owned(), "x".repeat(60_000) + "\n"] {
        writer.write(&line);
        assert_eq!(
            reader.readline().await.unwrap(),
            line.to_uppercase().as_bytes()
        );
    }
    writer.write("bye\n");
    assert_eq!(reader.read_to_end(10).await.unwrap(), b"");
    writer.close();
    writer.wait_closed().await.unwrap();
}

#[test]
fn asyncio_as_server() {
    run(async {
        let Some(mut python) = Program::start("python3", &[PEER, "server"], "") else {
            return;
        };
        let port: u16 = python.line(|_| true).await.parse().unwrap();
        let (reader, writer) = open_connection(("127.0.0.1", port)).await.unwrap();
        ask(reader, writer).await;
        assert!(python.ended().await);
    });
}

#[test]
fn asyncio_as_client() {
    run(async {
        let server = asyncio_net::Server::builder().reader_limit(1 << 22);
        let listener = support::listener().await;
        let port = listener.local_addr().unwrap().port().to_string();
        let server = server.start(shout, [listener]);
        let Some(mut python) = Program::start("python3", &[PEER, "client", &port], "") else {
            return;
        };
        assert_eq!(python.line(|_| true).await, "fine");
        assert!(python.ended().await);
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn nc_as_client() {
    run(async {
        let server = start_server(shout, "127.0.0.1:0").await.unwrap();
        let port = server.addresses()[0].port().to_string();
        // At the end of its input it shuts its side down.
        let arguments = ["-N", "127.0.0.1", &port];
        let Some(mut nc) = Program::start("nc", &arguments, "hello\nthere\n") else {
            return;
        };
        assert_eq!(nc.line(|_| true).await, "HELLO");
        assert_eq!(nc.line(|_| true).await, "THERE");
        assert!(nc.ended().await);
        server.close();
        server.wait_closed().await;
    });
}

#[cfg(all(feature = "tls", target_os = "linux"))]
mod over_tls {
    use super::*;

    use asyncio_net::TcpStream;
    use asyncio_net::tls::rustls::RootCertStore;
    use asyncio_net::tls::{TlsAcceptor, TlsConnector, start_tls_server};

    /// A certificate and its key, as files too.
    struct Certificate {
        acceptor: TlsAcceptor,
        connector: TlsConnector,
        directory: std::path::PathBuf,
        certificate: String,
        key: String,
    }

    impl Certificate {
        fn new(name: &str) -> Self {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let (pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
            let mut roots = RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            let directory = format!("asyncio-net-{name}-{}", std::process::id());
            let directory = std::env::temp_dir().join(directory);
            std::fs::create_dir_all(&directory).unwrap();
            let file = |name: &str, text: &str| {
                let path = directory.join(name);
                std::fs::write(&path, text).unwrap();
                path.to_str().unwrap().to_owned()
            };
            Self {
                acceptor: TlsAcceptor::from_pem(&pem, &key_pem).unwrap(),
                connector: TlsConnector::with_roots(roots),
                certificate: file("certificate.pem", &pem),
                key: file("key.pem", &key_pem),
                directory,
            }
        }
    }

    impl Drop for Certificate {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    #[test]
    fn asyncio_as_server() {
        run(async {
            let made = Certificate::new("python-server");
            let arguments = [PEER, "server", &made.certificate, &made.key];
            let Some(mut python) = Program::start("python3", &arguments, "") else {
                return;
            };
            let port: u16 = python.line(|_| true).await.parse().unwrap();
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let stream = made.connector.connect("localhost", stream).await.unwrap();
            let (reader, writer) = stream.into_buffered();
            ask(reader, writer).await;
            assert!(python.ended().await);
        });
    }

    #[test]
    fn asyncio_as_client() {
        run(async {
            let made = Certificate::new("python-client");
            let listener = support::listener().await;
            let port = listener.local_addr().unwrap().port().to_string();
            let server = asyncio_net::Server::builder().reader_limit(1 << 22);
            let server = server.start_tls(made.acceptor.clone(), shout, [listener]);
            let arguments = [PEER, "client", &port, &made.certificate];
            let Some(mut python) = Program::start("python3", &arguments, "") else {
                return;
            };
            assert_eq!(python.line(|_| true).await, "fine");
            assert!(python.ended().await);
            server.close();
            server.wait_closed().await;
        });
    }

    #[test]
    fn openssl_as_client() {
        for version in ["-tls1_2", "-tls1_3"] {
            run(async {
                let made = Certificate::new("openssl-client");
                let to = "127.0.0.1:0";
                let server = start_tls_server(made.acceptor.clone(), shout, to)
                    .await
                    .unwrap();
                let address = server.addresses()[0].to_string();
                let arguments = [
                    "s_client",
                    "-quiet",
                    "-verify_return_error",
                    version,
                    "-connect",
                    &address,
                    "-servername",
                    "localhost",
                    "-CAfile",
                    &made.certificate,
                ];
                let Some(mut openssl) = Program::start("openssl", &arguments, "hello\nbye\n")
                else {
                    return;
                };
                assert_eq!(openssl.line(|_| true).await, "HELLO");
                assert!(openssl.ended().await, "the end came in order");
                server.close();
                server.wait_closed().await;
            });
        }
    }

    #[test]
    fn openssl_as_server() {
        for version in ["-tls1_2", "-tls1_3"] {
            run(async {
                let made = Certificate::new("openssl-server");
                // It sends each line back, turned round.
                let arguments = [
                    "s_server",
                    "-rev",
                    "-naccept",
                    "1",
                    version,
                    "-accept",
                    "127.0.0.1:0",
                    "-cert",
                    &made.certificate,
                    "-key",
                    &made.key,
                ];
                let Some(mut openssl) = Program::start("openssl", &arguments, "") else {
                    return;
                };
                let accepts = openssl.line(|line| line.starts_with("ACCEPT ")).await;
                let address = accepts.strip_prefix("ACCEPT ").unwrap();
                let stream = TcpStream::connect(address).await.unwrap();
                let stream = made.connector.connect("localhost", stream).await.unwrap();
                let (mut reader, writer) = stream.into_buffered();
                writer.write("hello\n");
                assert_eq!(reader.readline().await.unwrap(), b"olleh\n");
                writer.close();
                writer.wait_closed().await.unwrap();
                drop(reader);
                openssl.ended().await;
            });
        }
    }
}
