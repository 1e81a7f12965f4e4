//! Transports of datagrams: the order of callbacks, errors, and the end.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use asyncio_loop::{EventLoop, set_exception_handler, yield_now};
use asyncio_net::{DatagramProtocol, DatagramTransport, UdpSocket, create_datagram_endpoint};

use crate::support::run;

type Log = Rc<RefCell<Vec<String>>>;

/// Writes down its callbacks. It answers, closes or panics when a datagram says so.
struct Recorder(Log);

impl Recorder {
    fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }
}

impl DatagramProtocol for Recorder {
    fn connection_made(&mut self, _: &DatagramTransport) {
        self.add("made");
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], from: SocketAddr) {
        self.add(format!("data {}", String::from_utf8_lossy(data)));
        match data {
            b"close" => transport.close(),
            b"abort" => transport.abort(),
            b"panic" => panic!("on purpose"),
            _ => transport.sendto(data, from),
        }
        self.add("data over");
    }

    fn error_received(&mut self, _: &DatagramTransport, error: &io::Error) {
        self.add(format!("error {:?}", error.kind()));
    }

    fn connection_lost(&mut self, _: &DatagramTransport, error: Option<&io::Error>) {
        self.add(error.map_or("lost".to_owned(), |error| format!("lost: {error}")));
    }

    fn pause_writing(&mut self, _: &DatagramTransport) {
        self.add("pause");
    }

    fn resume_writing(&mut self, _: &DatagramTransport) {
        self.add("resume");
    }
}

/// A transport, and a socket that is connected to it.
async fn connected() -> (Log, DatagramTransport, UdpSocket) {
    let log = Log::default();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let transport = create_datagram_endpoint(|| Recorder(log.clone()), socket).unwrap();
    let address = transport.get_ref().local_addr().unwrap();
    let client = UdpSocket::connected(address).await.unwrap();
    (log, transport, client)
}

async fn receive(client: &UdpSocket) -> Vec<u8> {
    let mut buf = [0; 2000];
    let n = client.recv(&mut buf).await.unwrap();
    buf[..n].to_vec()
}

#[test]
fn datagrams_come_and_go_whole_and_empty_ones_too() {
    run(async {
        let (log, transport, client) = connected().await;
        assert_eq!(log.take(), ["made"]);
        for datagram in [&b"hello"[..], b"", b"again"] {
            client.send(datagram).await.unwrap();
            assert_eq!(receive(&client).await, datagram);
        }
        client.send(b"close").await.unwrap();
        transport.wait_closed().await.unwrap();
        let events = log.take().join(", ");
        let expected = "data hello, data over, data , data over, data again, data over, \
                        data close, data over, lost";
        assert_eq!(events, expected);
    });
}

#[test]
fn an_end_in_a_callback_is_one_loss() {
    for end in ["close", "abort"] {
        run(async {
            let (log, transport, client) = connected().await;
            client.send(end.as_bytes()).await.unwrap();
            client.send(b"never seen").await.unwrap();
            transport.wait_closed().await.unwrap();
            transport.close();
            transport.send("nothing");
            yield_now().await;
            assert_eq!(
                log.take(),
                ["made", &format!("data {end}"), "data over", "lost"]
            );
        });
    }
}

#[test]
fn a_panic_ends_its_transport_only() {
    run(async {
        let reports = Log::default();
        let told = reports.clone();
        set_exception_handler(move |unhandled| {
            told.borrow_mut().push(unhandled.message().to_owned());
        });
        let (log, transport, client) = connected().await;
        let (_, _other, other_client) = connected().await;
        client.send(b"panic").await.unwrap();
        assert!(transport.wait_closed().await.is_err());
        assert_eq!(
            log.take(),
            [
                "made",
                "data panic",
                "lost: a callback of the protocol panicked"
            ]
        );
        assert_eq!(
            reports.take(),
            ["a callback of a protocol panicked; its transport ends"]
        );
        other_client.send(b"alive").await.unwrap();
        assert_eq!(receive(&other_client).await, b"alive");
    });
}

/// On Linux, where a refusal of the loopback interface comes at once.
#[cfg(target_os = "linux")]
#[test]
fn errors_are_told_and_the_transport_stays() {
    run(async {
        let log = Log::default();
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let socket = UdpSocket::connected(address).await.unwrap();
        let transport = DatagramTransport::new(socket, Recorder(log.clone())).unwrap();
        transport.send("anyone?");
        while log.borrow().len() < 2 {
            yield_now().await;
        }
        assert_eq!(log.take(), ["made", "error ConnectionRefused"]);
        transport.send(vec![0; 100_000]);
        assert_eq!(log.borrow().len(), 1, "a datagram may be too long");
        assert!(!transport.is_closing());
        // The peer comes back.
        let back = UdpSocket::bind(address).await.unwrap();
        transport.send("anyone?");
        assert_eq!(receive(&back).await, b"anyone?");
    });
}

#[test]
fn a_loop_that_ends_is_a_loss() {
    let mut event_loop = EventLoop::new().unwrap();
    let (log, transport, _client) = event_loop.run_until_complete(connected()).unwrap();
    transport.with_protocol(|recorder: &mut Recorder| {
        drop(event_loop);
        recorder.add("busy");
    });
    let lost = "lost: the event loop ended before the transport was closed";
    assert_eq!(log.take(), ["made", "busy", lost]);
}

#[cfg(unix)]
mod over_unix {
    use super::*;
    use asyncio_net::UnixDatagram;

    type Address = std::os::unix::net::SocketAddr;

    #[derive(Default)]
    struct Counting {
        paused: usize,
        resumed: usize,
        received: Vec<u8>,
    }

    impl DatagramProtocol<UnixDatagram> for Counting {
        fn datagram_received(
            &mut self,
            transport: &DatagramTransport<UnixDatagram>,
            data: &[u8],
            from: Address,
        ) {
            self.received.extend(data);
            if from.as_pathname().is_some() {
                transport.sendto(data, from);
            }
        }

        fn pause_writing(&mut self, _: &DatagramTransport<UnixDatagram>) {
            self.paused += 1;
        }

        fn resume_writing(&mut self, _: &DatagramTransport<UnixDatagram>) {
            self.resumed += 1;
        }
    }

    #[test]
    fn a_full_queue_pauses_the_protocol_and_loses_nothing() {
        run(async {
            let (ours, theirs) = UnixDatagram::pair().unwrap();
            let transport = DatagramTransport::new(ours, Counting::default()).unwrap();
            transport.set_write_buffer_limits(0, 100);
            for number in 0..200_u8 {
                transport.send([number; 100]);
            }
            assert!(transport.get_write_buffer_size() > 100);
            assert_eq!(transport.get_write_buffer_size() % 108, 0);
            transport.close();
            let mut buf = [0; 200];
            for number in 0..200_u8 {
                assert_eq!(theirs.recv(&mut buf).await.unwrap(), 100);
                assert_eq!(buf[..100], [number; 100]);
                let counts = |it: &mut Counting| (it.paused, it.resumed);
                let counts = transport.with_protocol(counts);
                assert!(matches!(counts, None | Some((1, 0 | 1))), "{counts:?}");
            }
            transport.wait_closed().await.unwrap();
        });
    }

    /// No event tells that the queue of another socket has room again.
    #[test]
    fn answers_go_to_named_sockets_though_their_queues_were_full() {
        run(async {
            let directory = std::env::temp_dir();
            let path = |name| directory.join(format!("asyncio-{name}-{}", std::process::id()));
            let (server, client) = (path("datagrams"), path("datagrams-client"));
            let _ = (std::fs::remove_file(&server), std::fs::remove_file(&client));
            let socket = UnixDatagram::bind(&server).unwrap();
            let transport = DatagramTransport::new(socket, Counting::default()).unwrap();
            let asking = UnixDatagram::bind(&client).unwrap();
            const NUMBER: u8 = 100;
            for number in 0..NUMBER {
                asking.send_to(&[number], &server).await.unwrap();
            }
            let received = |it: &mut Counting| it.received.len();
            while transport.with_protocol(received) < Some(NUMBER.into()) {
                yield_now().await;
            }
            assert!(transport.get_write_buffer_size() > 0, "the queue is full");
            let mut buf = [0; 2];
            for number in 0..NUMBER {
                assert_eq!(asking.recv(&mut buf).await.unwrap(), 1);
                assert_eq!(buf[0], number);
            }
            let _ = (std::fs::remove_file(&server), std::fs::remove_file(&client));
        });
    }
}
