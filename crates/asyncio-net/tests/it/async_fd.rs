//! Waiting for the descriptors of other libraries.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;

use asyncio_loop::{spawn, yield_now};
use asyncio_net::{AsyncFd, Direction, Interest};

use crate::support::run;

fn pair() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    (one, other)
}

/// As with asyncio's `add_reader`: bytes that another library has not read count, and bytes that it
/// has read do not, without a notice to the loop.
#[test]
fn readable_reports_the_current_state() {
    run(async {
        let (mut one, other) = pair();
        let other = AsyncFd::new(other).unwrap();
        one.write_all(b"hello").unwrap();
        other.readable().await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(other.get_ref().read(&mut buf).unwrap(), 3);
        other.readable().await.unwrap();
        assert_eq!(other.get_ref().read(&mut buf).unwrap(), 2);
        let mut readable = pin!(other.readable());
        assert!(futures::poll!(readable.as_mut()).is_pending());
        one.write_all(b"again").unwrap();
        readable.await.unwrap();
        drop(one);
        let mut rest = Vec::new();
        other.get_ref().read_to_end(&mut rest).unwrap();
        other.readable().await.unwrap(); // the end of the stream counts
    });
}

#[test]
fn writable_reports_the_current_state() {
    run(async {
        let (one, mut other) = pair();
        let one = AsyncFd::new(one).unwrap();
        one.writable().await.unwrap();
        let chunk = [0; 4096];
        let mut written = 0;
        while let Ok(n) = one.get_ref().write(&chunk) {
            written += n;
        }
        let mut writable = pin!(one.writable());
        assert!(futures::poll!(writable.as_mut()).is_pending());
        let mut sink = vec![0; written];
        other.read_exact(&mut sink).unwrap();
        writable.await.unwrap();
    });
}

#[test]
fn an_operation_waits_until_it_can_proceed() {
    run(async {
        let (mut one, other) = pair();
        let other = AsyncFd::with_interest(other, Interest::READABLE).unwrap();
        let reading = spawn(async move {
            let mut buf = [0; 8];
            let n = other
                .io(Direction::Read, |mut fd| fd.read(&mut buf))
                .await
                .unwrap();
            let rest = other.try_io(Direction::Read, |mut fd| fd.read(&mut buf));
            assert_eq!(rest.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            (other, n)
        });
        yield_now().await;
        one.write_all(b"hello").unwrap();
        let (other, n) = reading.await.unwrap();
        assert_eq!(n, 5);
        let error = other.io(Direction::Write, |_| -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(error.await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let mut other = other.into_inner();
        other.write_all(b"still open").unwrap();
    });
}

#[test]
fn any_number_of_tasks_may_wait() {
    run(async {
        let (mut one, other) = pair();
        let other = Rc::new(AsyncFd::new(other).unwrap());
        let waiting: Vec<_> = (0..5)
            .map(|_| {
                let other = other.clone();
                spawn(async move { other.readable().await.unwrap() })
            })
            .collect();
        yield_now().await;
        one.write_all(b"x").unwrap();
        for task in waiting {
            task.await.unwrap();
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_regular_file_cannot_be_waited_for() {
    run(async {
        let error = AsyncFd::new(std::fs::File::open("/proc/self/exe").unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    });
}
