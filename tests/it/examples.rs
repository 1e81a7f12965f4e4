//! The examples of the facade, run as they are, and what they print.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use asyncio_tests::Child;

/// What `program` prints, line by line.
fn lines(program: &str) -> Vec<String> {
    let ended = Child::start(Command::new(program).stderr(Stdio::null())).wait();
    assert!(ended.status.success(), "{ended:?}");
    ended.output.lines().map(str::to_owned).collect()
}

#[test]
fn greetings() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-greetings")),
        ["both are started", "hello", "world", "that took 2 seconds"]
    );
}

#[test]
fn start_early() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-start_early")),
        [
            "other work, step 1",
            "fetching /home",
            "fetching /missing",
            "other work, step 2",
            "other work, step 3",
            "home: <h1>/home</h1>",
            "missing: no such page",
            "buggy: task buggy panicked: somebody was sure of this",
        ]
    );
}

#[test]
fn fire_and_forget() {
    let lines = lines(env!("CARGO_BIN_EXE_example-fire_and_forget"));
    // Without the places, which come after the names.
    let lines: Vec<_> = lines
        .iter()
        .filter_map(|l| l.split(", spawned at").next())
        .collect();
    assert_eq!(
        lines,
        [
            "main goes on meanwhile",
            "supervisor: a task panicked and nobody awaits it: a bug (Task-4",
            "mail to ada@example.org is out",
            "supervisor: a detached task failed: \"\\\"nobody\\\" is no address\" (mail to nobody",
        ]
    );
}

#[test]
fn who_is_running() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-who_is_running")),
        [
            "hello",
            "asked by Task-1",
            "Task-1    Running",
            "clock     Cancelling",
            "cruncher  Ready",
            "the greeter has ended: true",
            "cruncher: a step of a task held up the event loop",
            "the clock: task clock was cancelled",
        ]
    );
}

#[test]
fn the_echo_server_echoes_counts_and_ends_by_ctrl_c() {
    let mut server = Child::start(&mut Command::new(env!("CARGO_BIN_EXE_example-echo_server")));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap();
    let mut next_ends_with = |expected: &str| {
        let line = server.line();
        assert!(line.ends_with(expected), "{line:?}");
    };

    let mut echoed = [0; 5];
    let mut first = TcpStream::connect(address).unwrap();
    first.write_all(b"hello").unwrap();
    first.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello");
    next_ends_with(" connected");
    drop(first);
    next_ends_with(" left after 5 bytes");
    let mut second = TcpStream::connect(address).unwrap();
    second.write_all(b"again").unwrap();
    second.read_exact(&mut echoed).unwrap();
    next_ends_with(" connected");

    server.interrupt();
    let ended = server.wait();
    assert_eq!(ended.output, "served 2 connections, 10 bytes\n");
    assert_eq!(ended.signal(), Some(2));
    // The connection that was open is closed.
    assert_eq!(second.read(&mut echoed).unwrap(), 0);
}

#[test]
fn the_echo_server_knows_a_port_when_it_sees_one() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_example-echo_server"));
    let refused = server.arg("seven").output().unwrap();
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.starts_with("usage: echo_server [PORT]"), "{told}");
}

/// What the tour prints in its short form, started by `start`.
fn short_tour(start: &mut Command) -> String {
    let ended = Child::start(start.stderr(Stdio::inherit())).wait();
    assert!(ended.status.success(), "{}", ended.output);
    assert!(!ended.output.contains("it went wrong"), "{}", ended.output);
    for scene in 1..=4 {
        assert!(
            ended.output.contains(&format!("\n{scene}. ")),
            "{}",
            ended.output
        );
    }
    ended.output
}

#[test]
fn the_tour_keeps_what_it_promises() {
    let told = short_tour(Command::new(env!("CARGO_BIN_EXE_example-tour")).arg("--short"));
    for promised in [
        "100 connections open at once; 5,000 messages of 64 bytes there and back, none lost",
        "10,000 tasks asleep at once",
        "asleep for an hour, were cancelled too",
        "20,000 callbacks in one burst, all of them called",
        "all of it, on one thread",
    ] {
        assert!(told.contains(promised), "{promised}: {told}");
    }
}

#[test]
fn the_tour_says_so_when_files_are_scarce() {
    let tour = env!("CARGO_BIN_EXE_example-tour");
    let script = "ulimit -n 128 && exec \"$0\" --short";
    let told = short_tour(Command::new("sh").args(["-c", script, tour]));
    assert!(
        told.contains("only 32 clients: a limit (`ulimit -n`)"),
        "{told}"
    );
    assert!(told.contains("32 connections open at once"), "{told}");
}

#[test]
fn the_tour_takes_no_other_arguments() {
    let mut tour = Command::new(env!("CARGO_BIN_EXE_example-tour"));
    assert!(!tour.arg("--long").output().unwrap().status.success());
}
