//! The programs, each against a server on loopback; and libraries in tasks that are cancelled in the middle.
#![cfg(unix)]

mod cancelled;
mod servers;

use std::process::{Command, Stdio};

use servers::{Pages, Postgres, Redis};

/// The output of `program`, line by line.
fn lines(program: &str, arguments: &[&str]) -> Vec<String> {
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let output = String::from_utf8(ended.stdout).unwrap();
    output.lines().map(str::to_owned).collect()
}

#[test]
fn fetch_pages() {
    let pages = Pages::start();
    let program = env!("CARGO_BIN_EXE_fetch_pages");
    let plain = format!("http://{}/plain", pages.plain);
    let secure = format!("https://localhost:{}/secure", pages.secure.port());
    let root = pages.certificate.to_str().unwrap();
    assert_eq!(
        lines(program, &["--root", root, &plain, &secure, &secure]),
        [
            format!("{plain}: HTTP/1.1, 15 bytes"),
            format!("{secure}: HTTP/2.0, 16 bytes"),
            format!("{secure}: HTTP/2.0, 16 bytes"),
        ]
    );
    // One page fails, and the program ends although another one never answers.
    let missing = format!("http://{}/missing", pages.plain);
    let silent = format!("http://{}/silent", pages.plain);
    let ended = Command::new(program)
        .args([&plain, &silent, &missing])
        .output()
        .unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && error.contains("404"), "{error}");
}

#[test]
fn websocket_chat() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_websocket_chat"), &[]),
        [
            "Ada: hello",
            "Bob: good morning",
            "Grace: hi",
            "the server says goodbye"
        ]
    );
}

#[test]
fn redis_counters() {
    let Some(server) = Redis::start() else { return };
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_redis_counters"), &[&server.url()]),
        ["done: [0, 1, 2, 3]", "rounds: 100"]
    );
}

#[test]
fn sqlite_orders() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_sqlite_orders"), &[]),
        [
            "lines after Ada: 2",
            "Mallory has no credit",
            "lines after the failure: 2"
        ]
    );
}

#[test]
fn postgres_orders() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut lines = lines(env!("CARGO_BIN_EXE_postgres_orders"), &[&server.url()]);
    lines[1..3].sort();
    assert_eq!(
        lines,
        [
            "lines after Ada: 2",
            "Bob: rolled back: true",
            "Grace: rolled back: true",
            "Mallory has no credit",
            "lines after the failure: 2"
        ]
    );
}

#[test]
fn grpc_greeter() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_grpc_greeter"), &[]),
        [
            "hello, Ada",
            "refused: the name is empty",
            "hello, Bob",
            "hello, Grace",
            "hello, Linus",
            "4 names"
        ]
    );
}

#[test]
fn calloop_window() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_calloop_window"), &[]),
        ["the answer is 42, at 100 %"]
    );
}
