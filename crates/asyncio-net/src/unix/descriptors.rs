//! Descriptors that are sent over a Unix socket (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use asyncio_reactor::Direction;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::datagram::UnixDatagram;
use super::stream::UnixStream;

/// The maximum number of descriptors in one message on Linux (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 253;

/// A message that may contain descriptors, from [`UnixStream::recv_with_fds`] or
/// [`UnixDatagram::recv_with_fds`].
#[derive(Debug)]
pub struct Received {
    /// The number of bytes.
    pub bytes: usize,
    /// The descriptors. They are closed on `exec`.
    pub fds: Vec<OwnedFd>,
    /// Whether descriptors were lost: there were more than requested, or this process had no room
    /// for them.
    pub fds_lost: bool,
}

impl UnixStream {
    /// Writes at least one byte, and sends descriptors with the bytes. Returns the number of
    /// written bytes. The peer receives the descriptors with the first byte.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `InvalidInput` without a byte or with more than 253 descriptors, and the system's error.
    pub async fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        check(bytes, fds)?;
        let send = |socket: &mio::net::UnixStream| send_with_fds(socket, bytes, fds);
        self.io.io(Direction::Write, send).await
    }

    /// Reads bytes and up to `most` descriptors that came with them. The system closes the other
    /// descriptors. Zero bytes mean the end of the stream.
    ///
    /// Bytes that came with different descriptors are never joined. (A plain read closes the
    /// descriptors that come with its bytes.)
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv_with_fds(&self, buf: &mut [u8], most: usize) -> io::Result<Received> {
        let receive = |socket: &mio::net::UnixStream| recv_with_fds(socket, buf, most);
        self.io.io(Direction::Read, receive).await
    }
}

impl UnixDatagram {
    /// Sends a message with descriptors to the connected peer.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with more than 253 descriptors, and the system's error.
    pub async fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        check(b"any", fds)?;
        let send = |socket: &mio::net::UnixDatagram| send_with_fds(socket, bytes, fds);
        self.io.io(Direction::Write, send).await
    }

    /// Receives a message and up to `most` descriptors that came with it. The system closes the
    /// other descriptors.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv_with_fds(&self, buf: &mut [u8], most: usize) -> io::Result<Received> {
        let receive = |socket: &mio::net::UnixDatagram| recv_with_fds(socket, buf, most);
        self.io.io(Direction::Read, receive).await
    }
}

pub(super) fn check(bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() {
        let message = "descriptors travel with bytes: send at least one byte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    if fds.len() > MAX_DESCRIPTORS {
        let message = format!(
            "a message carries at most {MAX_DESCRIPTORS} descriptors, not {}",
            fds.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

pub(super) fn send_with_fds(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(fds.len()))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(fds));
        debug_assert!(pushed, "the buffer has room for these descriptors");
    }
    // Without NOSIGNAL, writing to a closed peer would end the process.
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut control, NO_SIGNAL)?;
    Ok(sent)
}

pub(super) fn recv_with_fds(
    socket: impl AsFd,
    buf: &mut [u8],
    most: usize,
) -> io::Result<Received> {
    let most = most.min(MAX_DESCRIPTORS);
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(most))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bufs = [IoSliceMut::new(buf)];
    let RecvMsg { bytes, flags, .. } = recvmsg(socket, &mut bufs, &mut control, CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    // The space is rounded up, so it may have had room for one more descriptor.
    let too_many = fds.len() > most;
    fds.truncate(most);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    for fd in &fds {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(Received {
        bytes,
        fds,
        fds_lost: too_many || flags.contains(ReturnFlags::CTRUNC),
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOEXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;

/// Set afterwards, on each descriptor.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOEXEC: RecvFlags = RecvFlags::empty();

/// Without it, a write to a closed peer would send this process a signal.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// The socket has an option in its place (`SO_NOSIGPIPE`), which mio sets.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();
