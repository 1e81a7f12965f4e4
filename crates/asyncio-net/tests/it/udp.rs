//! UDP sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;

use asyncio_net::{Direction, UdpSocket};

use crate::support::run;

async fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// Two sockets that are connected to each other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (socket().await, socket().await);
    one.connect(other.local_addr().unwrap()).await.unwrap();
    other.connect(one.local_addr().unwrap()).await.unwrap();
    (one, other)
}

mod datagrams {
    use super::*;

    #[test]
    fn keep_their_bounds() {
        run(async {
            let (one, other) = pair().await;
            for datagram in [&b"first"[..], b"", b"third"] {
                assert_eq!(one.send(datagram).await.unwrap(), datagram.len());
            }
            let mut buf = [0; 16];
            assert_eq!(other.recv(&mut buf).await.unwrap(), 5);
            assert_eq!(other.recv(&mut buf).await.unwrap(), 0);
            assert_eq!(other.recv(&mut buf).await.unwrap(), 5);
            assert_eq!(&buf[..5], b"third");
        });
    }

    #[test]
    fn have_a_sender_and_can_be_peeked() {
        run(async {
            let (server, client) = (socket().await, socket().await);
            client
                .send_to(b"ping", server.local_addr().unwrap())
                .await
                .unwrap();
            let mut buf = [0; 16];
            let peeked = server.peek_from(&mut buf).await.unwrap();
            let received = server.recv_from(&mut buf).await.unwrap();
            assert_eq!(peeked, received);
            assert_eq!(received, (4, client.local_addr().unwrap()));
        });
    }

    #[test]
    fn that_are_too_long_are_cut_or_refused() {
        run(async {
            let (one, other) = pair().await;
            one.send(b"long").await.unwrap();
            let mut buf = [0; 2];
            assert_eq!(other.recv(&mut buf).await.unwrap(), 2);
            one.send(b"next").await.unwrap();
            assert_eq!(other.recv(&mut buf).await.unwrap(), 2);
            assert_eq!(&buf, b"ne");
            assert!(one.send(&vec![0; 70_000]).await.is_err());
            assert_eq!(one.send(b"still").await.unwrap(), 5);
        });
    }

    #[test]
    fn without_a_receiver_are_an_error() {
        run(async {
            let one = socket().await;
            let gone = socket().await.local_addr().unwrap();
            one.connect(gone).await.unwrap();
            one.send(b"x").await.unwrap();
            let error = one.recv(&mut [0; 4]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let other = socket().await;
            other
                .send_to(b"y", one.local_addr().unwrap())
                .await
                .unwrap();
            one.connect(other.local_addr().unwrap()).await.unwrap();
            other
                .send_to(b"z", one.local_addr().unwrap())
                .await
                .unwrap();
            assert_eq!(one.recv(&mut [0; 4]).await.unwrap(), 1);
        });
    }
}

mod waiting {
    use super::*;

    #[test]
    fn many_tasks_receive_from_one_socket() {
        run(async {
            let server = socket().await;
            let address = server.local_addr().unwrap();
            let receivers = (0..10).map(async |_| {
                let mut buf = [0; 1];
                server.recv_from(&mut buf).await.unwrap();
                buf[0]
            });
            let client = socket().await;
            let send = async {
                for n in 0..10 {
                    client.send_to(&[n], address).await.unwrap();
                }
            };
            let (mut received, ()) = futures::join!(futures::future::join_all(receivers), send);
            received.sort_unstable();
            assert_eq!(received, (0..10).collect::<Vec<_>>());
        });
    }

    #[test]
    fn a_cancelled_receive_loses_nothing() {
        run(async {
            let (one, other) = pair().await;
            let mut buf = [0; 4];
            for n in 0..20 {
                let mut receive = Box::pin(other.recv(&mut buf));
                assert!(futures::poll!(receive.as_mut()).is_pending());
                drop(receive);
                one.send(&[n]).await.unwrap();
                assert_eq!(other.recv(&mut buf).await.unwrap(), 1);
                assert_eq!(buf[0], n);
            }
        });
    }

    #[test]
    fn without_waiting_there_is_an_error() {
        run(async {
            let (one, other) = pair().await;
            let mut buf = [0; 4];
            let error = other.try_recv_from(&mut buf).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            let polled = futures::future::poll_fn(|cx| {
                Poll::Ready(other.poll_recv_from(cx, &mut buf).is_pending())
            });
            assert!(polled.await);
            one.send(b"x").await.unwrap();
            other.readable().await.unwrap();
            assert_eq!(other.try_recv_from(&mut buf).unwrap().0, 1);
            let error = other.try_io(Direction::Read, || {
                Err::<(), _>(io::ErrorKind::WouldBlock.into())
            });
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        });
    }

    /// A socket that always has datagrams does not block the loop.
    #[test]
    fn a_busy_receiver_lets_others_run() {
        run(async {
            let (one, other) = pair().await;
            let mut turns = 0;
            let busy = async {
                for _ in 0..1_000 {
                    one.send(b"x").await.unwrap();
                    other.recv(&mut [0; 1]).await.unwrap();
                }
            };
            let beside = async {
                loop {
                    asyncio_loop::yield_now().await;
                    turns += 1;
                }
            };
            futures::future::select(Box::pin(busy), Box::pin(beside)).await;
            assert!(turns >= 10, "{turns}");
        });
    }
}

mod options {
    use super::*;

    #[test]
    fn are_read_back() {
        run(async {
            let socket = socket().await;
            assert!(!socket.broadcast().unwrap());
            socket.set_broadcast(true).unwrap();
            assert!(socket.broadcast().unwrap());
            socket.set_ttl(7).unwrap();
            assert_eq!(socket.ttl().unwrap(), 7);
            socket.set_recv_buffer_size(64 << 10).unwrap();
            socket.set_send_buffer_size(64 << 10).unwrap();
            assert!(socket.take_error().unwrap().is_none());
        });
    }

    #[test]
    fn a_group_receives_what_is_sent_to_it() {
        run(async {
            let group = Ipv4Addr::new(239, 255, 17, 3);
            let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
            // Without a network there may be no interface for groups.
            if receiver
                .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
                .is_err()
            {
                return;
            }
            let sender = socket().await;
            sender.set_multicast_loop(true).unwrap();
            sender.set_multicast_ttl(1).unwrap();
            sender
                .set_multicast_interface_v4(Ipv4Addr::LOCALHOST)
                .unwrap();
            let port = receiver.local_addr().unwrap().port();
            let to: SocketAddr = (group, port).into();
            if sender.send_to(b"all", to).await.is_ok() {
                let mut buf = [0; 8];
                assert_eq!(receiver.recv_from(&mut buf).await.unwrap().0, 3);
            }
            receiver
                .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
                .unwrap();
        });
    }

    #[test]
    fn a_socket_of_the_standard_library_and_back() {
        run(async {
            let plain = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = plain.local_addr().unwrap();
            let socket = UdpSocket::from_std(plain).unwrap();
            assert_eq!(socket.local_addr().unwrap(), address);
            assert_eq!(socket.into_std().unwrap().local_addr().unwrap(), address);
        });
    }

    #[test]
    fn an_address_in_use_is_an_error() {
        run(async {
            let taken = socket().await.into_std().unwrap();
            let address = taken.local_addr().unwrap();
            let error = UdpSocket::bind(address).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        });
    }
}
