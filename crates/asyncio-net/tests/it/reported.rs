//! Faults that other libraries of sockets were reported to have.

use std::ffi::OsStr;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::support::{pair, run};
use asyncio_net::{UdpSocket, UnixDatagram, UnixListener, UnixStream};

mod paths {
    use super::*;

    fn of_length(length: usize) -> PathBuf {
        let mut path = std::env::temp_dir().into_os_string();
        path.push("/");
        let rest = length - path.len();
        path.push("x".repeat(rest));
        path.into()
    }

    #[test]
    fn that_no_address_can_hold_are_errors() {
        run(async {
            for path in [
                of_length(300),
                PathBuf::from(OsStr::from_bytes(b"/tmp/a\0b")),
            ] {
                let errors = [
                    UnixListener::bind(&path).map(drop).unwrap_err(),
                    UnixDatagram::bind(&path).map(drop).unwrap_err(),
                    UnixStream::connect(&path).await.unwrap_err(),
                ];
                for error in errors {
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                }
                assert!(!path.exists());
            }
        });
    }

    #[test]
    fn of_the_greatest_length_are_addresses() {
        run(async {
            let path = of_length(107);
            let listener = UnixListener::bind(&path).unwrap();
            let (client, server) = futures::join!(UnixStream::connect(&path), listener.accept());
            let peer = client.unwrap().peer_addr().unwrap();
            assert_eq!(peer.as_pathname(), Some(path.as_path()));
            drop((server, listener));
            assert!(!path.exists());
        });
    }
}

mod ends {
    use super::*;

    #[test]
    fn of_the_own_side_make_writes_an_error_and_no_signal() {
        run(async {
            let (stream, _peer) = pair().await;
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let parts = [io::IoSlice::new(&[0; 5000]), io::IoSlice::new(&[0; 5000])];
            let small = [io::IoSlice::new(b"a"), io::IoSlice::new(b"b")];
            for outcome in [
                stream.write(b"late").await,
                stream.write_vectored(&parts).await,
                stream.write_vectored(&small).await,
            ] {
                assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            }
        });
    }

    #[test]
    fn are_peeked_and_read_again_and_again() {
        run(async {
            let (stream, peer) = pair().await;
            drop(peer);
            for _ in 0..3 {
                assert_eq!(stream.peek(&mut [0; 4]).await.unwrap(), 0);
                assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
                let mut buf = [MaybeUninit::uninit(); 4];
                let read = poll_fn(|cx| stream.poll_read_uninit(cx, &mut buf, |_| {}));
                assert_eq!(read.await.unwrap(), 0);
            }
        });
    }
}

#[test]
fn uninitialised_memory_takes_what_fits() {
    async fn reads(
        stream: impl AsyncFn(&mut [MaybeUninit<u8>], &mut Vec<u8>) -> io::Result<usize>,
    ) {
        let mut read = Vec::new();
        for size in [3, 0, 16] {
            let mut buf = vec![MaybeUninit::uninit(); size];
            let mut taken = Vec::new();
            let n = stream(&mut buf, &mut taken).await.unwrap();
            assert_eq!(taken.len(), n);
            read.push(taken);
        }
        assert_eq!(read, [b"123".as_slice(), b"", b"45"]);
    }
    run(async {
        let (stream, peer) = pair().await;
        peer.write_all(b"12345").await.unwrap();
        reads(async |buf, taken| {
            poll_fn(|cx| stream.poll_read_uninit(cx, buf, |bytes| taken.extend_from_slice(bytes)))
                .await
        })
        .await;
        let (stream, peer) = UnixStream::pair().unwrap();
        peer.write_all(b"12345").await.unwrap();
        reads(async |buf, taken| {
            poll_fn(|cx| stream.poll_read_uninit(cx, buf, |bytes| taken.extend_from_slice(bytes)))
                .await
        })
        .await;
    });
}

#[test]
fn a_refused_datagram_does_not_spoil_those_of_others() {
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let nobody = gone.local_addr().unwrap();
        drop(gone);
        let friend = UdpSocket::connected(address).await.unwrap();
        for _ in 0..10 {
            socket.send_to(b"to nobody", nobody).await.unwrap();
        }
        friend.send(b"").await.unwrap();
        friend.send(b"hello").await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(socket.recv_from(&mut buf).await.unwrap().0, 0);
        assert_eq!(socket.recv_from(&mut buf).await.unwrap().0, 5);
        // A stranger's datagram does not come to a connected socket.
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = friend.local_addr().unwrap();
        stranger.send_to(b"stranger", to).await.unwrap();
        socket.send_to(b"friend", to).await.unwrap();
        assert_eq!(friend.recv(&mut buf).await.unwrap(), 6);
    });
}
