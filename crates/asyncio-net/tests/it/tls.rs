//! TLS: handshakes, certificates, ends, and what a peer can do wrong.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use asyncio_loop::sleep;
use asyncio_net::tls::rustls::{self, RootCertStore};
use asyncio_net::tls::{TlsAcceptor, TlsConnector, TlsStream};
use asyncio_net::{MemoryStream, TcpStream, memory_pair};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::tls::both_sides;
use crate::support::{listener, pair, run, run_virtual};

type Pair = (TlsStream<MemoryStream>, TlsStream<MemoryStream>);

/// Both ends of a TLS connection in memory: the client's and the server's.
async fn connected(acceptor: &TlsAcceptor, connector: &TlsConnector) -> io::Result<Pair> {
    let (ours, theirs) = memory_pair(1000);
    let connecting = connector.connect("localhost", ours);
    futures::try_join!(connecting, acceptor.accept(theirs))
}

mod handshakes {
    use super::*;

    #[test]
    fn agree_on_a_protocol_and_know_the_peer() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let acceptor = acceptor.alpn(["http/1.1", "h2"]);
            let connector = connector.alpn(["h2", "http/1.1"]);
            let (client, server) = connected(&acceptor, &connector).await.unwrap();
            assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(server.server_name(), Some("localhost"));
            assert_eq!(client.peer_certificates().len(), 1);
            assert!(server.peer_certificates().is_empty());
            let version = client.protocol_version();
            assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
        });
    }

    #[test]
    fn fail_for_a_certificate_of_another_name_or_authority() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (_, stranger) = both_sides();
            for (connector, name) in [(&connector, "example.org"), (&stranger, "localhost")] {
                let (ours, theirs) = memory_pair(1000);
                let connecting = connector.connect(name, ours);
                let (client, server) = futures::join!(connecting, acceptor.accept(theirs));
                let error = client.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains("certificate"), "{error}");
                assert!(server.is_err(), "the client has told it");
            }
        });
    }

    #[test]
    fn fail_for_a_name_that_is_none() {
        run_virtual(async {
            let (_, connector) = both_sides();
            let error = connector
                .connect("not a name", memory_pair(1).0)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("not a name"), "{error}");
        });
    }

    #[test]
    fn fail_for_a_client_that_does_not_speak_tls() {
        run_virtual(async {
            let (acceptor, _) = both_sides();
            let (ours, theirs) = memory_pair(1000);
            ours.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
                .unwrap();
            let error = acceptor.accept(theirs).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        });
    }

    #[test]
    fn fail_when_the_peer_goes() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = memory_pair(1000);
            drop(ours);
            let error = acceptor.accept(theirs).await.unwrap_err();
            assert!(matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ));
            let (ours, theirs) = memory_pair(1000);
            let hello = async {
                let _ = theirs.read(&mut [0; 10]).await;
                drop(theirs);
            };
            let (error, ()) = futures::join!(connector.connect("localhost", ours), hello);
            let kind = error.unwrap_err().kind();
            assert!(
                matches!(
                    kind,
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ),
                "{kind}"
            );
        });
    }

    #[test]
    fn have_a_limit() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (_silent, theirs) = memory_pair(1000);
            let error = acceptor.accept(theirs).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "the TLS handshake took longer than 60s");
            let (ours, _silent) = memory_pair(1000);
            let connector = connector.handshake_timeout(Duration::from_secs(5));
            let error = connector.connect("localhost", ours).await.unwrap_err();
            assert_eq!(error.to_string(), "the TLS handshake took longer than 5s");
        });
    }

    /// (rustls does not read while it has something to send, so each direction needs room for its shortest message.)
    #[test]
    fn in_small_pieces_are_as_good() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = memory_pair(8);
            let mut buf = [0; 6];
            // Each side goes on by itself: the server's last words of the handshake are read with its first bytes.
            let read = async {
                let mut client = connector.connect("localhost", ours).await.unwrap();
                client.read_exact(&mut buf).await.unwrap();
            };
            let write = async {
                let mut server = acceptor.accept(theirs).await.unwrap();
                server.write_all(b"slowly").await.unwrap();
                server.flush().await.unwrap();
            };
            futures::join!(read, write);
            assert_eq!(&buf, b"slowly");
        });
    }

    #[test]
    fn may_ask_the_client_for_a_certificate() {
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let client = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        let roots_of = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            let mut roots = RootCertStore::empty();
            roots.add(made.cert.der().clone()).unwrap();
            roots
        };
        let key_of = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots_of(&client)),
            provider.clone(),
        );
        let acceptor = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![server.cert.der().clone()], key_of(&server));
        let acceptor = TlsAcceptor::new(acceptor.unwrap());
        let connector = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots_of(&server))
            .with_client_auth_cert(vec![client.cert.der().clone()], key_of(&client));
        let connector = TlsConnector::new(connector.unwrap());
        let without = TlsConnector::with_roots(roots_of(&server));
        run_virtual(async {
            let (_client, server) = connected(&acceptor, &connector).await.unwrap();
            assert_eq!(server.peer_certificates(), [client.cert.der().clone()]);
            let (ours, theirs) = memory_pair(1000);
            let connecting = without.connect("localhost", ours);
            let (_, server) = futures::join!(connecting, acceptor.accept(theirs));
            assert!(server.is_err());
        });
    }
}

mod ends {
    use super::*;

    #[test]
    fn in_order_are_the_end_of_reading_and_the_other_direction_goes_on() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (mut client, mut server) = connected(&acceptor, &connector).await.unwrap();
            client.write_all(b"last").await.unwrap();
            client.shutdown().await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last");
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            all.clear();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"answer");
        });
    }

    #[test]
    fn without_a_goodbye_are_an_error() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (mut client, mut server) = connected(&acceptor, &connector).await.unwrap();
            client.write_all(b"cut").await.unwrap();
            client.flush().await.unwrap();
            drop(client);
            let mut all = Vec::new();
            let error = server.read_to_end(&mut all).await.unwrap_err();
            assert_eq!(
                (error.kind(), &all[..]),
                (io::ErrorKind::UnexpectedEof, &b"cut"[..])
            );
        });
    }

    #[test]
    fn have_a_limit() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (mut client, server) = connected(&acceptor, &connector).await.unwrap();
            let filled = async { client.write_all(&vec![0; 100_000]).await };
            let short = Box::pin(sleep(Duration::from_secs(1)));
            futures::future::select(Box::pin(filled), short).await;
            let error = client.shutdown().await.unwrap_err();
            assert_eq!(error.to_string(), "the TLS shutdown took longer than 30s");
            drop(server);
        });
    }
}

/// rustls takes more than the stream below, which is full, and keeps it.
#[test]
fn closing_a_writer_has_a_limit_though_the_peer_never_reads() {
    run_virtual(async {
        let (acceptor, connector) = both_sides();
        let connector = connector.shutdown_timeout(Duration::from_secs(7));
        let (client, _server) = connected(&acceptor, &connector).await.unwrap();
        let (_reader, writer) = client.into_buffered();
        writer.write(vec![7; 1 << 20]);
        sleep(Duration::from_secs(60)).await;
        let closed_at = asyncio_loop::time();
        writer.close();
        let error = writer.wait_closed().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(asyncio_loop::time() - closed_at, Duration::from_secs(7));
    });
}

#[test]
fn a_writer_sends_what_tls_has_kept() {
    run_virtual(async {
        let (acceptor, connector) = both_sides();
        let (client, mut server) = connected(&acceptor, &connector).await.unwrap();
        let (_reader, writer) = client.into_buffered();
        let bytes = vec![7; 20_000];
        writer.write(&bytes);
        assert_eq!(writer.buffered(), 0, "rustls has all of it");
        let mut received = vec![0; 20_000];
        let reading = server.read_exact(&mut received);
        let reading = asyncio_executors::timeout(Duration::from_secs(1), reading);
        reading.await.unwrap().unwrap();
        assert_eq!(received, bytes);
    });
}

/// Faults that other libraries were reported to have.
mod reported {
    use super::*;
    use futures_rustls::rustls::pki_types::ServerName;

    fn localhost() -> ServerName<'static> {
        "localhost".try_into().unwrap()
    }

    /// A client whose connection can be reached, and a server of ours.
    async fn reachable(
        acceptor: &TlsAcceptor,
        config: &Arc<rustls::ClientConfig>,
    ) -> (
        futures_rustls::client::TlsStream<MemoryStream>,
        TlsStream<MemoryStream>,
    ) {
        let (ours, theirs) = memory_pair(1000);
        let connector = futures_rustls::TlsConnector::from(config.clone());
        let connecting = connector.connect(localhost(), ours);
        let both = futures::try_join!(connecting, acceptor.accept(theirs));
        both.unwrap()
    }

    #[test]
    fn keys_are_renewed_by_either_side() {
        run_virtual(async {
            let (acceptor, config) = acceptor_and_config();
            let (mut client, mut server) = reachable(&acceptor, &config).await;
            let mut buf = [0; 5];
            for _ in 0..3 {
                client.get_mut().1.refresh_traffic_keys().unwrap();
                client.write_all(b"there").await.unwrap();
                client.flush().await.unwrap();
                server.read_exact(&mut buf).await.unwrap();
                assert_eq!(&buf, b"there");
                server.write_all(b"again").await.unwrap();
                server.flush().await.unwrap();
                client.read_exact(&mut buf).await.unwrap();
                assert_eq!(&buf, b"again");
            }
            // A message of its own, while the server only waits.
            client.get_mut().1.refresh_traffic_keys().unwrap();
            client.flush().await.unwrap();
            let waiting = async { server.read(&mut buf).await };
            let short = Box::pin(sleep(Duration::from_secs(1)));
            let (waiting, short) = (std::pin::pin!(waiting), short);
            assert!(matches!(
                futures::future::select(waiting, short).await,
                futures::future::Either::Right(_)
            ));
            client.close().await.unwrap();
            assert_eq!(server.read(&mut buf).await.unwrap(), 0);
        });
    }

    #[test]
    fn bytes_behind_the_goodbye_are_ignored() {
        run_virtual(async {
            let (acceptor, config) = acceptor_and_config();
            let (mut client, mut server) = reachable(&acceptor, &config).await;
            client.write_all(b"last").await.unwrap();
            client.get_mut().1.send_close_notify();
            client.flush().await.unwrap();
            let below = client.get_mut().0;
            below.write_all(b"\x17\x03\x03\0\x05garbage").await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"last");
            assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            all.clear();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"answer");
        });
    }

    #[test]
    fn garbage_in_the_middle_is_an_error_of_both_sides() {
        run_virtual(async {
            let (acceptor, config) = acceptor_and_config();
            let (mut client, mut server) = reachable(&acceptor, &config).await;
            let below = client.get_mut().0;
            below.write_all(b"\x17\x03\x03\0\x20").await.unwrap();
            below.write_all(&[7; 32]).await.unwrap();
            let error = server.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            // The client is told.
            let error = client.read(&mut [0; 8]).await.unwrap_err();
            assert!(error.to_string().contains("alert"), "{error}");
        });
    }

    #[test]
    fn early_data_are_refused_and_not_lost() {
        run_virtual(async {
            use std::io::Write as _;
            let (mut server_config, mut client_config) = configs();
            server_config.max_early_data_size = 1024;
            client_config.enable_early_data = true;
            let (acceptor, config) = (TlsAcceptor::new(server_config), Arc::new(client_config));
            let (mut client, mut server) = reachable(&acceptor, &config).await;
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut [0]).await.unwrap(); // with the tickets

            let (ours, theirs) = memory_pair(1000);
            let connector = futures_rustls::TlsConnector::from(config);
            let connecting = connector.connect_with(localhost(), ours, |session| {
                if let Some(mut early) = session.early_data() {
                    early.write_all(b"early").unwrap();
                }
            });
            let both = futures::try_join!(connecting, acceptor.accept(theirs));
            let (mut client, mut server) = both.unwrap();
            if !client.get_ref().1.is_early_data_accepted() {
                client.write_all(b"early").await.unwrap();
            }
            client.close().await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"early");
        });
    }

    #[test]
    fn a_failed_handshake_spoils_no_session() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (stranger, _) = both_sides();
            use rustls::HandshakeKind::{Full, Resumed};
            for (n, kind) in [Full, Resumed, Resumed].into_iter().enumerate() {
                let both = connected(&acceptor, &connector).await;
                let (mut client, mut server) = both.unwrap();
                server.write_all(b"x").await.unwrap();
                server.flush().await.unwrap();
                client.read_exact(&mut [0]).await.unwrap(); // with two tickets
                assert_eq!(client.handshake_kind(), Some(kind), "{n}");
                // One of them is lost to a stranger at the same name, or to a server that goes in the middle.
                if n == 0 {
                    assert!(connected(&stranger, &connector).await.is_err());
                    continue;
                }
                let (ours, theirs) = memory_pair(1000);
                let going = async {
                    let read = theirs.read(&mut [0; 100]).await;
                    drop(theirs);
                    read
                };
                let (client, _) = futures::join!(connector.connect("localhost", ours), going);
                assert!(client.is_err());
            }
        });
    }

    /// The configurations of a server and of a client that trusts it.
    fn configs() -> (rustls::ServerConfig, rustls::ClientConfig) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.unwrap());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (server.unwrap(), client)
    }

    fn acceptor_and_config() -> (TlsAcceptor, Arc<rustls::ClientConfig>) {
        let (server, client) = configs();
        (TlsAcceptor::new(server), Arc::new(client))
    }
}

mod over_tcp {
    use super::*;

    #[test]
    fn much_goes_both_ways_at_once() {
        const MUCH: usize = 4 << 20;
        run(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = pair().await;
            let connecting = connector.connect("localhost", ours);
            let both = futures::try_join!(connecting, acceptor.accept(theirs));
            let (client, server) = both.unwrap();
            let exchange = async |stream: TlsStream<TcpStream>, byte: u8| {
                let (mut reader, writer) = stream.into_buffered();
                let send = async {
                    for _ in 0..MUCH / 1024 {
                        writer.write([byte; 1024]);
                        writer.drain().await.unwrap();
                    }
                    writer.close();
                    writer.wait_closed().await.unwrap();
                };
                let receive = async { reader.read_to_end(2 * MUCH).await.unwrap().to_vec() };
                futures::join!(send, receive).1
            };
            let (from_server, from_client) =
                futures::join!(exchange(client, 1), exchange(server, 2));
            assert!(from_server.len() == MUCH && from_server.iter().all(|byte| *byte == 2));
            assert!(from_client.len() == MUCH && from_client.iter().all(|byte| *byte == 1));
        });
    }

    #[test]
    fn a_plain_conversation_is_upgraded() {
        run(async {
            let (acceptor, connector) = both_sides();
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let server = async {
                let stream = listener.accept().await.unwrap().0;
                let mut buf = [0; 9];
                stream.read_exact(&mut buf).await.unwrap();
                assert_eq!(&buf, b"STARTTLS\n");
                stream.write_all(b"go ahead\n").await.unwrap();
                let (mut reader, writer) = acceptor.accept(stream).await.unwrap().into_buffered();
                writer.write(reader.readline().await.unwrap());
                writer.drain().await.unwrap();
                writer.close();
                writer.wait_closed().await.unwrap();
            };
            let client = async {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"STARTTLS\n").await.unwrap();
                let mut buf = [0; 9];
                stream.read_exact(&mut buf).await.unwrap();
                let stream = connector.connect("localhost", stream).await.unwrap();
                let (mut reader, writer) = stream.into_buffered();
                writer.write("secret\n");
                assert_eq!(reader.readline().await.unwrap(), b"secret\n");
            };
            futures::join!(server, client);
        });
    }

    /// A client that does not speak TLS, and a silent client, are no trouble for the next.
    #[test]
    fn a_bad_client_is_the_end_of_its_own_connection_only() {
        run(async {
            let (acceptor, connector) = both_sides();
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let serve = async {
                let mut clients = futures::stream::FuturesUnordered::new();
                for _ in 0..3 {
                    let stream = listener.accept().await.unwrap().0;
                    let acceptor = &acceptor;
                    clients.push(async move {
                        let (mut reader, writer) = acceptor.accept(stream).await?.into_buffered();
                        writer.write(reader.readline().await?);
                        writer.close();
                        writer.wait_closed().await
                    });
                }
                let mut outcomes = Vec::new();
                while let Some(outcome) = futures::StreamExt::next(&mut clients).await {
                    outcomes.push(outcome.is_ok());
                }
                outcomes.sort_unstable();
                assert_eq!(outcomes, [false, false, true]);
            };
            let visit = async {
                let silent = TcpStream::connect(address).await.unwrap();
                let garbage = TcpStream::connect(address).await.unwrap();
                garbage.write_all(&[0xff; 100]).await.unwrap();
                let stream = TcpStream::connect(address).await.unwrap();
                let stream = connector.connect("localhost", stream).await.unwrap();
                let (mut reader, writer) = stream.into_buffered();
                writer.write("fine\n");
                assert_eq!(reader.readline().await.unwrap(), b"fine\n");
                drop(silent);
                let mut answer = Vec::new();
                let _ = (&garbage).read_to_end(&mut answer).await;
                assert_eq!(answer.first(), Some(&21), "an alert");
            };
            futures::join!(serve, visit);
        });
    }
}

mod configuration {
    use super::*;

    #[test]
    fn that_is_no_pem_is_refused() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (cert, key) in [
            ("", &key[..]),
            (&cert[..], ""),
            ("no pem", &key),
            (&cert, &other.signing_key.serialize_pem()),
        ] {
            let error = TlsAcceptor::from_pem(cert, key).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        assert!(TlsAcceptor::from_pem(&cert, &key).is_ok());
    }

    #[test]
    fn of_the_system_trusts_no_certificate_of_ours() {
        // Without any roots on the machine there is nothing to try.
        let Ok(connector) = TlsConnector::with_system_roots() else {
            return;
        };
        let (acceptor, _) = both_sides();
        run_virtual(async {
            let error = connected(&acceptor, &connector).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        });
    }
}

#[cfg(feature = "graviola")]
mod graviola {
    use super::*;
    use asyncio_net::tls::graviola::default_provider;
    use asyncio_net::tls::rustls::pki_types::pem::PemObject as _;
    use asyncio_net::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use asyncio_net::tls::rustls::{ClientConfig, ServerConfig};

    /// Whether this processor has the instructions.
    fn is_here() -> bool {
        #[cfg(target_arch = "x86_64")]
        let is_here = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("adx");
        #[cfg(not(target_arch = "x86_64"))]
        let is_here = cfg!(target_arch = "aarch64");
        is_here
    }

    /// Both sides with graviola.
    fn its_sides() -> (TlsAcceptor, TlsConnector, TlsAcceptor, TlsConnector) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots.clone());
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let server = server
            .with_no_client_auth()
            .with_single_cert(chain, private);
        (
            TlsAcceptor::new(server.unwrap()),
            TlsConnector::new(client.with_no_client_auth()),
            TlsAcceptor::from_pem(&pem, &key).unwrap(),
            TlsConnector::with_roots(roots),
        )
    }

    #[test]
    fn speaks_to_ring_and_to_itself() {
        if !is_here() {
            return;
        }
        run_virtual(async {
            let (acceptor, connector, ring_acceptor, ring_connector) = its_sides();
            for (acceptor, connector) in [
                (&acceptor, &connector),
                (&acceptor, &ring_connector),
                (&ring_acceptor, &connector),
            ] {
                let (mut client, mut server) = connected(acceptor, connector).await.unwrap();
                let version = client.protocol_version();
                assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
                client.write_all(b"hello").await.unwrap();
                client.flush().await.unwrap();
                let mut buf = [0; 5];
                server.read_exact(&mut buf).await.unwrap();
                assert_eq!(&buf, b"hello");
            }
        });
    }
}
