//! Many datagrams in one system call.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use asyncio_reactor::Direction;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use crate::udp::UdpSocket;

/// A UDP socket that sends and receives many datagrams in one system call.
///
/// Where the system can, it splits a large buffer into datagrams (GSO), and joins those that arrive together (GRO). For
/// protocols with many datagrams a peer, such as QUIC, that saves most of the calls. Elsewhere the same methods take
/// more calls.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{UdpBatch, UdpBatchSocket, UdpSocket};
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let server = UdpBatchSocket::new(UdpSocket::bind("127.0.0.1:0").await?)?;
/// let client = UdpBatchSocket::new(UdpSocket::bind("127.0.0.1:0").await?)?;
/// client.send_segments(&[7; 5000], 1000, server.get_ref().local_addr()?).await?;
///
/// let mut batch = UdpBatch::new();
/// let mut received = 0;
/// while received < 5 {
///     server.recv(&mut batch).await?;
///     for (datagram, _from) in batch.iter() {
///         assert_eq!(datagram, [7; 1000]);
///         received += 1;
///     }
/// }
/// # Ok(())
/// # })
/// # }
/// ```
pub struct UdpBatchSocket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl UdpBatchSocket {
    /// Prepares a socket. From then on the system may join datagrams that arrive, so only this value may receive from
    /// it.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state })
    }

    /// The socket, for its options and addresses.
    #[must_use]
    pub fn get_ref(&self) -> &UdpSocket {
        &self.socket
    }

    /// Waits for datagrams, and receives as many as there are and as `batch` has room for. Returns their number, which
    /// is at least 1.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv(&self, batch: &mut UdpBatch) -> io::Result<usize> {
        let receive = |batch: &mut UdpBatch| {
            batch.received = 0;
            let room = batch.buffer.len() / batch.size;
            let mut bufs = batch.buffer.chunks_mut(batch.size).map(IoSliceMut::new);
            let mut bufs: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| bufs.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let bufs = &mut bufs[..room.min(BATCH_SIZE)];
            let socket = UdpSockRef::from(&self.socket);
            batch.received = self.state.recv(socket, bufs, &mut batch.metas[..])?;
            Ok(batch.iter().count())
        };
        loop {
            self.socket.readable().await?;
            match self.socket.try_io(Direction::Read, || receive(batch)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Sends `bytes` to one peer as datagrams of `segment` bytes each; the last one may be shorter. Waits while the
    /// send buffer is full.
    ///
    /// # Cancellation
    ///
    /// A part of the datagrams may be sent, and their number is lost.
    ///
    /// # Errors
    ///
    /// The system's error. A part of the datagrams may be sent.
    ///
    /// # Panics
    ///
    /// If `segment` is 0.
    pub async fn send_segments(
        &self,
        bytes: &[u8],
        segment: usize,
        to: SocketAddr,
    ) -> io::Result<()> {
        assert!(segment > 0, "`segment` must be at least 1 byte");
        /// The largest IPv4 datagram, which is also the largest buffer to be split.
        const MOST: usize = 65_507;
        let mut left = bytes;
        while !left.is_empty() {
            // Asked each time: the system may turn out not to split.
            let segments = self.state.max_gso_segments().min(MOST / segment).max(1);
            let contents = &left[..left.len().min(segments * segment)];
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents,
                segment_size: (contents.len() > segment).then_some(segment),
                src_ip: None,
            };
            let send = || {
                let socket = UdpSockRef::from(&self.socket);
                self.state.try_send(socket, &transmit)
            };
            self.socket.writable().await?;
            match self.socket.try_io(Direction::Write, send) {
                Ok(()) => left = &left[contents.len()..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The system has refused to split, and is not asked again.
                Err(_) if segments > 1 && self.state.max_gso_segments() < segments => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends datagrams to any peers, many in one call on Linux (`sendmmsg`). Returns the number of sent datagrams: all,
    /// unless there is an error after the first one. Waits while the send buffer is full.
    ///
    /// # Cancellation
    ///
    /// A part of the datagrams may be sent, and their number is lost.
    ///
    /// # Errors
    ///
    /// The system's error for the first datagram. An error for a later one ends the call with the number of those
    /// before it.
    pub async fn send_all<D: AsRef<[u8]>>(
        &self,
        datagrams: &[(D, SocketAddr)],
    ) -> io::Result<usize> {
        let mut sent = 0;
        while sent < datagrams.len() {
            self.socket.writable().await?;
            let next = &datagrams[sent..];
            match self
                .socket
                .try_io(Direction::Write, || send_some(&self.socket, next))
            {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }
}

/// Sends the first of some datagrams, one at least.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_some<D: AsRef<[u8]>>(
    socket: &UdpSocket,
    datagrams: &[(D, SocketAddr)],
) -> io::Result<usize> {
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
    use std::io::IoSlice;

    let datagrams = &datagrams[..datagrams.len().min(BATCH_SIZE)];
    let slices = datagrams
        .iter()
        .map(|(bytes, _)| [IoSlice::new(bytes.as_ref())]);
    let slices: Vec<[IoSlice<'_>; 1]> = slices.collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = datagrams
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let addresses = datagrams.iter().map(|(_, to)| SocketAddrAny::from(*to));
    let addresses = Vec::from_iter(addresses);
    let headers = addresses.iter().zip(&slices).zip(&mut controls);
    let headers =
        headers.map(|((to, slices), control)| MMsgHdr::new_with_addr(to, slices, control));
    let mut headers: Vec<MMsgHdr<'_>> = headers.collect();
    Ok(sendmmsg(socket, &mut headers, SendFlags::empty())?)
}

/// Sends the first of some datagrams.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_some<D: AsRef<[u8]>>(
    socket: &UdpSocket,
    datagrams: &[(D, SocketAddr)],
) -> io::Result<usize> {
    let (bytes, to) = &datagrams[0];
    socket2::SockRef::from(socket).send_to(bytes.as_ref(), &(*to).into())?;
    Ok(1)
}

impl fmt::Debug for UdpBatchSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpBatchSocket")
            .field("socket", &self.socket)
            .field("gso_segments", &self.state.max_gso_segments())
            .finish_non_exhaustive()
    }
}

/// Datagrams that [`UdpBatchSocket::recv`] receives together.
pub struct UdpBatch {
    buffer: Vec<u8>,
    /// The size of each buffer.
    size: usize,
    metas: Box<[RecvMeta; BATCH_SIZE]>,
    /// How many buffers the last call has filled.
    received: usize,
}

impl UdpBatch {
    /// Room for as many datagrams of any size as the system takes in one call. On Linux these are two megabytes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room(BATCH_SIZE, 64 * 1024)
    }

    /// Room for some buffers of `size` bytes each. Datagrams that the system has joined fill one buffer. If they do not
    /// fit, the rest is lost.
    ///
    /// # Panics
    ///
    /// If one of the numbers is 0.
    #[must_use]
    pub fn with_room(buffers: usize, size: usize) -> Self {
        assert!(buffers > 0, "a batch must have at least 1 buffer");
        assert!(size > 0, "a buffer must have at least 1 byte");
        Self {
            buffer: vec![0; buffers.min(BATCH_SIZE) * size],
            size,
            metas: Box::new([RecvMeta::default(); BATCH_SIZE]),
            received: 0,
        }
    }

    /// The datagrams with their senders, in the order in which they arrived.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let buffers = self.buffer.chunks(self.size).zip(&self.metas[..]);
        buffers.take(self.received).flat_map(|(buffer, meta)| {
            let bytes = &buffer[..meta.len.min(buffer.len())];
            let number = bytes.len().div_ceil(meta.stride.max(1)).max(1);
            (0..number).map(move |place| {
                let begin = place * meta.stride;
                let end = bytes.len().min(begin + meta.stride);
                (&bytes[begin..end], meta.addr)
            })
        })
    }
}

impl Default for UdpBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UdpBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpBatch")
            .field("datagrams", &self.iter().count())
            .finish_non_exhaustive()
    }
}
