//! Listeners, accepting, connecting.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{spawn, yield_now};
use asyncio_net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{listener, run};

/// An address without a listener.
async fn unused_address() -> SocketAddr {
    listener().await.local_addr().unwrap()
}

#[test]
fn connections_come_with_their_addresses() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let (one, accepted) = futures::join!(TcpStream::connect(address), listener.accept());
        let (one, (other, peer)) = (one.unwrap(), accepted.unwrap());
        assert_eq!(peer, one.local_addr().unwrap());
        assert_eq!(one.peer_addr().unwrap(), address);
        assert_eq!(other.local_addr().unwrap(), address);
    });
}

#[test]
fn small_writes_are_sent_at_once_on_both_sides() {
    run(async {
        let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for listener in [listener().await, TcpListener::from_std(plain).unwrap()] {
            let address = listener.local_addr().unwrap();
            let (one, other) = futures::join!(TcpStream::connect(address), listener.accept());
            assert!(one.unwrap().nodelay().unwrap());
            assert!(other.unwrap().0.nodelay().unwrap());
        }
    });
}

#[test]
fn an_address_without_a_listener_refuses() {
    run(async {
        let error = TcpStream::connect(unused_address().await)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some(), "the system's own error");
    });
}

#[test]
fn addresses_are_tried_in_turn() {
    run(async {
        let listener = listener().await;
        let there = listener.local_addr().unwrap();
        let (first, second) = (unused_address().await, unused_address().await);
        let stream = TcpStream::connect([first, second, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let error = TcpStream::connect([first, second]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let message = error.to_string();
        assert!(
            message.contains(&first.to_string()) && message.contains(&second.to_string()),
            "{message}"
        );
    });
}

#[test]
fn localhost_is_the_loopback_address() {
    run(async {
        let listener = TcpListener::bind("localhost:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("localhost", port)).await.unwrap();
    });
}

#[test]
fn ipv6_works_where_the_machine_has_it() {
    run(async {
        let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await else {
            return; // this machine has no IPv6
        };
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
    });
}

#[test]
fn a_cancelled_connect_closes_its_socket() {
    run(async {
        // Connections are not accepted and the queue is full, so a connect waits.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let full = socket.listen(0).unwrap();
        let address = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        let before = loop {
            let sources = asyncio_loop::reactor().len();
            let mut connecting = Box::pin(TcpStream::connect(address));
            // Only a connect that does not end soon is not queued.
            let soon = asyncio_loop::sleep(Duration::from_millis(50));
            match futures::future::select(connecting.as_mut(), soon).await {
                futures::future::Either::Left((stream, _)) => waiting.push(stream.unwrap()),
                futures::future::Either::Right(_) => {
                    assert_eq!(asyncio_loop::reactor().len(), sources + 1);
                    break sources;
                }
            }
            assert!(waiting.len() < 100, "the queue must be full");
        };
        assert_eq!(asyncio_loop::reactor().len(), before);
    });
}

#[test]
fn several_tasks_accept_from_one_listener() {
    run(async {
        let listener = Rc::new(listener().await);
        let address = listener.local_addr().unwrap();
        let acceptors: Vec<_> = (0..5)
            .map(|_| {
                let listener = listener.clone();
                spawn(async move { listener.accept().await.unwrap().1 })
            })
            .collect();
        yield_now().await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut accepted = Vec::new();
        for acceptor in acceptors {
            accepted.push(acceptor.await.unwrap());
        }
        accepted.sort();
        let mut connected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        connected.sort();
        assert_eq!(accepted, connected);
    });
}

/// Each connection wakes a few waiters, however many there are.
#[test]
fn many_tasks_that_accept_from_one_listener_cost_no_square() {
    const MANY: usize = 300;
    run(async {
        let listener = Rc::new(listener().await);
        let address = listener.local_addr().unwrap();
        let polls = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..MANY)
            .map(|_| {
                let (listener, polls) = (listener.clone(), polls.clone());
                spawn(async move {
                    let mut accept = pin!(listener.accept());
                    let counted = poll_fn(|cx| {
                        polls.set(polls.get() + 1);
                        accept.as_mut().poll(cx)
                    });
                    counted.await.unwrap();
                })
            })
            .collect();
        yield_now().await;
        for task in tasks {
            let _client = TcpStream::connect(address).await.unwrap();
            task.await.unwrap();
        }
        assert!(polls.get() <= 20 * MANY, "{} polls", polls.get());
    });
}

#[test]
fn all_queued_connections_are_accepted_after_one_event() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..20)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        for client in &clients {
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        }
    });
}

#[test]
fn a_peer_that_disconnects_early_does_not_end_the_server() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let quitter = std::net::TcpStream::connect(address).unwrap();
        socket2::SockRef::from(&quitter)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(quitter);
        let _client = std::net::TcpStream::connect(address).unwrap();
        // Linux returns the first connection nevertheless, and its read fails. Other systems skip
        // it.
        let (first, _) = listener.accept().await.unwrap();
        if cfg!(target_os = "linux") {
            let error = first.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            listener.accept().await.unwrap();
        }
    });
}

#[test]
fn a_cancelled_accept_loses_no_connection() {
    run(async {
        let listener = listener().await;
        {
            let mut accepting = pin!(listener.accept());
            assert!(futures::poll!(accepting.as_mut()).is_pending());
        }
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn an_address_can_be_listened_on_again_at_once() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        // The side that closes first holds the address for a while.
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        drop((client, listener));
        TcpListener::bind(address).await.unwrap();
    });
}

#[test]
fn an_address_in_use_is_an_error() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // Of several addresses, the first available one.
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        TcpListener::bind([address, free]).await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn several_listeners_share_an_address() {
    run(async {
        let shared = |address: SocketAddr| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(address).unwrap();
            socket.listen(8).unwrap()
        };
        let first = shared((Ipv4Addr::LOCALHOST, 0).into());
        let second = shared(first.local_addr().unwrap());
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    });
}

#[test]
fn a_socket_can_be_set_up_before_it_connects() {
    run(async {
        let listener = listener().await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(false).unwrap();
        socket.set_keepalive(Some(Duration::from_secs(60))).unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let local = socket.local_addr().unwrap();
        let stream = socket
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(stream.local_addr().unwrap(), local);
        assert!(!stream.nodelay().unwrap());
        assert!(stream.keepalive().unwrap());
    });
}

#[test]
fn a_listener_comes_from_std_and_goes_back() {
    run(async {
        let listener = listener().await;
        let address = listener.local_addr().unwrap();
        listener.set_ttl(42).unwrap();
        assert_eq!(listener.ttl().unwrap(), 42);
        let blocking = listener.into_std().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        assert_eq!(blocking.accept().unwrap().1, client.local_addr().unwrap());
        let listener = TcpListener::from_std(blocking).unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        assert_eq!(
            listener.accept().await.unwrap().1,
            client.local_addr().unwrap()
        );
    });
}
