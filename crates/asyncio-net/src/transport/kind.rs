//! A transport's knowledge of the type of its stream.

use std::any::{Any, TypeId};
use std::io;
use std::task::{Context, Poll};

use crate::tcp::stream::TcpStream;
#[cfg(unix)]
use crate::unix::stream::UnixStream;

/// A transport's knowledge of the type of its stream.
pub(crate) struct Kind {
    /// Finds the TCP stream in the stream.
    pub(crate) find_tcp: fn(&dyn Any) -> Option<&TcpStream>,
    /// Whether a read may be worth a try. It saves the preparations of a read that has to wait.
    pub(crate) poll_readable: fn(&dyn Any, &mut Context<'_>) -> Poll<io::Result<()>>,
    /// Whether the stream may keep what it has taken, until it is flushed.
    pub(crate) keeps_bytes: bool,
}

impl Kind {
    /// The kind of a stream, unless more is known.
    pub(crate) fn of<S: Any>() -> &'static Self {
        let stream = TypeId::of::<S>();
        if stream == TypeId::of::<TcpStream>() {
            return &TCP;
        }
        #[cfg(unix)]
        if stream == TypeId::of::<UnixStream>() {
            return &UNIX;
        }
        &OTHER
    }
}

static TCP: Kind = Kind {
    find_tcp: |stream| stream.downcast_ref(),
    poll_readable: |stream, cx| match stream.downcast_ref::<TcpStream>() {
        Some(stream) => stream.poll_readable(cx),
        None => Poll::Ready(Ok(())),
    },
    keeps_bytes: false,
};

#[cfg(unix)]
static UNIX: Kind = Kind {
    find_tcp: |_| None,
    poll_readable: |stream, cx| match stream.downcast_ref::<UnixStream>() {
        Some(stream) => stream.poll_readable(cx),
        None => Poll::Ready(Ok(())),
    },
    keeps_bytes: false,
};

static OTHER: Kind = Kind {
    find_tcp: |_| None,
    poll_readable: |_, _| Poll::Ready(Ok(())),
    keeps_bytes: true,
};
