//! Many datagrams in one call.

use std::net::SocketAddr;

use asyncio_net::{UdpBatch, UdpBatchSocket, UdpSocket};

use crate::support::run;

async fn sockets() -> (UdpBatchSocket, SocketAddr, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let plain = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    (UdpBatchSocket::new(socket).unwrap(), address, plain)
}

/// Receives so many datagrams, and returns them with the number of calls.
async fn receive(socket: &UdpBatchSocket, number: usize) -> (Vec<Vec<u8>>, usize) {
    let mut batch = UdpBatch::new();
    let (mut received, mut calls) = (Vec::new(), 0);
    while received.len() < number {
        let n = socket.recv(&mut batch).await.unwrap();
        assert_eq!(n, batch.iter().count());
        received.extend(batch.iter().map(|(datagram, _)| datagram.to_vec()));
        calls += 1;
    }
    (received, calls)
}

#[test]
fn datagrams_of_one_peer_are_whole_and_in_order() {
    run(async {
        let (socket, address, plain) = sockets().await;
        for number in 0..100_u8 {
            let datagram = vec![number; number as usize];
            plain.send_to(&datagram, address).await.unwrap();
        }
        let (received, calls) = receive(&socket, 100).await;
        for (number, datagram) in received.iter().enumerate() {
            assert_eq!(datagram, &vec![number as u8; number]);
        }
        if cfg!(target_os = "linux") {
            assert!(calls <= 10, "{calls} calls");
        }
    });
}

#[test]
fn a_buffer_is_split_into_segments() {
    run(async {
        let (socket, address, plain) = sockets().await;
        let bytes: Vec<u8> = (0..100_000).map(|place| (place / 1000) as u8).collect();
        for (segment, number) in [(1000, 100), (999, 101), (60_000, 2), (65_507, 2)] {
            socket
                .send_segments(&bytes, segment, plain.local_addr().unwrap())
                .await
                .unwrap();
            let mut all: Vec<u8> = Vec::new();
            let mut buf = vec![0; 70_000];
            for _ in 0..number {
                let n = plain.recv(&mut buf).await.unwrap();
                assert!(n <= segment);
                all.extend(&buf[..n]);
            }
            assert_eq!(all, bytes);
        }
        // To itself: the system may join what it has split.
        socket
            .send_segments(&bytes[..50_000], 1000, address)
            .await
            .unwrap();
        let (received, _) = receive(&socket, 50).await;
        assert_eq!(received.concat(), &bytes[..50_000]);
        assert!(received.iter().all(|datagram| datagram.len() == 1000));
    });
}

#[test]
fn datagrams_to_many_peers_are_sent_together() {
    run(async {
        let (socket, _, one) = sockets().await;
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = [one.local_addr().unwrap(), other.local_addr().unwrap()];
        let datagrams = (0..100_u8).map(|number| (vec![number; 20], to[number as usize % 2]));
        let datagrams = Vec::from_iter(datagrams);
        assert_eq!(socket.send_all(&datagrams).await.unwrap(), 100);
        let mut buf = [0; 30];
        for number in 0..100 {
            let peer = [&one, &other][number % 2];
            assert_eq!(peer.recv(&mut buf).await.unwrap(), 20);
            assert_eq!(buf[0], number as u8);
        }
        let empty: [(Vec<u8>, SocketAddr); 0] = [];
        assert_eq!(socket.send_all(&empty).await.unwrap(), 0);
    });
}

#[test]
fn an_error_of_a_datagram_says_how_many_were_sent() {
    run(async {
        let (socket, _, one) = sockets().await;
        let to = one.local_addr().unwrap();
        let bad = (vec![0; 100_000], to);
        assert!(socket.send_all(std::slice::from_ref(&bad)).await.is_err());
        let some = [(b"good".to_vec(), to), bad, (b"never".to_vec(), to)];
        assert_eq!(socket.send_all(&some).await.unwrap(), 1);
        assert_eq!(one.recv(&mut [0; 9]).await.unwrap(), 4);
    });
}

#[test]
fn a_small_batch_takes_what_it_has_room_for() {
    run(async {
        let (socket, address, plain) = sockets().await;
        for number in 0..5_u8 {
            plain.send_to(&[number; 10], address).await.unwrap();
        }
        let mut batch = UdpBatch::with_room(2, 2000);
        let mut received = Vec::new();
        while received.len() < 5 {
            socket.recv(&mut batch).await.unwrap();
            received.extend(batch.iter().map(|(datagram, from)| {
                assert_eq!(from, plain.local_addr().unwrap());
                datagram[0]
            }));
        }
        assert_eq!(received, [0, 1, 2, 3, 4]);
    });
}
