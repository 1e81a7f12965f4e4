//! Pipes and FIFOs.
#![cfg(unix)]

use std::fs::File;
use std::io::IoSlice;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use asyncio_executors::{gather, timeout};
use asyncio_loop::{run, sleep, spawn, yield_now};
use asyncio_net::StreamReader;
use asyncio_os::pipe::{
    connect_read_pipe, connect_write_pipe, make_fifo, open_fifo_reader, open_fifo_writer, pipe,
};
use asyncio_testkit::{ms, secs};
use futures::{AsyncReadExt, AsyncWriteExt};

struct Fifo(PathBuf);

impl Fifo {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("asyncio-{}-{name}", std::process::id()));
        make_fifo(&path).unwrap();
        Fifo(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_writer_waits_for_room_and_a_reader_for_bytes() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        let sent = vec![7; 1_000_000];
        let expected = sent.clone();
        let writing = spawn(async move { writer.write_all(&sent).await });
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        writing.await.unwrap().unwrap();
        assert!(got == expected);
    });
}

#[test]
fn several_buffers_are_written_at_once() {
    run(async {
        let (reader, mut writer) = pipe().unwrap();
        let parts = ["one ", "two"].map(|part| IoSlice::new(part.as_bytes()));
        let written = AsyncWriteExt::write_vectored(&mut writer, &parts).await;
        assert_eq!(written.unwrap(), 7);
        drop(writer);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"one two");
    });
}

/// A pipe may hold more than a read has room for.
#[cfg(target_os = "linux")]
#[test]
fn a_read_to_the_end_takes_all_that_is_there_before_it_waits() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
        let sent = vec![7; 500_000];
        writer.write_all(&sent).await.unwrap();
        let mut got = b"before ".to_vec();
        assert!(timeout(ms(5), reader.read_to_end(&mut got)).await.is_err());
        assert!(got == [b"before ", &sent[..]].concat());
        drop(writer);
        assert_eq!(reader.read_to_end(&mut got).await.unwrap(), 0);
    });
}

#[test]
fn a_write_that_does_not_wait_writes_what_fits() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        assert_eq!(writer.try_write(b"some").unwrap(), 4);
        let part = [7; 4096];
        let mut sent = 4;
        let error = loop {
            match writer.try_write(&part) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), sent);
    });
}

#[test]
fn a_cancelled_read_loses_nothing() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        let mut buf = [0; 8];
        assert!(timeout(ms(1), reader.read(&mut buf)).await.is_err());
        writer.write_all(b"abc").await.unwrap();
        assert_eq!(reader.read(&mut buf).await.unwrap(), 3);
        assert_eq!(reader.read(&mut []).await.unwrap(), 0);
        assert!(reader.try_read(&mut buf).is_err());
    });
}

#[test]
fn a_writer_hears_of_the_end_of_the_reader() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        let mut closed = std::pin::pin!(writer.wait_closed());
        assert!(asyncio_testkit::poll_once(closed.as_mut()).is_pending());
        let close = async {
            yield_now().await;
            drop(reader);
        };
        gather((closed, close)).await.0.unwrap();
        let error = writer.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_traits_of_futures_work() {
    run(async {
        let (mut reader, mut writer) = pipe().unwrap();
        AsyncWriteExt::write_all(&mut writer, b"one\ntwo\n")
            .await
            .unwrap();
        drop(writer);
        let mut all = String::new();
        reader.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "one\ntwo\n");
    });
}

#[test]
fn short_reads_and_writes_of_any_size_lose_no_event() {
    run(async {
        const TOTAL: usize = 3_000_000;
        let (reader, writer) = pipe().unwrap();
        let byte = |n: usize| (n % 251) as u8;
        let sizes = |seed: u64| {
            let mut state = seed;
            move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005) + 1;
                (state >> 33) as usize % 100_000 + 1
            }
        };
        // On another thread, so that each end finds the pipe in the middle of the other's transfer.
        let mut written = std::fs::File::from(writer.into_blocking_fd().unwrap());
        let thread = thread::spawn(move || {
            let mut next = sizes(1);
            let mut sent = 0;
            while sent < TOTAL {
                let end = TOTAL.min(sent + next());
                let part: Vec<u8> = (sent..end).map(byte).collect();
                written.write_all(&part).unwrap();
                sent = end;
            }
        });
        let (back, out) = pipe().unwrap();
        let forward = async {
            let mut next = sizes(2);
            loop {
                let mut part = vec![0; next()];
                match reader.read(&mut part).await.unwrap() {
                    0 => break drop(out),
                    n => out.write_all(&part[..n]).await.unwrap(),
                }
            }
        };
        let collect = async {
            let mut all = Vec::new();
            back.read_to_end(&mut all).await.unwrap();
            all
        };
        let (forward, collect) = (std::pin::pin!(forward), std::pin::pin!(collect));
        let both = timeout(secs(60), gather((forward, collect)));
        let ((), all) = both.await.unwrap();
        assert!(all.len() == TOTAL && all.iter().enumerate().all(|(n, b)| *b == byte(n)));
        thread.join().unwrap();
    });
}

#[test]
fn several_readers_and_writers_share_a_pipe_and_all_see_the_end() {
    run(async {
        let (reader, writer) = pipe().unwrap();
        let (reader, writer) = (Rc::new(reader), Rc::new(writer));
        // Sizes below and above the pipe's, so that most transfers are short.
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let writer = writer.clone();
                spawn(async move {
                    for _ in 0..10 {
                        writer
                            .write_all(&vec![1; 9_000 + n * 30_000])
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        drop(writer);
        let readers: Vec<_> = (0..4)
            .map(|n| {
                let reader = reader.clone();
                spawn(async move {
                    let (mut buf, mut sum) = (vec![0; 1000 + n * 777], 0);
                    loop {
                        match reader.read(&mut buf).await.unwrap() {
                            0 => break sum,
                            n => sum += n,
                        }
                    }
                })
            })
            .collect();
        let mut sum = 0;
        for reading in readers {
            sum += timeout(secs(60), reading).await.unwrap().unwrap();
        }
        for writing in writers {
            writing.await.unwrap();
        }
        assert_eq!(sum, 4 * 10 * 9_000 + 6 * 10 * 30_000);
    });
}

#[test]
fn a_connected_descriptor_may_have_boundaries() {
    run(async {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let reader = connect_read_pipe(ours).unwrap();
        let mut buf = [0; 64];
        for _ in 0..3 {
            theirs.send(b"one").unwrap();
            theirs.send(b"two").unwrap();
            // One event tells the loop of both.
            sleep(ms(1)).await;
            // The second is there, though the first did not fill the buffer.
            for expected in [b"one", b"two"] {
                let read = timeout(secs(60), reader.read(&mut buf)).await;
                assert_eq!(read.unwrap().unwrap(), 3);
                assert_eq!(&buf[..3], expected);
            }
        }
        let writer = connect_write_pipe(theirs).unwrap();
        writer.write_all(b"three").await.unwrap();
        assert_eq!(reader.try_read(&mut buf).unwrap(), 5);
    });
}

#[test]
fn a_regular_file_is_refused() {
    run(async {
        let file = File::open("Cargo.toml").unwrap();
        let error = connect_read_pipe(file.try_clone().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(connect_write_pipe(file).is_err());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_is_never_waited_for_is_refused_and_stays_as_it_was() {
    use std::os::fd::OwnedFd;
    run(async {
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let shared = null.try_clone().unwrap();
        let error = connect_read_pipe(null).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let flags = rustix::fs::fcntl_getfl(shared).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    });
}

#[test]
fn errors_of_a_fifo_name_its_path() {
    run(async {
        let failures = [
            make_fifo("/none/fifo"),
            open_fifo_reader("/none/fifo").map(drop),
            open_fifo_writer("/none/fifo").await.map(drop),
        ];
        for failure in failures {
            let error = failure.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains(" /none/fifo: "), "{error}");
        }
        let no_fifo = open_fifo_reader("/dev/null").unwrap_err();
        assert!(no_fifo.to_string().contains(" /dev/null: "), "{no_fifo}");
    });
}

#[test]
fn only_the_owner_can_use_a_fifo() {
    use std::os::unix::fs::PermissionsExt as _;

    let fifo = Fifo::new("mode");
    let mode = fifo.0.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_fifo_waits_for_its_first_writer_and_ends_with_its_last() {
    let fifo = Fifo::new("first");
    run(async {
        let reader = open_fifo_reader(&fifo.0).unwrap();
        let mut byte = [0];
        assert!(timeout(ms(2), reader.read(&mut byte)).await.is_err());
        let path = fifo.0.clone();
        let thread = thread::spawn(move || {
            let mut file = File::options().write(true).open(path).unwrap();
            file.write_all(b"a line\n").unwrap();
        });
        let mut lines = StreamReader::new(reader);
        assert_eq!(lines.next_line().await.unwrap(), Some("a line"));
        assert_eq!(lines.next_line().await.unwrap(), None);
        thread.join().unwrap();
    });
}

#[test]
fn a_writer_of_a_fifo_waits_for_a_reader() {
    let fifo = Fifo::new("second");
    run(async {
        let write = async {
            let writer = open_fifo_writer(&fifo.0).await.unwrap();
            writer.write_all(b"hello").await.unwrap();
        };
        let read = async {
            yield_now().await;
            let reader = open_fifo_reader(&fifo.0).unwrap();
            let mut all = Vec::new();
            // A program that is started inherits no end.
            let flags = rustix::io::fcntl_getfd(&reader).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            reader.read_to_end(&mut all).await.unwrap();
            all
        };
        assert_eq!(gather((write, read)).await.1, b"hello");
        assert!(open_fifo_reader("Cargo.toml").is_err());
    });
}
