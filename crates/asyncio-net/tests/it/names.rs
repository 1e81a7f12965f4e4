//! Names of hosts, and connections to hosts with several addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use asyncio_net::{TcpStream, getaddrinfo, getnameinfo};

use crate::support::{listener, run};

mod lookups {
    use super::*;

    #[test]
    fn the_systems_resolver_is_asked() {
        run(async {
            let addresses = getaddrinfo("localhost", 7).await.unwrap();
            let is_local = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 7;
            assert!(!addresses.is_empty() && addresses.iter().all(is_local));
        });
    }

    #[test]
    fn a_literal_is_taken_as_it_is() {
        run(async {
            let addresses = getaddrinfo("2001:db8::1", 80).await.unwrap();
            assert_eq!(addresses, ["[2001:db8::1]:80".parse().unwrap()]);
        });
    }

    /// `.invalid` never resolves (RFC 6761). With or without a network, the error names the host.
    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        run(async {
            let error = getaddrinfo("no-such-host.invalid", 80).await.unwrap_err();
            assert!(
                error.to_string().contains("no-such-host.invalid"),
                "{error}"
            );
            let error = TcpStream::connect("no-such-host.invalid:80")
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("no-such-host.invalid"),
                "{error}"
            );
        });
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        run(async {
            assert!(getaddrinfo("nul\0byte", 80).await.is_err());
            assert!(getaddrinfo("", 80).await.is_err());
        });
    }

    #[test]
    fn others_run_meanwhile_and_a_cancelled_lookup_is_harmless() {
        run(async {
            let lookups: Vec<_> = (0..50)
                .map(|_| asyncio_loop::spawn(getaddrinfo("localhost", 1)))
                .collect();
            asyncio_loop::yield_now().await;
            for (n, lookup) in lookups.into_iter().enumerate() {
                if n % 2 == 0 {
                    drop(lookup);
                } else {
                    assert!(lookup.await.unwrap().is_ok());
                }
            }
        });
    }

    #[test]
    fn an_address_has_a_name() {
        run(async {
            let (host, service) = getnameinfo((Ipv4Addr::LOCALHOST, 80).into()).await.unwrap();
            assert!(!host.is_empty() && !service.is_empty());
        });
    }

    #[test]
    #[should_panic(expected = "no event loop runs on this thread")]
    fn without_a_loop_a_lookup_panics() {
        futures::executor::block_on(getaddrinfo("localhost", 1)).unwrap();
    }
}

mod several_addresses {
    use super::*;

    /// An address that refuses at once.
    async fn closed() -> SocketAddr {
        let listener = listener().await;
        listener.local_addr().unwrap()
    }

    #[test]
    fn the_next_is_tried_after_a_failure() {
        run(async {
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let addresses = [closed().await, closed().await, address];
            let (stream, accepted) =
                futures::join!(TcpStream::connect(addresses), listener.accept());
            assert_eq!(stream.unwrap().peer_addr().unwrap(), address);
            accepted.unwrap();
        });
    }

    #[test]
    fn all_failures_are_told() {
        run(async {
            let addresses = [closed().await, closed().await];
            let error = TcpStream::connect(addresses).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            for address in addresses {
                assert!(error.to_string().contains(&address.to_string()), "{error}");
            }
        });
    }

    /// A listener whose queue is full does not answer on Linux.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_silent_address_only_has_a_head_start() {
        use asyncio_net::TcpListener;
        use std::time::{Duration, Instant};

        run(async {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
            let silent = socket.unwrap();
            let local: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
            silent.bind(&local.into()).unwrap();
            silent.listen(0).unwrap();
            let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
            let filling = std::net::TcpStream::connect(silent_address).unwrap();

            let answering = TcpListener::bind(local).await.unwrap();
            let address = answering.local_addr().unwrap();
            let since = Instant::now();
            let stream = TcpStream::connect([silent_address, address]).await.unwrap();
            let took = since.elapsed();
            assert_eq!(stream.peer_addr().unwrap(), address);
            assert!(took >= Duration::from_millis(250), "{took:?}");
            drop(filling);
        });
    }

    #[test]
    fn without_a_loop_that_is_an_error() {
        let addresses: [SocketAddr; 2] = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        let error = futures::executor::block_on(TcpStream::connect(addresses)).unwrap_err();
        assert!(error.to_string().contains("no event loop"), "{error}");
    }
}
