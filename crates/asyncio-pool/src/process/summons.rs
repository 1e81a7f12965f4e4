//! The summons: how a program is told that it was started as a worker.
//!
//! It is two things: a variable of the environment, with words that the parent expects to hear, and a socket in place of
//! the standard input. Programs that a worker starts inherit the first, but not the second.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::fs::{FileType, fstat};

use super::frame::{Kind, frame};

/// The variable's name.
pub(crate) const VARIABLE: &str = "ASYNCIO_WORKER";

/// The version of the protocol.
const VERSION: &str = "1";

/// Words that nobody has used before.
pub(crate) fn new_words() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{VERSION}-{:016x}{:016x}", random(), random())
}

/// What the worker with this number is to answer to the words.
pub(crate) fn answer_to(words: &str, pid: u32) -> String {
    format!("asyncio worker {pid} {words}")
}

/// A summons that this process has got and not followed.
#[derive(Debug)]
pub(crate) struct Summons {
    pub(crate) words: String,
}

impl Summons {
    /// That of this process, if it has one.
    pub(crate) fn pending() -> Option<Self> {
        let words = std::env::var(VARIABLE).ok()?;
        let stat = fstat(io::stdin()).ok()?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        is_socket.then_some(Self { words })
    }

    /// Tells the parent that this program has not followed it.
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
