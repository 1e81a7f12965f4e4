//! Transports and protocols: the order of callbacks, what they may do, and how a connection ends.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{EventLoop, set_exception_handler, sleep, yield_now};
use asyncio_net::{
    Buffered, BufferedProtocol, MemoryStream, Protocol, TcpStream, Transport, create_connection,
    create_server, memory_pair,
};
use futures_io::{AsyncRead, AsyncWrite};

use crate::support::{run, run_virtual};

/// The events, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// The action of a callback in a test.
type Action = Box<dyn FnMut(&Transport)>;

/// Writes down its callbacks, and does what the test says in them.
#[derive(Default)]
struct Recorder {
    log: Log,
    on: Vec<(&'static str, Action)>,
    keeps_open: bool,
}

impl Recorder {
    fn new(log: &Log) -> Self {
        let mut recorder = Self::default();
        recorder.log = log.clone();
        recorder
    }

    fn on(mut self, event: &'static str, action: impl FnMut(&Transport) + 'static) -> Self {
        self.on.push((event, Box::new(action)));
        self
    }

    fn happens(&mut self, event: &'static str, transport: &Transport) {
        for (wanted, action) in &mut self.on {
            if *wanted == event {
                action(transport);
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.log.add("dropped");
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &Transport) {
        self.log.add("made");
        self.happens("made", transport);
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.log
            .add(format!("data {}", String::from_utf8_lossy(data)));
        self.happens("data", transport);
        self.log.add("data over");
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        self.log.add("eof");
        self.happens("eof", transport);
        self.keeps_open
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<&io::Error>) {
        match error {
            None => self.log.add("lost"),
            Some(error) => self.log.add(format!("lost: {error}")),
        }
        self.happens("lost", transport);
    }

    fn pause_writing(&mut self, transport: &Transport) {
        self.log.add("pause");
        self.happens("pause", transport);
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.log.add("resume");
        self.happens("resume", transport);
    }
}

/// A transport with this protocol, and the other end.
fn connected(protocol: Recorder) -> (MemoryStream, Transport) {
    let (ours, theirs) = memory_pair(1000);
    (ours, Transport::new(theirs, protocol).unwrap())
}

/// Lets all that is ready happen.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

async fn read_all(stream: &MemoryStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => return all,
            n => all.extend(&buf[..n]),
        }
    }
}

mod callbacks {
    use super::*;

    #[test]
    fn come_in_order_and_the_loss_once() {
        run_virtual(async {
            let log = Log::default();
            let (ours, transport) = connected(Recorder::new(&log));
            assert_eq!(log.take(), ["made"], "before the connection is given out");
            ours.write_all(b"one").await.unwrap();
            settle().await;
            drop(ours);
            transport.wait_closed().await.unwrap();
            assert_eq!(
                log.take(),
                ["data one", "data over", "eof", "lost", "dropped"]
            );
            transport.abort();
            transport.close();
            settle().await;
            assert_eq!(log.take(), [""; 0]);
        });
    }

    #[test]
    fn of_loss_come_soon_and_not_within_the_call_that_causes_it() {
        run_virtual(async {
            for end in [Transport::close, Transport::abort] {
                let log = Log::default();
                let (_ours, transport) = connected(Recorder::new(&log));
                end(&transport);
                assert!(transport.is_closing());
                assert_eq!(log.take(), ["made"]);
                settle().await;
                assert_eq!(log.take(), ["lost", "dropped"]);
            }
        });
    }

    // Proves L2.
    #[test]
    fn may_end_the_connection_in_each_of_them() {
        run_virtual(async {
            for end in [Transport::close, Transport::abort] {
                for event in ["made", "data", "eof", "pause", "resume", "lost"] {
                    let log = Log::default();
                    let (ours, transport) = connected(Recorder::new(&log).on(event, end));
                    let _ = ours.write_all(b"x").await;
                    transport.set_write_buffer_limits(0, 10);
                    transport.write([0; 1100]);
                    settle().await;
                    let _ = ours.read(&mut [0; 2000]).await;
                    settle().await;
                    let _ = ours.read(&mut [0; 2000]).await;
                    drop(ours);
                    settle().await;
                    let events = log.take();
                    let of_loss = events.iter().filter(|event| event.starts_with("lost"));
                    assert_eq!(of_loss.count(), 1, "{event}: {events:?}");
                    assert_eq!(events.last().unwrap(), "dropped", "{event}");
                    let counted = |name| events.iter().filter(|event| *event == name).count();
                    assert!(counted("pause") - counted("resume") <= 1, "{events:?}");
                }
            }
        });
    }

    // Proves L1.
    #[test]
    fn that_cause_others_end_first() {
        run_virtual(async {
            let log = Log::default();
            let protocol = Recorder::new(&log).on("data", |transport| {
                transport.set_write_buffer_limits(0, 10);
                transport.write([0; 2000]);
            });
            let (ours, transport) = connected(protocol);
            ours.write_all(b"go").await.unwrap();
            settle().await;
            assert_eq!(log.take(), ["made", "data go", "data over", "pause"]);
            let mut buf = [0; 1000];
            while transport.get_write_buffer_size() > 0 {
                ours.read(&mut buf).await.unwrap();
                settle().await;
            }
            assert_eq!(log.take(), ["resume"]);
        });
    }

    // Proves L3.
    #[test]
    fn of_a_pause_come_before_the_write_returns_and_alternate() {
        run_virtual(async {
            let log = Log::default();
            let (ours, transport) = connected(Recorder::new(&log));
            transport.set_write_buffer_limits(100, 200);
            assert_eq!(transport.get_write_buffer_limits(), (100, 200));
            transport.write([0; 1200]);
            assert_eq!(log.take(), ["made"], "200 bytes are not too many");
            transport.write([0; 1]);
            assert_eq!(log.take(), ["pause"]);
            transport.writelines([[0; 50], [0; 50]]);
            assert_eq!(
                (log.take(), transport.get_write_buffer_size()),
                (vec![], 301)
            );
            ours.read(&mut [0; 200]).await.unwrap();
            settle().await;
            assert_eq!(
                (log.take(), transport.get_write_buffer_size()),
                (vec![], 101)
            );
            ours.read(&mut [0; 1]).await.unwrap();
            settle().await;
            assert_eq!(log.take(), ["resume"]);
            transport.set_write_buffer_limits(0, 0);
            assert_eq!(log.take(), ["pause"]);
            transport.set_write_buffer_limits(500, 500);
            assert_eq!(log.take(), ["resume"]);
        });
    }

    // Proves T2.
    #[test]
    fn keep_no_memory_if_the_protocol_keeps_its_transport() {
        run_virtual(async {
            let log = Log::default();
            let kept = RefCell::new(None);
            let protocol = Recorder::new(&log).on("made", move |transport| {
                kept.replace(Some(transport.clone()));
            });
            let (ours, transport) = connected(protocol);
            drop((ours, transport));
            settle().await;
            assert_eq!(log.take(), ["made", "eof", "lost", "dropped"]);
        });
    }

    #[test]
    fn need_no_handle() {
        run_virtual(async {
            let log = Log::default();
            let echo = Recorder::new(&log).on("data", |transport| transport.write("yes"));
            let (ours, transport) = connected(echo);
            drop(transport);
            ours.write_all(b"there?").await.unwrap();
            let mut buf = [0; 10];
            assert_eq!(ours.read(&mut buf).await.unwrap(), 3);
        });
    }
}

mod a_panic {
    use super::*;

    fn caught(main: impl AsyncFnOnce()) -> Vec<String> {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = reports.clone();
        run_virtual(async move {
            set_exception_handler(move |unhandled| {
                told.borrow_mut().push(unhandled.message().to_owned());
            });
            main().await;
        });
        reports.take()
    }

    #[test]
    fn of_a_callback_ends_its_connection_only() {
        for event in ["made", "data", "eof", "pause", "resume", "lost"] {
            let reports = caught(async || {
                let log = Log::default();
                let (other, _kept) = connected(Recorder::new(&Log::default()));
                let (ours, transport) =
                    connected(Recorder::new(&log).on(event, |_| panic!("on purpose")));
                let _ = ours.write_all(b"x").await;
                transport.set_write_buffer_limits(0, 10);
                transport.write([0; 1100]);
                settle().await;
                let _ = ours.read(&mut [0; 2000]).await;
                settle().await;
                let _ = ours.read(&mut [0; 2000]).await;
                drop(ours);
                settle().await;
                let events = log.take();
                let lost = events.iter().filter(|event| event.starts_with("lost"));
                let lost = lost.collect::<Vec<_>>();
                match event {
                    "lost" => assert_eq!(lost, ["lost"]),
                    _ => assert_eq!(
                        lost,
                        ["lost: a callback of the protocol panicked"],
                        "{event}"
                    ),
                }
                assert_eq!(transport.wait_closed().await.is_err(), event != "lost");
                other.write_all(b"still there").await.unwrap();
            });
            assert_eq!(
                reports,
                ["a callback of a protocol panicked; its connection ends"]
            );
        }
    }

    struct Explosive;

    impl Protocol for Explosive {
        fn data_received(&mut self, _: &Transport, _: &[u8]) {}
    }

    impl Drop for Explosive {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[test]
    fn of_a_destructor_is_reported() {
        let reports = caught(async || {
            let (ours, theirs) = memory_pair(10);
            let transport = Transport::new(theirs, Explosive).unwrap();
            transport.set_protocol(Explosive);
            drop(ours);
            transport.wait_closed().await.unwrap();
        });
        assert_eq!(reports, ["the destructor of a protocol panicked"; 2]);
    }

    /// Panics when it is written to.
    struct Panics;

    impl AsyncRead for Panics {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Panics {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            panic!("the stream panics")
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn of_the_stream_ends_its_connection() {
        run_virtual(async {
            let log = Log::default();
            let transport = Transport::new(Panics, Recorder::new(&log)).unwrap();
            let writing = AssertUnwindSafe(|| transport.write(b"x"));
            assert!(catch_unwind(writing).is_err());
            assert!(transport.wait_closed().await.is_err());
            assert!(log.take().iter().any(|event| event.starts_with("lost")));
        });
    }

    #[test]
    fn of_a_look_at_the_stream_is_the_callers() {
        run_virtual(async {
            let log = Log::default();
            let (peer, transport) = connected(Recorder::new(&log));
            let looking = AssertUnwindSafe(|| {
                transport.with_stream(|_: &MemoryStream| panic!("the caller's own"))
            });
            assert!(catch_unwind(looking).is_err());
            transport.write(b"hello");
            let mut buf = [0; 8];
            assert_eq!(peer.read(&mut buf).await.unwrap(), 5);
            transport.close();
            transport.wait_closed().await.unwrap();
        });
    }

    #[test]
    fn of_the_callers_own_closure_is_the_callers() {
        let reports = caught(async || {
            let (_ours, transport) = connected(Recorder::new(&Log::default()));
            let with = || transport.with_protocol(|_: &mut Recorder| panic!("mine"));
            let outcome: Result<Option<()>, _> =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(with));
            assert!(outcome.is_err());
            assert_eq!(transport.with_protocol(|_: &mut Recorder| 1), Some(1));
        });
        assert_eq!(reports, [""; 0]);
    }
}

mod a_protocol {
    use super::*;

    #[test]
    fn is_replaced_in_its_own_callback() {
        run_virtual(async {
            let (log, later) = (Log::default(), Log::default());
            let next = Cell::new(Some(Recorder::new(&later)));
            let first = Recorder::new(&log).on("data", move |transport| {
                if let Some(next) = next.take() {
                    transport.set_protocol(next);
                }
                assert!(transport.with_protocol(|_: &mut Recorder| ()).is_none());
            });
            let (ours, transport) = connected(first);
            ours.write_all(b"one").await.unwrap();
            settle().await;
            assert_eq!(log.take(), ["made", "data one", "data over", "dropped"]);
            ours.write_all(b"two").await.unwrap();
            settle().await;
            transport.close();
            settle().await;
            assert_eq!(later.take(), ["data two", "data over", "lost", "dropped"]);
            transport.set_protocol(Recorder::new(&log));
            assert_eq!(log.take(), ["dropped"], "the connection is lost");
        });
    }

    /// A destructor that calls the transport whose protocol it was.
    #[test]
    fn may_do_anything_when_it_is_dropped() {
        struct Last(Transport);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.write("bye");
                self.0.set_protocol(Recorder::default());
                self.0.abort();
            }
        }
        struct Holding(#[expect(dead_code, reason = "it is dropped")] Option<Last>);
        impl Protocol for Holding {
            fn data_received(&mut self, _: &Transport, _: &[u8]) {}
        }
        run_virtual(async {
            let (ours, theirs) = memory_pair(10);
            let transport = Transport::new(theirs, Holding(None)).unwrap();
            transport.set_protocol(Holding(Some(Last(transport.clone()))));
            transport.set_protocol(Holding(None));
            transport.wait_closed().await.unwrap();
            assert_eq!(read_all(&ours).await, b"bye");
        });
    }

    #[test]
    fn is_looked_at() {
        run_virtual(async {
            let (_ours, transport) = connected(Recorder::new(&Log::default()));
            assert_eq!(
                transport.with_protocol(|protocol: &mut String| protocol.len()),
                None
            );
            let nested = transport
                .with_protocol(|_: &mut Recorder| transport.with_protocol(|_: &mut Recorder| ()));
            assert_eq!(nested, Some(None));
            transport.abort();
            settle().await;
            assert_eq!(transport.with_protocol(|_: &mut Recorder| ()), None);
        });
    }

    struct Frames {
        log: Log,
        buffer: Vec<u8>,
    }

    impl BufferedProtocol for Frames {
        fn get_buffer(&mut self, wanted: usize) -> &mut [u8] {
            assert!(wanted > 0);
            &mut self.buffer
        }

        fn buffer_updated(&mut self, transport: &Transport, n: usize) {
            self.log.add(String::from_utf8_lossy(&self.buffer[..n]));
            if self.buffer[0] == b'0' {
                self.buffer = Vec::new();
            }
            transport.write(b"ok");
        }

        fn connection_lost(&mut self, _: &Transport, error: Option<&io::Error>) {
            self.log
                .add(error.map_or("lost".into(), io::Error::to_string));
        }
    }

    #[test]
    fn with_a_buffer_of_its_own_is_given_what_fits() {
        run_virtual(async {
            let log = Log::default();
            let (ours, theirs) = memory_pair(100);
            let frames = Frames {
                log: log.clone(),
                buffer: vec![0; 4],
            };
            let transport = Transport::new(theirs, Buffered(frames)).unwrap();
            ours.write_all(b"abcdefghij").await.unwrap();
            settle().await;
            assert_eq!(log.take(), ["abcd", "efgh", "ij"]);
            assert_eq!(ours.read(&mut [0; 10]).await.unwrap(), 6);
            let size = |frames: &mut Frames| frames.buffer.len();
            assert_eq!(transport.with_protocol(size), Some(4));
            ours.write_all(b"0").await.unwrap();
            settle().await;
            assert_eq!(
                log.take(),
                ["0", "`get_buffer` must return a buffer of at least 1 byte"]
            );
        });
    }
}

mod reading {
    use super::*;

    #[test]
    fn pauses_in_a_callback_and_makes_the_peer_wait() {
        run_virtual(async {
            let log = Log::default();
            let (ours, transport) = connected(Recorder::new(&log).on("data", |transport| {
                transport.pause_reading();
                transport.pause_reading();
                assert!(!transport.is_reading());
            }));
            assert!(transport.is_reading());
            ours.write_all(b"a").await.unwrap();
            settle().await;
            ours.write_all(&[b'b'; 1000]).await.unwrap();
            let more = ours.write(b"c");
            assert!(
                asyncio_executors::timeout(Duration::from_secs(1), more)
                    .await
                    .is_err()
            );
            assert_eq!(log.take(), ["made", "data a", "data over"]);
            transport.resume_reading();
            transport.resume_reading();
            settle().await;
            assert_eq!(log.take().len(), 2);
            transport.resume_reading();
            ours.write_all(b"d").await.unwrap();
            settle().await;
            assert_eq!(log.take(), ["data d", "data over"]);
        });
    }

    #[test]
    fn ends_with_a_close_though_bytes_are_there() {
        run_virtual(async {
            let log = Log::default();
            let (ours, transport) = connected(Recorder::new(&log));
            ours.write_all(b"never read").await.unwrap();
            transport.close();
            assert!(!transport.is_reading());
            settle().await;
            assert_eq!(log.take(), ["made", "lost", "dropped"]);
        });
    }

    #[test]
    fn lets_other_tasks_run() {
        /// Always has bytes.
        struct Endless;
        impl AsyncRead for Endless {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(buf.len().min(10)))
            }
        }
        impl AsyncWrite for Endless {
            fn poll_write(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Ok(buf.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        run_virtual(async {
            let transport = Transport::new(Endless, Recorder::default()).unwrap();
            settle().await;
            transport.abort();
            transport.wait_closed().await.unwrap();
        });
    }

    #[test]
    fn ends_with_the_peers_half_while_writing_goes_on() {
        run_virtual(async {
            let log = Log::default();
            let mut protocol =
                Recorder::new(&log).on("eof", |transport| transport.write("the answer"));
            protocol.keeps_open = true;
            let (ours, transport) = connected(protocol);
            ours.write_all(b"question").await.unwrap();
            ours.shutdown();
            settle().await;
            assert_eq!(log.take(), ["made", "data question", "data over", "eof"]);
            assert!(!transport.is_reading() && !transport.is_closing());
            transport.write(", later");
            transport.close();
            assert_eq!(read_all(&ours).await, b"the answer, later");
            assert_eq!(log.take(), ["lost", "dropped"]);
        });
    }
}

mod writing {
    use super::*;

    #[test]
    fn is_complete_before_a_close_and_cut_by_an_abort() {
        run_virtual(async {
            let (ours, transport) = connected(Recorder::default());
            transport.write([1; 3000]);
            transport.close();
            transport.write("dropped");
            assert_eq!(read_all(&ours).await, [1; 3000]);

            let (ours, transport) = connected(Recorder::default());
            transport.write([1; 3000]);
            transport.close();
            transport.abort();
            assert_eq!(transport.get_write_buffer_size(), 0);
            assert_eq!(read_all(&ours).await, [1; 1000]);
        });
    }

    #[test]
    fn keeps_its_order_whatever_method_is_used() {
        run_virtual(async {
            let (ours, transport) = connected(Recorder::default());
            let mut expected = Vec::new();
            for round in 0..100_u8 {
                transport.write([round; 30]);
                transport.writelines([&[round; 7][..], &[], &[round; 13]]);
                transport.write("");
                transport.writelines([""; 3]);
                expected.extend([round; 50]);
            }
            transport.write_eof();
            assert!(!transport.is_closing());
            assert_eq!(read_all(&ours).await, expected);
        });
    }

    #[test]
    #[should_panic(expected = "`write` was called after `write_eof`")]
    fn after_the_end_is_a_mistake() {
        run_virtual(async {
            let (_ours, transport) = connected(Recorder::default());
            transport.write_eof();
            transport.write("more");
        });
    }

    #[test]
    fn a_task_waits_for_room() {
        run_virtual(async {
            let (ours, transport) = connected(Recorder::default());
            transport.drain().await.unwrap();
            transport.write(vec![0; 100_000]);
            let drained = asyncio_loop::spawn({
                let transport = transport.clone();
                async move { transport.drain().await }
            });
            let mut buf = vec![0; 100_000];
            let mut read = 0;
            while !drained.is_finished() {
                read += ours.read(&mut buf).await.unwrap();
                settle().await;
            }
            assert!(
                (100_000 - 16 * 1024 - 1000..100_000).contains(&read),
                "{read}"
            );
            drained.await.unwrap().unwrap();
            transport.write(vec![0; 100_000]);
            transport.abort();
            let error = transport.drain().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn to_a_peer_that_is_gone_is_a_loss() {
        run_virtual(async {
            let log = Log::default();
            let (ours, transport) = connected(Recorder::new(&log));
            transport.pause_reading();
            drop(ours);
            transport.write("anyone?");
            assert_eq!(log.take(), ["made"]);
            let error = transport.wait_closed().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(log.take(), ["lost: broken pipe", "dropped"]);
        });
    }

    /// A stream whose own code calls the transport above it, at each call.
    struct Reentrant {
        inner: MemoryStream,
        above: Rc<RefCell<Option<Transport>>>,
        calls: Cell<usize>,
    }

    impl Reentrant {
        fn call_back(&self) {
            let above = self.above.borrow().clone();
            self.calls.set(self.calls.get() + 1);
            if let Some(above) = above.filter(|_| self.calls.get() < 20) {
                above.write("!");
                assert_eq!(above.with_stream(|_: &Self| ()), None);
            }
        }
    }

    impl AsyncRead for Reentrant {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.call_back();
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Reentrant {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.call_back();
            Pin::new(&mut self.inner).poll_write(cx, buf)
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.call_back();
            Poll::Ready(Ok(()))
        }
        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_close(cx)
        }
    }

    // Proves T1, T3.
    #[test]
    fn within_the_streams_own_code_loses_nothing() {
        run_virtual(async {
            let (ours, inner) = memory_pair(3);
            let above = Rc::new(RefCell::new(None));
            let stream = Reentrant {
                inner,
                above: above.clone(),
                calls: Cell::new(0),
            };
            let transport = Transport::new(stream, Recorder::default()).unwrap();
            above.replace(Some(transport.clone()));
            transport.write("abcdefgh");
            let closing = async {
                settle().await;
                transport.close();
            };
            let (all, ()) = futures::join!(read_all(&ours), closing);
            let all = String::from_utf8(all).unwrap();
            assert_eq!(all.replace('!', ""), "abcdefgh");
            assert_eq!(all.matches('!').count(), 19, "{all}");
            above.take();
        });
    }
}

mod a_loop_that_ends {
    use super::*;

    #[test]
    fn is_a_loss() {
        let log = Log::default();
        let (mut event_loop, ours) = {
            let mut event_loop = EventLoop::builder()
                .virtual_time(true)
                .build_loop()
                .unwrap();
            let protocol = Recorder::new(&log).on("lost", |transport| {
                transport.write("nowhere");
                transport.abort();
            });
            let (ours, transport) = event_loop
                .run_until_complete(async { connected(protocol) })
                .unwrap();
            transport.write([0; 3000]);
            drop(transport);
            (event_loop, ours)
        };
        event_loop
            .run_until_complete(async { sleep(Duration::from_secs(1)).await })
            .unwrap();
        assert_eq!(log.take(), ["made"]);
        drop(event_loop);
        assert_eq!(
            log.take(),
            [
                "lost: the event loop ended before the connection",
                "dropped"
            ]
        );
        drop(ours);
    }

    #[test]
    fn in_a_callback_is_a_loss_after_it() {
        let log = Log::default();
        let mut event_loop = EventLoop::builder()
            .virtual_time(true)
            .build_loop()
            .unwrap();
        let (_ours, transport) = event_loop
            .run_until_complete(async { connected(Recorder::new(&log)) })
            .unwrap();
        transport.with_protocol(|recorder: &mut Recorder| {
            drop(event_loop);
            recorder.log.add("busy");
        });
        let lost = "lost: the event loop ended before the connection";
        assert_eq!(log.take(), ["made", "busy", lost, "dropped"]);
    }

    #[test]
    fn or_none_makes_no_connection() {
        let log = Log::default();
        let (_ours, theirs) = memory_pair(10);
        let error = Transport::new(theirs, Recorder::new(&log)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert_eq!(log.take(), ["dropped"], "never made, so never lost");
    }
}

mod over_tcp {
    use super::*;

    #[test]
    fn a_server_of_protocols_counts_its_connections() {
        run(async {
            let log = Log::default();
            let told = log.clone();
            let factory = move || Recorder::new(&told).on("data", |t| t.write("pong"));
            let server = create_server(factory, "127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(server.addresses()).await.unwrap();
            client.write_all(b"ping").await.unwrap();
            let mut buf = [0; 4];
            client.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"pong");
            assert_eq!(server.connections(), 1);
            server.close();
            assert_eq!(server.connections(), 1, "those that are there go on");
            drop(client);
            server.wait_closed().await;
            assert_eq!(
                log.take(),
                ["made", "data ping", "data over", "eof", "lost", "dropped"]
            );
        });
    }

    #[test]
    fn a_server_closes_and_aborts_its_clients() {
        run(async {
            for abort in [false, true] {
                let log = Log::default();
                let told = log.clone();
                let factory =
                    move || Recorder::new(&told).on("made", |t| t.write(vec![7; 5_000_000]));
                let server = create_server(factory, "127.0.0.1:0").await.unwrap();
                let client = TcpStream::connect(server.addresses()).await.unwrap();
                client.peek(&mut [0]).await.unwrap();
                server.close();
                let mut reader = &client;
                let mut all = Vec::new();
                let received = if abort {
                    server.abort_clients();
                    server.wait_closed().await;
                    futures::AsyncReadExt::read_to_end(&mut reader, &mut all).await
                } else {
                    server.close_clients();
                    let reading = futures::AsyncReadExt::read_to_end(&mut reader, &mut all);
                    futures::join!(reading, server.wait_closed()).0
                };
                assert_eq!(
                    received.as_ref().is_ok_and(|n| *n == 5_000_000),
                    !abort,
                    "{received:?}"
                );
                let events = log.take();
                assert_eq!(events[..2], ["made", "pause"]);
                assert_eq!(events[events.len() - 2..], ["lost", "dropped"]);
            }
        });
    }

    #[test]
    fn a_limit_of_connections_holds() {
        run(async {
            let builder = asyncio_net::Server::builder().max_connections(1);
            let listener = asyncio_net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let factory = || Recorder::default().on("made", |t| t.write("hello"));
            let server = builder.start_protocols(factory, [listener]);
            let first = TcpStream::connect(server.addresses()).await.unwrap();
            let second = TcpStream::connect(server.addresses()).await.unwrap();
            first.read_exact(&mut [0; 5]).await.unwrap();
            assert_eq!(
                second.try_read(&mut [0; 5]).unwrap_err().kind(),
                io::ErrorKind::WouldBlock
            );
            assert_eq!(server.connections(), 1);
            drop(first);
            second.read_exact(&mut [0; 5]).await.unwrap();
            drop(second);
            server.close();
            server.wait_closed().await;
        });
    }

    #[test]
    fn a_factory_that_panics_closes_that_connection() {
        run(async {
            let reports = Rc::new(Cell::new(0));
            let told = reports.clone();
            set_exception_handler(move |_| told.set(told.get() + 1));
            let first = Cell::new(true);
            let factory = move || match first.replace(false) {
                true => panic!("on purpose"),
                false => Recorder::default().on("made", |t| t.write("fine")),
            };
            let server = create_server(factory, "127.0.0.1:0").await.unwrap();
            let unlucky = TcpStream::connect(server.addresses()).await.unwrap();
            assert_eq!(unlucky.read(&mut [0; 4]).await.unwrap(), 0);
            let client = TcpStream::connect(server.addresses()).await.unwrap();
            client.read_exact(&mut [0; 4]).await.unwrap();
            assert_eq!((reports.get(), server.connections()), (1, 1));
        });
    }

    #[test]
    fn the_addresses_are_there_until_the_end() {
        run(async {
            let (log, seen) = (Log::default(), Rc::new(Cell::new(None)));
            let server = create_server(Recorder::default, "127.0.0.1:0")
                .await
                .unwrap();
            let told = seen.clone();
            let client = || {
                Recorder::new(&log).on("lost", move |transport| {
                    told.set(transport.peer_addr().ok());
                })
            };
            let transport = create_connection(client, server.addresses()).await.unwrap();
            assert_eq!(transport.peer_addr().unwrap(), server.addresses()[0]);
            assert!(transport.local_addr().unwrap().ip().is_loopback());
            transport.close();
            transport.wait_closed().await.unwrap();
            assert_eq!(seen.get(), Some(server.addresses()[0]));
            let error = transport.peer_addr().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        });
    }

    #[test]
    fn a_reset_is_a_loss_with_its_error() {
        run(async {
            let log = Log::default();
            let (ours, theirs) = crate::support::pair().await;
            let transport = Transport::new(ours, Recorder::new(&log)).unwrap();
            theirs.set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            let error = transport.wait_closed().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            let events = log.take();
            assert!(events[1].starts_with("lost: "), "{events:?}");
        });
    }

    #[test]
    fn much_goes_both_ways_at_once() {
        const MUCH: usize = 8 << 20;

        struct Flood {
            left: usize,
            received: usize,
            is_paused: bool,
            is_at_end: bool,
        }

        impl Flood {
            fn pour(&mut self, transport: &Transport) {
                while self.left > 0 && !self.is_paused && transport.get_write_buffer_size() == 0 {
                    transport.write([1; 32 * 1024]);
                    self.left -= 32 * 1024;
                }
                match (self.left, self.is_at_end) {
                    (0, false) => transport.write_eof(),
                    (0, true) => transport.close(),
                    _ => {}
                }
            }
        }

        impl Protocol for Flood {
            fn connection_made(&mut self, transport: &Transport) {
                transport.set_write_buffer_limits(0, 0);
                self.pour(transport);
            }
            fn data_received(&mut self, _: &Transport, data: &[u8]) {
                self.received += data.len();
            }
            fn eof_received(&mut self, _: &Transport) -> bool {
                assert_eq!(self.received, MUCH);
                self.is_at_end = true;
                self.left > 0
            }
            fn pause_writing(&mut self, _: &Transport) {
                self.is_paused = true;
            }
            fn resume_writing(&mut self, transport: &Transport) {
                self.is_paused = false;
                self.pour(transport);
            }
            fn connection_lost(&mut self, _: &Transport, error: Option<&io::Error>) {
                assert!(error.is_none(), "{error:?}");
            }
        }

        run(async {
            let flood = || Flood {
                left: MUCH,
                received: 0,
                is_paused: false,
                is_at_end: false,
            };
            let (ours, theirs) = crate::support::pair().await;
            let one = Transport::new(ours, flood()).unwrap();
            let other = Transport::new(theirs, flood()).unwrap();
            one.wait_closed().await.unwrap();
            other.wait_closed().await.unwrap();
        });
    }
}

#[cfg(unix)]
mod over_unix {
    use super::*;
    use asyncio_net::{UnixStream, create_unix_connection, create_unix_server};

    #[test]
    fn a_conversation() {
        run(async {
            let directory = std::env::temp_dir();
            let path = directory.join(format!("asyncio-transport-{}", std::process::id()));
            let echo = || Recorder::default().on("data", |t| t.write("heard"));
            let server = create_unix_server(echo, &path).unwrap();
            let log = Log::default();
            let client = || Recorder::new(&log).on("data", Transport::close);
            let transport = create_unix_connection(client, &path).await.unwrap();
            assert!(transport.with_stream(|_: &UnixStream| ()).is_some());
            transport.write("hello");
            transport.wait_closed().await.unwrap();
            assert_eq!(
                log.take(),
                ["made", "data heard", "data over", "lost", "dropped"]
            );
            server.close();
            server.wait_closed().await;
        });
    }
}
