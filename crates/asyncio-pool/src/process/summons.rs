//! The summons, by which a program learns that it was started as a worker.
//!
//! It is a variable of the environment, with the words that the parent expects to hear, and a socket in place of the
//! standard input. The words name the process that made the socket. A program that a worker starts inherits the
//! variable, but a socket that it gets is none of its worker's parent.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{FileType, fstat};

use super::frame::{Kind, frame};

/// The variable's name.
pub(crate) const VARIABLE: &str = "ASYNCIO_WORKER";

/// The version of the protocol.
const VERSION: &str = "2";

/// Words for a worker of this process. No words are used twice.
pub(crate) fn new_words() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    let pid = std::process::id();
    format!("{VERSION}-{pid}-{:016x}{:016x}", random(), random())
}

/// The right answer to the words, for the worker with this number.
pub(crate) fn answer_to(words: &str, pid: u32) -> String {
    format!("asyncio worker {pid} {words}")
}

/// Whether the process that wrote the words has made the socket of standard input. The answer is right even after the
/// end of that process. So a worker whose parent has died does not run the program in its place.
fn is_from_author(words: &str) -> bool {
    let author = words.split('-').nth(1).and_then(|pid| pid.parse().ok());
    // Words of another version are for the parent to refuse.
    author.is_none_or(is_from)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_from(author: i32) -> bool {
    use rustix::net::sockopt::socket_peercred;
    socket_peercred(io::stdin()).is_ok_and(|maker| maker.pid.as_raw_pid() == author)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_from(author: i32) -> bool {
    use rustix::process::{Pid, getppid};
    // A process whose parent has died is a child of the first one.
    let parent = Pid::as_raw(getppid());
    parent == author || parent <= 1
}

/// A summons that this process has received and not followed.
#[derive(Debug)]
pub(crate) struct Summons {
    pub(crate) words: String,
}

impl Summons {
    /// The summons of this process, if it has one.
    pub(crate) fn pending() -> Option<Self> {
        let words = std::env::var(VARIABLE).ok()?;
        let stat = fstat(io::stdin()).ok()?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        (is_socket && is_from_author(&words)).then_some(Self { words })
    }

    /// Tells the parent that this program has not followed the summons.
    pub(crate) fn decline(&self) {
        // A parent that has gone need not know.
        let _ = self
            .socket()
            .and_then(|mut socket| socket.write_all(&frame(Kind::Forgot, &[])));
    }

    /// Another descriptor of the socket to the parent, which programs that are started do not inherit.
    pub(crate) fn socket(&self) -> io::Result<UnixStream> {
        Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
    }
}
