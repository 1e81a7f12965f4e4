//! Sending files: what arrives, in which order, and what is said of what was sent.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use asyncio_executors::timeout;
use asyncio_loop::{sleep, spawn, yield_now};
use asyncio_net::{Protocol, StreamWriter, TcpStream, Transport, memory_pair, sendfile};
use futures::AsyncReadExt as _;

use crate::support::{pair, run};

const MUCH: usize = 5_000_000;

/// A file without a name, with these bytes.
fn file_of(bytes: &[u8]) -> File {
    let number = bytes.len() as u32 ^ std::process::id();
    let thread = std::thread::current()
        .name()
        .unwrap_or("main")
        .replace(':', "_");
    let path = std::env::temp_dir().join(format!("asyncio-send-{number}-{thread}"));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(bytes).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

/// Bytes that tell where they are from.
fn numbered(n: usize) -> Vec<u8> {
    (0..n).map(|place| (place / 7 % 251) as u8).collect()
}

async fn read_all(stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => return all,
            n => all.extend(&buf[..n]),
        }
    }
}

mod a_stream {
    use super::*;

    #[test]
    fn is_sent_the_part_that_was_asked_for() {
        run(async {
            let bytes = numbered(MUCH);
            let file = file_of(&bytes);
            for (begin, count, end) in [
                (0, None, MUCH),
                (100, Some(200), 300),
                (MUCH - 10, Some(200), MUCH),
                (MUCH + 10, None, MUCH + 10),
                (7, Some(0), 7),
            ] {
                let (ours, theirs) = pair().await;
                let reading = spawn(read_all(theirs));
                let mut offset = begin as u64;
                let sent = sendfile(&ours, &file, &mut offset, count).await.unwrap();
                assert_eq!(sent, (end - begin) as u64);
                assert_eq!(offset, end as u64);
                drop(ours);
                let expected = bytes.get(begin..end).unwrap_or_default();
                assert!(reading.await.unwrap() == expected, "{begin} {count:?}");
            }
        });
    }

    #[test]
    fn that_fails_leaves_the_offset_of_what_was_sent() {
        run(async {
            let file = file_of(&numbered(MUCH));
            let (ours, theirs) = pair().await;
            let mut offset = 0;
            let leaving = async {
                theirs.read_exact(&mut [0; 1000]).await.unwrap();
                drop(theirs);
            };
            let (sent, ()) = futures::join!(sendfile(&ours, &file, &mut offset, None), leaving);
            let kind = sent.unwrap_err().kind();
            assert!(
                matches!(
                    kind,
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ),
                "{kind}"
            );
            assert!((1000..MUCH as u64).contains(&offset), "{offset}");
        });
    }

    #[test]
    fn goes_on_where_it_was_cancelled() {
        run(async {
            let bytes = numbered(MUCH);
            let file = file_of(&bytes);
            let (ours, theirs) = pair().await;
            let mut offset = 0;
            let sending = sendfile(&ours, &file, &mut offset, None);
            assert!(timeout(Duration::from_millis(20), sending).await.is_err());
            assert!((1..MUCH as u64).contains(&offset), "{offset}");
            let reading = spawn(read_all(theirs));
            sendfile(&ours, &file, &mut offset, None).await.unwrap();
            drop(ours);
            assert!(reading.await.unwrap() == bytes);
        });
    }

    /// On Linux: a file that has no size, and one that is no file.
    #[cfg(target_os = "linux")]
    #[test]
    fn is_sent_what_the_system_does_not_send_by_itself() {
        run(async {
            let (ours, theirs) = pair().await;
            let status = File::open("/proc/self/status").unwrap();
            let sent = sendfile(&ours, &status, &mut 0, None).await.unwrap();
            drop(ours);
            let received = read_all(theirs).await;
            assert!(sent > 100 && received.starts_with(b"Name:"));
            let (ours, _theirs) = pair().await;
            let directory = File::open("/").unwrap();
            assert!(sendfile(&ours, &directory, &mut 0, None).await.is_err());
        });
    }
}

mod a_writer {
    use super::*;

    #[test]
    fn sends_before_and_after_the_file_in_order() {
        run(async {
            let bytes = numbered(MUCH);
            let file = file_of(&bytes);
            let (ours, theirs) = pair().await;
            let (_reader, writer) = ours.into_buffered();
            writer.write(vec![1; MUCH]);
            assert!(writer.buffered() > 0);
            let receiving = async {
                let mut theirs = theirs;
                let mut all = vec![0; MUCH + 1000];
                theirs.read_exact(&mut all).await.unwrap();
                writer.write("behind");
                writer.close();
                theirs.read_to_end(&mut all).await.unwrap();
                all
            };
            let mut offset = 0;
            let sending = sendfile(&writer, &file, &mut offset, None);
            let (sent, received) = futures::join!(sending, receiving);
            assert_eq!(sent.unwrap(), MUCH as u64);
            assert!(received[..MUCH].iter().all(|byte| *byte == 1));
            assert!(received[MUCH..2 * MUCH] == bytes);
            assert_eq!(received[2 * MUCH..], *b"behind");
        });
    }

    #[test]
    fn that_is_aborted_meanwhile_stops_at_once() {
        run(async {
            let file = file_of(&numbered(MUCH));
            let (ours, theirs) = pair().await;
            let (_reader, writer) = ours.into_buffered();
            let mut offset = 0;
            let aborting = async {
                sleep(Duration::from_millis(10)).await;
                writer.abort();
            };
            let (sent, ()) = futures::join!(sendfile(&writer, &file, &mut offset, None), aborting);
            assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::NotConnected);
            let received = read_all(theirs).await;
            assert_eq!(received.len() as u64, offset);
            let again = sendfile(&writer, &file, &mut offset, None).await;
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::NotConnected);
        });
    }

    #[test]
    fn over_another_stream_reads_the_file_on_a_thread() {
        run(async {
            let bytes = numbered(200_000);
            let file = file_of(&bytes);
            let (ours, mut theirs) = memory_pair(1000);
            let writer = StreamWriter::new(ours);
            let mut offset = 10;
            let mut all = Vec::new();
            let reading = theirs.read_to_end(&mut all);
            let sending = async {
                let sent = sendfile(&writer, &file, &mut offset, 150_000).await;
                writer.close();
                sent
            };
            let (sent, _) = futures::join!(sending, reading);
            assert_eq!((sent.unwrap(), offset), (150_000, 150_010));
            assert!(all == bytes[10..150_010]);
        });
    }

    #[cfg(all(feature = "tls", target_os = "linux"))]
    #[test]
    fn over_tls_encrypts_the_file() {
        run(async {
            let bytes = numbered(200_000);
            let file = file_of(&bytes);
            let (acceptor, connector) = crate::support::tls::both_sides();
            let (ours, theirs) = pair().await;
            let connecting = connector.connect("localhost", ours);
            let (client, server) = futures::try_join!(connecting, acceptor.accept(theirs)).unwrap();
            let (_reader, writer) = client.into_buffered();
            let (mut reader, _writer) = server.into_buffered();
            let sending = async {
                sendfile(&writer, &file, &mut 0, None).await.unwrap();
                writer.close();
            };
            let ((), all) = futures::join!(sending, reader.read_to_end(1_000_000));
            assert!(all.unwrap() == bytes);
        });
    }
}

mod a_transport {
    use super::*;

    struct Noting(Vec<u8>);

    impl Protocol for Noting {
        fn data_received(&mut self, _: &Transport, data: &[u8]) {
            self.0.extend(data);
        }
    }

    #[test]
    fn sends_in_order_and_receives_afterwards() {
        run(async {
            let bytes = numbered(MUCH);
            let file = file_of(&bytes);
            let (ours, theirs) = pair().await;
            let transport = Transport::new(ours, Noting(Vec::new())).unwrap();
            transport.write("before");
            let mut offset = 0;
            let receiving = async {
                let mut all = vec![0; 1000];
                theirs.read_exact(&mut all).await.unwrap();
                theirs.write_all(b"hello").await.unwrap();
                transport.write("behind");
                assert!(!transport.is_reading());
                let second = sendfile(&transport, &file, &mut 0, None).await;
                assert_eq!(second.unwrap_err().kind(), io::ErrorKind::NotConnected);
                let mut rest = vec![0; MUCH + 12 - 1000];
                theirs.read_exact(&mut rest).await.unwrap();
                all.extend(rest);
                (theirs, all)
            };
            let sending = sendfile(&transport, &file, &mut offset, None);
            let (sent, (_theirs, received)) = futures::join!(sending, receiving);
            assert_eq!(sent.unwrap(), MUCH as u64);
            assert_eq!(&received[..6], b"before");
            assert!(received[6..MUCH + 6] == bytes);
            assert_eq!(&received[MUCH + 6..], b"behind");
            while transport.with_protocol(|noting: &mut Noting| noting.0.len()) != Some(5) {
                yield_now().await;
            }
        });
    }

    #[test]
    fn that_is_aborted_meanwhile_stops_and_one_that_is_cancelled_stays() {
        run(async {
            let file = file_of(&numbered(MUCH));
            for abort in [true, false] {
                let (ours, theirs) = pair().await;
                let transport = Transport::new(ours, Noting(Vec::new())).unwrap();
                let mut offset = 0;
                let cutting = async {
                    sleep(Duration::from_millis(10)).await;
                    match abort {
                        true => transport.abort(),
                        false => return,
                    }
                    std::future::pending().await
                };
                {
                    let sending = std::pin::pin!(sendfile(&transport, &file, &mut offset, None));
                    match futures::future::select(sending, std::pin::pin!(cutting)).await {
                        futures::future::Either::Left((outcome, _)) => {
                            assert!(abort);
                            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::NotConnected);
                        }
                        futures::future::Either::Right(_) => assert!(!abort),
                    }
                }
                let reading = spawn(read_all(theirs));
                if !abort {
                    transport.write("more");
                    transport.close();
                }
                let rest = if abort { 0 } else { 4 };
                assert_eq!(reading.await.unwrap().len() as u64, offset + rest);
                transport.wait_closed().await.unwrap();
            }
        });
    }
}
