//! Unix sockets: streams, listeners, datagrams, and the descriptors sent with their bytes.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::path::PathBuf;

use asyncio_net::{UnixDatagram, UnixListener, UnixStream};
use futures::AsyncReadExt as _;

use crate::support::run;

/// A path in the temporary directory that is removed at the end of the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let file = format!("asyncio-net-{}-{name}", std::process::id());
        Place(std::env::temp_dir().join(file))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

mod streams {
    use super::*;

    #[test]
    fn bytes_flow_in_both_directions() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let mut buf = [0; 8];
            one.write_all(b"hello").await.unwrap();
            assert_eq!(other.read(&mut buf).await.unwrap(), 5);
            other
                .write_vectored(&[IoSlice::new(b"wor"), IoSlice::new(b"ld")])
                .await
                .unwrap();
            let (mut first, mut second) = ([0; 2], [0; 3]);
            let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
            assert_eq!(one.read_vectored(&mut bufs).await.unwrap(), 5);
            assert_eq!((&first, &second), (b"wo", b"rld"));
        });
    }

    #[test]
    fn halves_are_those_of_a_tcp_stream() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let (read, write) = one.into_split();
            write.write_all(b"bye").await.unwrap();
            drop(write);
            let mut all = Vec::new();
            let (mut theirs, answer) = other.into_split();
            theirs.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"bye");
            answer.write_all(b"answer").await.unwrap();
            let mut buf = [0; 6];
            read.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"answer");
        });
    }

    #[test]
    fn an_end_is_read_after_all_bytes() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            one.write_all(b"last").await.unwrap();
            one.shutdown(Shutdown::Write).unwrap();
            let mut buf = [0; 8];
            assert_eq!(other.read(&mut buf).await.unwrap(), 4);
            assert_eq!(other.read(&mut buf).await.unwrap(), 0);
            drop(other);
            let error = one.write_all(b"x").await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_full_buffer_makes_the_writer_wait() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let sent = vec![7; 4 << 20];
            let write = async {
                one.write_all(&sent).await.unwrap();
                one.shutdown(Shutdown::Write).unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                (&other).read_to_end(&mut received).await.unwrap();
                received.len()
            };
            assert_eq!(futures::join!(write, read).1, 4 << 20);
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peer_is_known() {
        run(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let peer = one.peer_cred().unwrap();
            assert_eq!(peer.pid, std::process::id());
            assert_eq!(peer.uid, rustix::process::getuid().as_raw());
            assert_eq!(peer.gid, rustix::process::getgid().as_raw());
        });
    }

    #[test]
    fn a_stream_of_the_standard_library_and_back() {
        run(async {
            let (one, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
            let one = UnixStream::from_std(one).unwrap();
            other.write_all(b"x").unwrap();
            assert_eq!(one.read(&mut [0; 2]).await.unwrap(), 1);
            let mut one = one.into_std().unwrap();
            other.write_all(b"y").unwrap();
            assert_eq!(one.read(&mut [0; 2]).unwrap(), 1);
        });
    }
}

mod listeners {
    use super::*;

    #[test]
    fn a_client_connects_by_path() {
        let place = Place::new("connect");
        run(async {
            let listener = UnixListener::bind(&place.0).unwrap();
            let connecting = UnixStream::connect(&place.0);
            let (client, accepted) = futures::join!(connecting, listener.accept());
            let (client, (server, peer)) = (client.unwrap(), accepted.unwrap());
            assert!(peer.is_unnamed());
            assert_eq!(
                client.peer_addr().unwrap().as_pathname(),
                Some(place.0.as_path())
            );
            server.write_all(b"hi").await.unwrap();
            client.read_exact(&mut [0; 2]).await.unwrap();
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_client_connects_by_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        run(async {
            let name = format!("asyncio-net-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(name).unwrap();
            let listener = UnixListener::bind_addr(&address).unwrap();
            let connecting = UnixStream::connect_addr(&address);
            let (client, accepted) = futures::join!(connecting, listener.accept());
            client.unwrap().write_all(b"x").await.unwrap();
            assert_eq!(accepted.unwrap().0.read(&mut [0; 2]).await.unwrap(), 1);
        });
    }

    #[test]
    fn a_client_waits_while_the_queue_is_full() {
        let place = Place::new("full");
        run(async {
            let listener = {
                let socket =
                    socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
                let socket = socket.unwrap();
                socket
                    .bind(&socket2::SockAddr::unix(&place.0).unwrap())
                    .unwrap();
                socket.listen(1).unwrap();
                UnixListener::from_std(socket.into()).unwrap()
            };
            let clients = futures::future::join_all((0..8).map(|_| UnixStream::connect(&place.0)));
            let accepted = async {
                let mut accepted = Vec::new();
                while accepted.len() < 8 {
                    accepted.push(listener.accept().await.unwrap());
                }
                accepted
            };
            let (clients, _accepted) = futures::join!(clients, accepted);
            assert!(clients.iter().all(Result::is_ok));
        });
    }

    #[test]
    fn only_its_listener_removes_a_file() {
        let place = Place::new("file");
        run(async {
            drop(UnixListener::bind(&place.0).unwrap());
            assert!(!place.0.exists());

            let mut kept = UnixListener::bind(&place.0).unwrap();
            kept.keep_file();
            drop(kept);
            assert!(place.0.exists());

            // Another file has taken the name.
            std::fs::remove_file(&place.0).unwrap();
            let replaced = UnixListener::bind(&place.0).unwrap();
            std::fs::remove_file(&place.0).unwrap();
            std::fs::write(&place.0, "of another program").unwrap();
            drop(replaced);
            assert!(place.0.exists());
        });
    }

    #[test]
    fn only_a_stale_socket_is_replaced() {
        let place = Place::new("stale");
        run(async {
            let mut stale = UnixListener::bind(&place.0).unwrap();
            stale.keep_file();
            drop(stale);
            let alive = UnixListener::bind(&place.0).unwrap();

            let error = UnixListener::bind(&place.0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(
                error.to_string().contains("stale"),
                "it names the path: {error}"
            );
            // The connection that probed the listener is closed.
            drop(alive.accept().await.unwrap());
            drop(alive);

            std::fs::write(&place.0, "no socket").unwrap();
            let error = UnixListener::bind(&place.0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert_eq!(std::fs::read(&place.0).unwrap(), b"no socket");
        });
    }

    #[test]
    fn without_a_listener_connecting_is_an_error() {
        let place = Place::new("none");
        run(async {
            let error = UnixStream::connect(&place.0).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        });
    }
}

mod descriptors {
    use super::*;

    fn file_with(text: &str) -> File {
        let place = Place::new(text);
        std::fs::write(&place.0, text).unwrap();
        File::open(&place.0).unwrap()
    }

    fn text_of(fd: std::os::fd::OwnedFd) -> String {
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn arrive_with_their_bytes() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let files = [file_with("first"), file_with("second")];
            let fds = [files[0].as_fd(), files[1].as_fd()];
            assert_eq!(one.send_with_fds(b"two files", &fds).await.unwrap(), 9);
            let mut buf = [0; 16];
            let mut received = other.recv_with_fds(&mut buf, 2).await.unwrap();
            assert_eq!(&buf[..received.bytes], b"two files");
            assert!(!received.fds_lost);
            assert_eq!(received.fds.len(), 2);
            assert_eq!(text_of(received.fds.pop().unwrap()), "second");
            let first = received.fds.pop().unwrap();
            let flags = rustix::io::fcntl_getfd(&first).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            assert_eq!(text_of(first), "first");
        });
    }

    #[test]
    fn more_than_requested_are_closed_and_reported() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let file = file_with("many");
            let fds = [file.as_fd(); 5];
            one.send_with_fds(b"x", &fds).await.unwrap();
            let received = other.recv_with_fds(&mut [0; 4], 2).await.unwrap();
            assert_eq!((received.bytes, received.fds.len()), (1, 2));
            assert!(received.fds_lost);
        });
    }

    /// A read stops before bytes with descriptors, so it may come back short although there is
    /// more.
    #[test]
    fn do_not_make_a_plain_read_hang() {
        run(async {
            let (one, other) = UnixStream::pair().unwrap();
            let file = file_with("unasked");
            for part in [&b"ab"[..], b"cd", b"ef"] {
                one.write_all(part).await.unwrap();
                one.send_with_fds(b"!", &[file.as_fd()]).await.unwrap();
            }
            let mut buf = [0; 9];
            other.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"ab!cd!ef!");
        });
    }

    #[test]
    fn need_a_byte_and_have_a_limit() {
        run(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let file = file_with("limit");
            let error = one.send_with_fds(b"", &[file.as_fd()]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            let error = one
                .send_with_fds(b"x", &[file.as_fd(); 254])
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        });
    }

    #[test]
    fn travel_with_datagrams_too() {
        run(async {
            let (one, other) = UnixDatagram::pair().unwrap();
            one.send_with_fds(b"one", &[file_with("datagram").as_fd()])
                .await
                .unwrap();
            let mut received = other.recv_with_fds(&mut [0; 8], 1).await.unwrap();
            assert_eq!(received.bytes, 3);
            assert_eq!(text_of(received.fds.pop().unwrap()), "datagram");
        });
    }
}

mod datagrams {
    use super::*;

    #[test]
    fn keep_their_boundaries_and_order() {
        let (server, client) = (Place::new("server"), Place::new("client"));
        run(async {
            let receiver = UnixDatagram::bind(&server.0).unwrap();
            let sender = UnixDatagram::bind(&client.0).unwrap();
            sender.send_to(b"first", &server.0).await.unwrap();
            sender.connect(&server.0).unwrap();
            sender.send(b"second").await.unwrap();
            let mut buf = [0; 3];
            let (n, from) = receiver.recv_from(&mut buf).await.unwrap();
            assert_eq!(
                (&buf[..n], from.as_pathname()),
                (&b"fir"[..], Some(client.0.as_path()))
            );
            assert_eq!(receiver.recv(&mut buf).await.unwrap(), 3);
        });
    }

    #[test]
    fn wait_while_the_receivers_queue_is_full() {
        let server = Place::new("queue");
        run(async {
            let receiver = UnixDatagram::bind(&server.0).unwrap();
            let (connected, other) = (
                UnixDatagram::unbound().unwrap(),
                UnixDatagram::unbound().unwrap(),
            );
            connected.connect(&server.0).unwrap();
            const EACH: u32 = 2_000;
            let by_connection = async {
                for n in 0..EACH {
                    connected.send(&n.to_le_bytes()).await.unwrap();
                }
            };
            let by_address = async {
                for n in 0..EACH {
                    other
                        .send_to(&(EACH + n).to_le_bytes(), &server.0)
                        .await
                        .unwrap();
                }
            };
            let receive = async {
                let mut next = [0, EACH];
                for _ in 0..2 * EACH {
                    let mut buf = [0; 4];
                    assert_eq!(receiver.recv(&mut buf).await.unwrap(), 4);
                    let n = u32::from_le_bytes(buf);
                    let sender = usize::from(n >= EACH);
                    assert_eq!(n, next[sender]);
                    next[sender] += 1;
                }
            };
            futures::join!(by_connection, by_address, receive);
        });
    }
}
