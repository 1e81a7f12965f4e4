//! The standard streams of a program: pipes, files, sockets, nothing.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use crate::process::child;

fn echo() -> Command {
    child("echo")
}

fn text() -> String {
    // More than a pipe holds.
    (0..20_000).map(|n| format!("line {n}\n")).collect()
}

#[test]
fn lines_go_through_pipes_that_push_back() {
    let mut echo = echo();
    echo.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut echo = echo.spawn().unwrap();
    let mut input = echo.stdin.take().unwrap();
    let feed = thread::spawn(move || input.write_all(text().as_bytes()).unwrap());
    let output = echo.wait_with_output().unwrap();
    feed.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == text().into_bytes());
    assert_eq!(output.stderr, b"20000");
}

#[test]
fn files_are_read_and_written_by_a_thread() {
    let path = std::env::temp_dir().join(format!("asyncio-stdio-{}", std::process::id()));
    fs::write(&path, text()).unwrap();
    let mut output = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path.with_extension("out"))
        .unwrap();
    output.write_all(b"before\n").unwrap();
    let status = echo()
        .stdin(File::open(&path).unwrap())
        .stdout(output.try_clone().unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    // At the position that the processes share.
    output.write_all(b"after\n").unwrap();
    output.rewind().unwrap();
    let mut all = String::new();
    output.read_to_string(&mut all).unwrap();
    assert!(all == format!("before\n{}after\n", text()));
    fs::remove_file(path.with_extension("out")).unwrap();
    fs::remove_file(&path).unwrap();
}

#[test]
fn sockets_stay_in_blocking_mode() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let shared = theirs.try_clone().unwrap();
    let stdio = || Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut echo = echo()
        .stdin(stdio())
        .stdout(stdio())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    ours.write_all(b"one\ntwo\n").unwrap();
    let mut said = [0; 8];
    ours.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"one\ntwo\n");
    let flags = rustix::fs::fcntl_getfl(&shared).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(echo.wait().unwrap().success());
}

#[test]
fn the_null_device_is_empty() {
    let output = echo().stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"0"[..]));
}

#[test]
fn a_reader_that_goes_away_is_an_error() {
    let mut echo = echo();
    echo.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut echo = echo.spawn().unwrap();
    drop(echo.stdout.take());
    let _ = echo.stdin.take().unwrap().write_all(text().as_bytes());
    let output = echo.wait_with_output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("BrokenPipe"), "{told}");
}
