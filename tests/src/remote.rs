//! Functions that worker processes call, for the tests and for the program that is their worker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Takes and gives nothing.
#[asyncio::remote]
pub fn nothing() {}

/// One argument.
#[asyncio::remote]
pub fn double(n: u64) -> u64 {
    n * 2
}

/// Several arguments, and itself.
#[asyncio::remote]
pub fn power(base: u64, exponent: u32) -> u64 {
    match exponent {
        0 => 1,
        more => base * power(base, more - 1),
    }
}

/// A type of one's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// With a name.
    Named {
        /// Its name.
        name: String,
        /// By a key.
        sizes: BTreeMap<String, f64>,
    },
    /// Without.
    Unnamed(Option<Box<Shape>>, (i8, char)),
}

/// Returns its argument, with the name twice.
#[asyncio::remote]
pub fn renamed(shape: Shape) -> Shape {
    match shape {
        Shape::Named { name, sizes } => Shape::Named {
            name: name.repeat(2),
            sizes,
        },
        other => other,
    }
}

/// A result.
#[asyncio::remote]
pub fn parsed(text: String) -> Result<u32, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

/// A number, or a panic.
#[asyncio::remote]
pub fn parsed_or_panics(text: String) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("no number"))
}

/// An `async` function: sleeps, and spawns a task that is cancelled with its loop.
#[asyncio::remote]
pub async fn slept(milliseconds: u64, value: String) -> String {
    asyncio::spawn(std::future::pending::<()>()).detach();
    asyncio::sleep(Duration::from_millis(milliseconds)).await;
    value
}

/// So many bytes of one value.
#[asyncio::remote]
pub fn bytes(count: usize) -> Vec<u8> {
    vec![7; count]
}

/// How many bytes it is given.
#[asyncio::remote]
pub fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// The number of the process.
#[asyncio::remote]
pub fn pid() -> u32 {
    std::process::id()
}

/// Sleeps, and gives the number of the process.
#[asyncio::remote]
pub fn pid_after(milliseconds: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    std::process::id()
}

/// Panics with what it is given.
#[asyncio::remote]
pub fn panics(message: String) -> u32 {
    panic!("{message}")
}

/// Panics on its loop.
#[asyncio::remote]
pub async fn panics_on_its_loop() {
    asyncio::yield_now().await;
    panic!("on its loop")
}

/// Ends the process with this code.
#[asyncio::remote]
pub fn exits(code: i32) {
    std::process::exit(code);
}

/// Ends the process by SIGABRT.
#[asyncio::remote]
pub fn aborts() {
    std::process::abort();
}

/// Ends the process by this signal.
#[asyncio::remote]
pub fn kills_itself() {
    let signal = rustix::process::Signal::KILL;
    rustix::process::kill_process(rustix::process::getpid(), signal).expect("it may");
}

/// Takes so many bytes of memory, and uses them.
#[asyncio::remote]
pub fn takes_memory(bytes: usize) -> usize {
    let taken = std::hint::black_box(vec![1_u8; bytes]);
    taken
        .iter()
        .step_by(4096)
        .map(|byte| usize::from(*byte))
        .sum()
}

/// Never ends.
#[asyncio::remote]
pub fn hangs() {
    loop {
        std::thread::park();
    }
}

/// Appends a line to a file, then sleeps.
#[asyncio::remote]
pub fn notes(path: String, line: String, milliseconds: u64) {
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.append(true).create(true).open(path).expect("it opens");
    writeln!(file, "{line}").expect("it is written");
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Sleeps at the end of its thread, then appends a line to a file.
struct LastWords(String, String, u64);

impl Drop for LastWords {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(self.2));
        notes(std::mem::take(&mut self.0), std::mem::take(&mut self.1), 0);
    }
}

/// As [`notes`], when the process ends in order. It sleeps first.
#[asyncio::remote]
pub fn notes_at_the_end(path: String, line: String, milliseconds: u64) {
    thread_local!(static LAST: RefCell<Option<LastWords>> = const { RefCell::new(None) });
    LAST.set(Some(LastWords(path, line, milliseconds)));
}

/// Its descriptors, except the one that it reads the list with.
#[asyncio::remote]
pub fn descriptors() -> Vec<(u32, String)> {
    let directory = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let entries = std::fs::read_dir(directory).expect("it is there");
    let entries = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let target = std::fs::read_link(&path).ok()?;
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, target.to_string_lossy().into_owned()))
    });
    let mut all: Vec<(u32, String)> = entries
        .filter(|(_, target)| !target.ends_with("/fd"))
        .collect();
    all.sort();
    all
}

/// Returns its standard input, and writes two lines of output.
#[asyncio::remote]
pub fn speaks() -> String {
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .expect("it can be read");
    println!("on standard output");
    eprintln!("on standard error");
    input
}

/// Prints into a file, which is the standard output from then on.
#[asyncio::remote]
pub fn prints_into(path: String, text: String) {
    let file = std::fs::File::create(path).expect("it can be created");
    rustix::stdio::dup2_stdout(file).expect("there is a standard output");
    print!("{text}");
}

/// Starts a pool of its own in the worker.
#[asyncio::remote]
pub async fn doubles_in_a_pool_of_its_own(n: u64) -> Result<u64, String> {
    let pool = asyncio::ProcessPool::builder().workers(1).build();
    let doubled = pool.run(double, n).await;
    doubled.map_err(|error| error.to_string())
}

/// Starts another program with the worker's environment, and gives what that prints.
#[asyncio::remote]
pub fn prints(program: String, argument: String) -> String {
    let mut command = std::process::Command::new(program);
    let output = command.arg(argument).output().expect("it starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// As [`prints`], with the end of a closed socket as the program's standard input.
#[asyncio::remote]
pub fn prints_with_a_socket(program: String, argument: String) -> String {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("there is one");
    drop(ours);
    let mut command = std::process::Command::new(program);
    command.stdin(std::os::fd::OwnedFd::from(theirs));
    let output = command.arg(argument).output().expect("it starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Arguments that cannot be read.
#[derive(Clone, Debug, Serialize)]
pub struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody can read this"))
    }
}

/// Is given what cannot be read.
#[asyncio::remote]
pub fn reads(_what: Unreadable) {}

/// Gives what cannot be read.
#[asyncio::remote]
pub fn writes() -> Unreadable {
    Unreadable
}

/// A value whose reading panics.
#[derive(Clone, Debug, Serialize)]
pub struct Panicking;

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("reading panics as part of the test")
    }
}

/// Gives a value whose reading panics.
#[asyncio::remote]
pub fn writes_what_panics() -> Panicking {
    Panicking
}

/// A chain of boxes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Chain(Option<Box<Chain>>);

impl Drop for Chain {
    // The usual drop of a long chain takes as many frames of the stack.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut link) = next {
            next = link.0.take();
        }
    }
}

/// A chain of so many boxes.
#[asyncio::remote]
pub fn chain(length: u32) -> Chain {
    (0..length).fold(Chain::default(), |chain, _| Chain(Some(Box::new(chain))))
}

/// How many boxes a chain has.
#[asyncio::remote]
pub fn chain_length(chain: Chain) -> u32 {
    std::iter::successors(chain.0.as_deref(), |link| link.0.as_deref()).count() as u32
}

/// Exits if the number is odd.
#[asyncio::remote]
pub fn exits_if_odd(n: u32) -> u32 {
    if n % 2 == 1 {
        std::process::exit(1);
    }
    n
}
