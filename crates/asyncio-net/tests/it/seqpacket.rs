//! Unix sockets that transfer messages, and abstract names.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use asyncio_executors::timeout;
use asyncio_loop::spawn;
use asyncio_net::{UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};

use crate::support::run;

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("asyncio-{name}-{}", std::process::id()))
}

#[test]
fn messages_stay_apart_and_in_order_and_senders_wait() {
    run(async {
        let (one, other) = UnixSeqpacket::pair().unwrap();
        let sending = spawn(async move {
            for number in 0..5_000_u32 {
                one.send(&vec![number as u8; 1 + number as usize % 300])
                    .await
                    .unwrap();
            }
        });
        let mut buf = [0; 400];
        for number in 0..5_000_u32 {
            let n = other.recv(&mut buf).await.unwrap();
            assert_eq!((n, buf[0]), (1 + number as usize % 300, number as u8));
        }
        sending.await.unwrap();
        assert_eq!(other.recv(&mut buf).await.unwrap(), 0, "the end");
        let error = other.send(b"anyone?").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_long_message_is_cut_and_an_empty_one_refused() {
    run(async {
        let (one, other) = UnixSeqpacket::pair().unwrap();
        assert_eq!(
            one.send(b"").await.unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        one.send(b"long").await.unwrap();
        one.send(b"next").await.unwrap();
        let mut buf = [0; 2];
        assert_eq!(other.recv(&mut buf).await.unwrap(), 2);
        assert_eq!((other.recv(&mut buf).await.unwrap(), &buf), (2, b"ne"));
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.recv(&mut buf).await.unwrap(), 0);
        other.send(b"!").await.unwrap();
        assert_eq!(one.recv(&mut buf).await.unwrap(), 1);
        assert!(
            one.send(b"too long".repeat(1_000_000).as_slice())
                .await
                .is_err()
        );
    });
}

#[test]
fn a_cancelled_receive_loses_nothing() {
    run(async {
        let (one, other) = UnixSeqpacket::pair().unwrap();
        let mut buf = [0; 8];
        let receiving = other.recv(&mut buf);
        assert!(timeout(Duration::from_millis(1), receiving).await.is_err());
        one.send(b"there").await.unwrap();
        assert_eq!(other.recv(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn descriptors_travel_with_messages() {
    run(async {
        let (one, other) = UnixSeqpacket::pair().unwrap();
        let (kept, given) = UnixSeqpacket::pair().unwrap();
        one.send_with_fds(b"take this", &[given.as_fd()])
            .await
            .unwrap();
        drop(given);
        let mut buf = [0; 16];
        let mut received = other.recv_with_fds(&mut buf, 4).await.unwrap();
        assert_eq!((received.bytes, received.fds.len()), (9, 1));
        let given = UnixSeqpacket::from_fd(received.fds.remove(0)).unwrap();
        kept.send(b"hello").await.unwrap();
        assert_eq!(given.recv(&mut buf).await.unwrap(), 5);
        let (stream, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let error = UnixSeqpacket::from_fd(stream.into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

#[test]
fn a_listener_replaces_a_stale_file_only_and_removes_its_own() {
    run(async {
        let path = path("seqpackets");
        let _ = std::fs::remove_file(&path);
        let listener = UnixSeqpacketListener::bind(&path).unwrap();
        let error = UnixSeqpacketListener::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("seqpackets"));
        let error = UnixStream::connect(&path).await.unwrap_err();
        assert!(path.exists(), "{error}");
        assert!(
            UnixListener::bind(&path).is_err(),
            "another kind lives there"
        );
        let connecting = UnixSeqpacket::connect(&path);
        let (client, server) = futures::try_join!(connecting, listener.accept()).unwrap();
        client.send(b"hello").await.unwrap();
        assert_eq!(server.recv(&mut [0; 8]).await.unwrap(), 5);
        drop(listener);
        assert!(!path.exists());
        let error = UnixSeqpacket::connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A file that a crashed process has left.
        let left = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None);
        left.unwrap()
            .bind(&socket2::SockAddr::unix(&path).unwrap())
            .unwrap();
        let listener = UnixSeqpacketListener::bind(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    });
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod abstract_names {
    use super::*;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    use asyncio_net::UnixDatagram;

    fn name(of: &str) -> SocketAddr {
        SocketAddr::from_abstract_name(format!("asyncio-{of}-{}", std::process::id())).unwrap()
    }

    #[test]
    fn of_messages_with_the_peers_credentials() {
        run(async {
            let name = name("seqpacket");
            let listener = UnixSeqpacketListener::bind_addr(&name).unwrap();
            let connecting = UnixSeqpacket::connect_addr(&name);
            let (client, server) = futures::try_join!(connecting, listener.accept()).unwrap();
            assert_eq!(server.peer_cred().unwrap().pid, std::process::id());
            assert_eq!(client.peer_cred().unwrap().pid, std::process::id());
        });
    }

    #[test]
    fn of_datagrams() {
        run(async {
            let (server_name, client_name) = (name("server"), name("client"));
            let server = UnixDatagram::bind_addr(&server_name).unwrap();
            let client = UnixDatagram::bind_addr(&client_name).unwrap();
            client.send_to_addr(b"hello", &server_name).await.unwrap();
            let mut buf = [0; 8];
            let (n, from) = server.recv_from(&mut buf).await.unwrap();
            assert_eq!(
                (n, from.as_abstract_name()),
                (5, client_name.as_abstract_name())
            );
            server.connect_addr(&from).unwrap();
            server.send(b"answer").await.unwrap();
            assert_eq!(client.recv(&mut buf).await.unwrap(), 6);
            let nobody = name("nobody");
            assert!(client.send_to_addr(b"hello", &nobody).await.is_err());
        });
    }
}
