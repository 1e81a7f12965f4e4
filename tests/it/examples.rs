//! The examples of the facade, run as they are, and what they print.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use asyncio_tests::{Child, Ended};

/// The output of `program`, line by line.
pub(crate) fn lines(program: &str) -> Vec<String> {
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
#[cfg(unix)]
fn game_loop() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-game_loop")),
        ["the game is over: saving the score", "the score is saved"]
    );
}

#[test]
#[cfg(unix)]
fn message_loop() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-message_loop")),
        ["the answer is 42"]
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
fn crawler() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-crawler")),
        [
            "a.example/: 3 links",
            "a.example/missing: no such page",
            "a.example/news: 2 links",
            "b.example/: 3 links",
            "b.example/1: 0 links",
            "b.example/2: 0 links",
            "b.example/3: 1 links",
            "c.example/: timed out",
            "9 pages seen, cut by the deadline after 2s",
        ]
    );
}

#[test]
fn connection_pool() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-connection_pool")),
        [
            "3.5 s: connection 1 counts 3 for ada",
            "5.5 s: connection 2 counts 5 for grace",
            "5.5 s: connection 2: an empty query",
            "connection 2 closed", // its user was cut in the middle
            "7.1 s: timed out",
            "10.5 s: connection 1 counts 7 for barbara",
            "2 connections were opened",
            "connection 1 closed",
        ]
    );
}

#[test]
fn job_scheduler() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-job_scheduler")),
        [
            " 4 s: mail is done",
            " 6 s: backup failed: disk full",
            "13 s: backup failed: disk full",
            "14 s: mail is done",
            "21 s: backup is done",
            "24 s: mail is done",
            "62 s: stopping",
            "66 s: backup is done",
            "66 s: stopped",
        ]
    );
}

#[test]
fn supervised_workers() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-supervised_workers")),
        [
            "indexer, start 1: panic: index 1 is out of bounds",
            "mailer, start 1: no route to host",
            "indexer, start 2: panic: index 2 is out of bounds",
            "mailer, start 2: no route to host",
            "mailer, start 3: no route to host",
            "mailer, start 4: no route to host",
            "mailer, start 5: no route to host",
            "server: goodbye",
            "1 task failed",
            "└─ mailer was started too often",
            r#"{"indexer": 3, "mailer": 5, "server": 1} after 21s"#,
        ]
    );
}

#[test]
fn eager_start() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-eager_start")),
        [
            "fetching /home",
            "fetching /about",
            "both are fetched at the same time",
            "<h1>/home</h1> <h1>/about</h1>",
            "in the cache, so it is done: true",
            "<h1>/home</h1>",
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
fn recipe_and_cooking() {
    let lines = lines(env!("CARGO_BIN_EXE_example-recipe_and_cooking"));
    assert_eq!(lines.len(), 24);
    // In turn each begins when the one before is done; together all begin before any is done.
    assert_eq!(lines[3], "  5 s  dish 1 is done");
    assert_eq!(lines[4], "  5 s  dish 2 is begun");
    assert_eq!(lines[17], "  0 s  dish 5 is begun");
    assert_eq!(lines[18], "  5 s  dish 1 is done");
    assert_eq!(lines[23], "25 seconds in turn, 5 together");
}

#[test]
fn one_of_three_fails() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-one_of_three_fails")),
        [
            "the first failure ends it:",
            "  fetch 1 is done",
            "  fetch 3 is cancelled",
            "failed: no such page",
            "all outcomes:",
            "  fetch 1 is done",
            "  fetch 3 is done",
            "task 1 returned \"page 1\"",
            "task 2 failed: no such page",
            "task 3 returned \"page 3\"",
            "as a group:",
            "  fetch 1 is done",
            "  fetch 3 is cancelled",
            "1 task failed",
            "└─ no such page",
        ]
    );
}

#[test]
fn time_limit() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-time_limit")),
        [
            "the query is called off",
            "timed out",
            "the answer is 42",
            "part 1 is here",
            "part 2 is here",
            "part 3 is here",
            "timed out after 2.8s",
        ]
    );
}

#[test]
fn acquire_use_release() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-acquire_use_release")),
        [
            "returns: opened",
            "returns: closed",
            "it returned Ok(8)",
            "fails: opened",
            "fails: closed",
            "it returned Err(\"an empty query\")",
            "is cancelled: opened",
            "is cancelled: closed",
            "it timed out",
        ]
    );
}

#[test]
fn until_cancelled() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-until_cancelled")),
        [
            "piece 1 is done",
            "piece 2 is done",
            "piece 3 is done",
            "asked the worker to stop",
            "told to stop; putting 3 pieces away",
            "all is put away",
            "task worker was cancelled",
        ]
    );
}

#[test]
fn shield_a_write() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-shield_a_write")),
        [
            "bare:   cut after 1 s, torn",
            "shield: cut after 2 s, balanced",
            "task:   cut after 1 s, torn",
            "task:   a second later, balanced",
        ]
    );
}

#[test]
fn first_mirror() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-first_mirror")),
        [
            "all at once:",
            "  tokyo is asked",
            "  oslo is asked",
            "  lima is asked",
            "  tokyo is told to stop",
            "  lima is told to stop",
            "first: Ok(\"oslo\")",
            "one after the other, 200 ms apart:",
            "  tokyo is asked",
            "  oslo is asked",
            "  oslo is told to stop",
            "first: tokyo, number 1",
            "[Won, Cancelled]",
        ]
    );
}

#[test]
fn producers_and_consumers() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-producers_and_consumers")),
        [
            "the producers are done, 4 in the buffer",
            "eaten: 30, never more than 4 in the buffer",
            "1: put out the fire",
            "2: answer the phone",
            "3: sweep",
            "no more jobs: task Task-7 was cancelled",
            "from the stack: third",
        ]
    );
}

#[test]
fn taking_turns() {
    assert_eq!(
        lines(env!("CARGO_BIN_EXE_example-taking_turns")),
        [
            "100 downloads in 20 s, 5 at a time",
            "tortoise after 3.1s",
            "hare after 3.9s",
            "three are there: Ada, Bob, Cleo",
            "phase 1 is over at 3 s",
            "phase 2 is over at 6 s",
        ]
    );
}

#[test]
fn fetch_all_is_faster_at_once_than_in_turn() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-fetch_all"));
    let ended = Child::start(command.arg("100")).wait();
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.output.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("one after the other: "), "{lines:?}");
    for (line, limit) in lines[1..].iter().zip([20, 200]) {
        let begin = format!("at most {limit} at a time: 100 pages, 1690 bytes in ");
        assert!(line.starts_with(&begin), "{line:?}");
        let times = line
            .rsplit(' ')
            .nth(3)
            .and_then(|times| times.parse::<u32>().ok());
        assert!(times.is_some_and(|times| times >= 2), "{line:?}");
    }
}

/// Sends a request, and returns the status and the body of the answer.
fn request(address: &str, line: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split("\r\n\r\n").nth(1).unwrap().to_owned())
}

#[test]
fn the_web_api_answers_overlaps_and_ends_in_order() {
    let mut server = Child::start(&mut Command::new(env!("CARGO_BIN_EXE_example-web_api")));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap().to_owned();
    let ask = |line: &str, body: &str| request(&address, line, body);
    let tea = r#"{"name":"tea","price":3}"#;
    assert_eq!(ask("POST /items", tea), (201, "1\n".to_owned()));
    assert_eq!(ask("GET /items/1", ""), (200, tea.to_owned()));
    assert_eq!(ask("GET /items", ""), (200, format!("[{tea}]")));
    assert_eq!(ask("GET /items/7", "").0, 404);
    assert_eq!(ask("GET /items/x", "").0, 400);
    assert_eq!(ask("POST /items", "{").0, 400);
    assert_eq!(ask("GET /echo", "").0, 426);

    // Twenty requests of a second each.
    let start = std::time::Instant::now();
    std::thread::scope(|scope| {
        let slow = || scope.spawn(|| request(&address, "GET /slow", "").0);
        let all: Vec<_> = (0..20).map(|_| slow()).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap() == 200));
    });
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());

    assert_eq!(ask("POST /reports", ""), (202, "2\n".to_owned()));
    assert_eq!(
        ask("GET /reports/2", ""),
        (200, "is being written\n".to_owned())
    );
    server.interrupt();
    server.expect("all reports are written");
    assert_eq!(server.wait().signal(), Some(2));
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
fn the_echo_server_on_all_cores_echoes_and_says_goodbye() {
    let mut server = Child::start(
        Command::new(env!("CARGO_BIN_EXE_example-echo_on_all_cores")).args(["0", "3"]),
    );
    let listening = server.line();
    let listening = listening.strip_prefix("listening on ").unwrap();
    let address = listening.strip_suffix(" with 3 loops").unwrap();
    let mut clients: Vec<_> = (0..12)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut echoed = [0; 5];
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
    }
    server.interrupt();
    for mut client in clients {
        let mut rest = String::new();
        client.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "goodbye\n");
    }
    server.expect("ending");
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    let served = ended.output.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        words[3].parse::<u32>().unwrap()
    });
    assert_eq!(served.sum::<u32>(), 12);
}

#[test]
fn the_echo_server_goes_on_when_nobody_reads_what_it_says() {
    let mut server = Child::start(&mut Command::new(env!("CARGO_BIN_EXE_example-echo_server")));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap();
    server.stop_reading();
    for _ in 0..2 {
        let mut client = TcpStream::connect(address).unwrap();
        let mut echoed = [0; 5];
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(&echoed, b"hello");
    }
    server.interrupt();
    assert_eq!(server.wait().signal(), Some(2));
}

#[test]
fn the_echo_server_knows_a_port_when_it_sees_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().port().to_string();
    let cases = [
        ("seven", "usage: echo_server [PORT]"),
        ("65536", "usage: echo_server [PORT]"),
        (
            &taken,
            &format!("echo_server: cannot listen on port {taken}: "),
        ),
    ];
    for (port, expected) in cases {
        let mut server = Command::new(env!("CARGO_BIN_EXE_example-echo_server"));
        let refused = server.arg(port).output().unwrap();
        assert!(!refused.status.success());
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.starts_with(expected), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

/// The answer to `request`, without its head: a code and a text.
fn asked(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).expect("a code").parse().unwrap();
    (code, text.to_owned())
}

#[test]
fn background_tasks_are_started_asked_and_cancelled_and_end_with_the_server() {
    serves_background_tasks(env!("CARGO_BIN_EXE_example-background_tasks"));
}

/// Drives the example, or its twin.
pub(crate) fn serves_background_tasks(program: &str) {
    let mut server = Child::start(&mut Command::new(program));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap();
    let status = |number: u32| asked(address, &format!("GET /status/{number}")).1;
    let until = |number: u32, expected: &str| {
        while !status(number).starts_with(expected) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    };

    assert_eq!(
        asked(address, "POST /start?steps=2"),
        (202, "1\n".to_owned())
    );
    assert_eq!(
        asked(address, "POST /start?steps=1000000"),
        (202, "2\n".to_owned())
    );
    assert_eq!(
        asked(address, "POST /start?steps=1000000"),
        (202, "3\n".to_owned())
    );
    until(1, "done, 2 of 2 steps");
    until(2, "running, 1");
    let told = asked(address, "POST /cancel/2");
    assert_eq!(told, (200, "it was told to stop\n".to_owned()));
    until(2, "cancelled");
    let line = server.line();
    assert!(line.starts_with("task 2 stops after "), "{line}");
    assert_eq!(asked(address, "POST /cancel/2").1, "it has ended\n");
    assert_eq!(asked(address, "POST /start?steps=many").0, 400);
    assert_eq!(asked(address, "GET /status/7").0, 404);
    assert_eq!(asked(address, "GET /status/x").0, 404);
    assert_eq!(asked(address, "PUT *").0, 404);
    let (code, list) = asked(address, "GET /");
    assert_eq!((code, list.lines().count()), (200, 3));
    assert!(list.contains("3: running"), "{list}");

    // With a task under way: it puts away what it has.
    server.interrupt();
    server.expect("ending");
    let line = server.line();
    assert!(line.starts_with("task 3 stops after "), "{line}");
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.output.contains("3: cancelled"), "{ended:?}");
}

#[test]
fn ten_thousand_clients_with_fewer() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_example-ten_thousand_clients"));
    let ended = Child::start(server.arg("200")).wait();
    assert!(ended.status.success(), "{ended:?}");
    let told: Vec<_> = ended.output.lines().collect();
    assert!(told[0].starts_with("200 clients after "), "{told:?}");
    let last = told.last().unwrap();
    assert!(last.starts_with("all answered after "), "{told:?}");
}

#[test]
fn ten_thousand_clients_says_so_when_files_are_scarce() {
    let program = env!("CARGO_BIN_EXE_example-ten_thousand_clients");
    let script = "ulimit -n 128 && exec \"$0\" 200";
    let refused = Command::new("sh")
        .args(["-c", script, program])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("250 open files are more than is allowed"),
        "{told}"
    );
}

/// A directory with files of so many lines.
fn directory_of_files(name: &str, lines: &[usize]) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("asyncio-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for (n, lines) in lines.iter().enumerate() {
        std::fs::write(directory.join(n.to_string()), "two words\n".repeat(*lines)).unwrap();
    }
    directory
}

#[test]
fn wordcount() {
    let directory = directory_of_files("wordcount", &[3, 0, 50_000]);
    let mut wordcount = Command::new(env!("CARGO_BIN_EXE_example-wordcount"));
    let output = wordcount.arg(&directory).output().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let (counts, times) = told.split_once('\n').unwrap();
    assert_eq!(counts, "3 files: 50003 lines, 100006 words, 500030 bytes");
    assert!(times.starts_with("at once: "), "{times}");
    let missing = Command::new(env!("CARGO_BIN_EXE_example-wordcount"))
        .arg("/no/such")
        .output();
    let told = String::from_utf8(missing.unwrap().stderr).unwrap();
    assert!(told.contains("/no/such"), "{told}");
}

#[test]
fn pipeline() {
    let directory = directory_of_files("pipeline", &[30_000, 1]);
    let mut pipeline = Command::new(env!("CARGO_BIN_EXE_example-pipeline"));
    let output = pipeline
        .args([directory.join("0"), directory.join("1")])
        .output()
        .unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "30001 words\n30001 two\n"
    );
}

#[test]
fn the_supervisor_starts_again_what_fails_and_ends_with_the_last() {
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_example-supervisor"));
    // It fails the first time, because the directory is not there.
    let mark = std::env::temp_dir().join(format!("asyncio-supervisor-{}", std::process::id()));
    let mark = mark.display();
    let flaky =
        format!("flaky=echo trying; rmdir {mark} 2>/dev/null || {{ mkdir {mark}; exit 3; }}");
    let output = supervisor
        .args(["hello=echo hello; echo oops >&2", &flaky])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let of = |name: &str| {
        told.lines()
            .filter(|line| line.starts_with(name))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("hello"),
        [
            "hello: started",
            "hello | hello",
            "hello | oops",
            "hello: done"
        ]
    );
    assert_eq!(
        of("flaky"),
        [
            "flaky: started",
            "flaky | trying",
            "flaky: exit status: 3; again in 100ms",
            "flaky: started",
            "flaky | trying",
            "flaky: done",
        ]
    );
    assert_eq!(told.lines().last(), Some("all are done"));
}

#[test]
fn the_supervisor_passes_hangups_on_and_stops_all_gracefully() {
    let script = "polite=trap 'echo bye; exit' TERM; trap 'echo again' HUP; echo ready; while :; do sleep 0.01 & wait; done";
    let program = env!("CARGO_BIN_EXE_example-supervisor");
    let mut supervisor = Child::start(Command::new(program).arg(script));
    supervisor.expect("polite: started");
    supervisor.expect("polite | ready");
    supervisor.hang_up();
    supervisor.expect("polite | again");
    supervisor.terminate();
    let ended = supervisor.wait();
    assert_eq!(ended.output, "polite | bye\nall have ended\n");
    assert_eq!(ended.signal(), Some(15));
}

/// The output of the tour in its short form, started by `start`.
fn short_tour(start: &mut Command) -> String {
    let ended = Child::start(start.stderr(Stdio::inherit())).wait();
    assert!(ended.status.success(), "{}", ended.output);
    assert!(!ended.output.contains("it went wrong"), "{}", ended.output);
    for scene in 1..=11 {
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
        "200 pages of 5 ms each, over 100 connections; ",
        "10,000 tasks asleep at once",
        "asleep for an hour, were cancelled too",
        "10,000 children, each with a `&mut` to its own part",
        "fails: disk full",
        " rolled back",
        " timed out",
        "5,000 limits at once, all of which run out, and each one's work cleans up",
        " 100 are missing",
        " balanced",
        "60 loaves baked and eaten, each once",
        "20,000 callbacks in one burst, all of them called",
        "the event loop of thread `other` is kept by a step of task ",
        " late: in a ProcessPool",
        "20 processes, 8 at a time, each waited for and its file read",
        "a process that ignores SIGTERM has ended",
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

#[test]
fn the_chat_passes_lines_on_and_disconnects_who_is_silent() {
    let ended = chats(env!("CARGO_BIN_EXE_example-chat"));
    assert_eq!(ended.signal(), Some(2));
}

/// Drives the example, or its twin, until Ctrl-C.
pub(crate) fn chats(program: &str) -> Ended {
    use std::io::{BufRead, BufReader};

    struct Guest(BufReader<TcpStream>);

    impl Guest {
        fn join(address: &str, name: &str) -> Self {
            let stream = TcpStream::connect(address).unwrap();
            let mut guest = Guest(BufReader::new(stream));
            assert_eq!(guest.hear(), "* what is your name?\n");
            guest.say(name);
            guest
        }

        fn say(&mut self, line: &str) {
            writeln!(self.0.get_mut(), "{line}").unwrap();
        }

        fn hear(&mut self) -> String {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            line
        }
    }

    let mut server = Child::start(Command::new(program).args(["0", "2"]));
    let listening = server.line();
    let address = listening.strip_prefix("listening on ").unwrap().to_owned();
    let mut ada = Guest::join(&address, "ada");
    server.expect("ada has joined");
    let mut grace = Guest::join(&address, "grace");
    assert_eq!(ada.hear(), "* grace has joined\n");
    server.expect("grace has joined");
    grace.say("hello");
    assert_eq!(ada.hear(), "grace: hello\n");
    ada.say("hello to you");
    assert_eq!(grace.hear(), "ada: hello to you\n");
    // Of two who say nothing, one is the first to go.
    let last = [ada.hear(), grace.hear()];
    assert!(
        last.iter()
            .any(|line| line.ends_with(" said nothing for too long\n")),
        "{last:?}"
    );

    let mut late = Guest::join(&address, "late");
    while server.line() != "late has joined" {}
    server.interrupt();
    let ended = server.wait();
    let mut rest = String::new();
    late.0.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("* the chat is over, goodbye\n"), "{rest:?}");
    ended
}

#[test]
fn the_proxy_forwards_both_ways_and_survives_a_dead_target() {
    let target = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = target.local_addr().unwrap().to_string();
    let program = env!("CARGO_BIN_EXE_example-proxy");
    let mut proxy = Child::start(Command::new(program).args(["0", &to]));
    let listening = proxy.line();
    let address = listening.strip_prefix("listening on ").unwrap().to_owned();

    let mut client = TcpStream::connect(&address).unwrap();
    let (mut server, _) = target.accept().unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert!(proxy.line().ends_with("sent 8, received 6 bytes"));

    drop(target);
    let mut refused = TcpStream::connect(&address).unwrap();
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(proxy.line().contains("refused"));
    proxy.interrupt();
    assert_eq!(proxy.wait().signal(), Some(2));
}
