//! The methods of all byte streams.
//!
//! A macro, because each stream is a type of its own with its own documentation.

/// Implements the methods of all byte streams for a type whose field `io` is the source.
macro_rules! byte_stream {
    ($Stream:ident, $Addr:ty) => {
        impl $Stream {
            /// Waits until there is something to read, and reads up to the size of `buf`. Zero means the
            /// end: the peer sends nothing more (or `buf` is empty).
            ///
            /// # Cancellation
            ///
            /// Loses nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// The system's error, such as `ConnectionReset`.
            #[inline]
            pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                $crate::stream::transfer::Read {
                    waiting: self.io.waiting(Reading),
                    buf,
                }
            }

            /// [`read`](Self::read) into several buffers, one after the other.
            ///
            /// # Cancellation
            ///
            /// Loses nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// The system's error, such as `ConnectionReset`.
            pub fn read_vectored(
                &self,
                bufs: &mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                $crate::stream::transfer::ReadVectored {
                    waiting: self.io.waiting(Reading),
                    bufs,
                }
            }

            /// Fills `buf`.
            ///
            /// # Cancellation
            ///
            /// Loses the bytes that were read so far.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the connection ends first. The bytes read so far are in `buf`, but their
            /// number is lost. Otherwise the system's error.
            #[inline]
            pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
                $crate::stream::transfer::ReadExact {
                    waiting: self.io.waiting(Reading),
                    left: buf,
                }
            }

            /// Waits until there is room, and writes as much of `buf` as fits.
            ///
            /// # Cancellation
            ///
            /// Has written nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// The system's error, such as `BrokenPipe` or `ConnectionReset`.
            #[inline]
            pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                $crate::stream::transfer::Write {
                    waiting: self.io.waiting(Writing),
                    buf,
                }
            }

            /// [`write`](Self::write) from several buffers, one after the other.
            ///
            /// # Cancellation
            ///
            /// Has written nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// The system's error, such as `BrokenPipe` or `ConnectionReset`.
            pub fn write_vectored(
                &self,
                bufs: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                let (parts, wanted) = parts_of_one_call(bufs);
                let bufs = &bufs[parts];
                self.io
                    .write_with(wanted, move |stream| $crate::stream::transfer::write_parts(stream, bufs, wanted))
            }

            /// Writes all of `buf` to the system's buffer. The peer may not have received it yet.
            ///
            /// # Cancellation
            ///
            /// A part of `buf` may be written, and its size is lost.
            ///
            /// # Errors
            ///
            /// The system's error, such as `BrokenPipe` or `ConnectionReset`. A part of `buf` may be
            /// written.
            #[inline]
            pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                $crate::stream::transfer::WriteAll {
                    waiting: self.io.waiting(Writing),
                    left: buf,
                }
            }

            /// Waits until a read is worth a try: there are bytes, the end, or an error. It stays ready
            /// until a `try_` method returns `WouldBlock`. Now and then it lets other tasks run first.
            ///
            /// # Cancellation
            ///
            /// Loses nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// An error if its loop is closed or is not the running one.
            pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
                self.io.readable()
            }

            /// Waits until a write is worth a try: there is room, or an error. It stays ready until a
            /// `try_` method returns `WouldBlock`. Now and then it lets other tasks run first.
            ///
            /// # Cancellation
            ///
            /// Loses nothing, even if it loses a race.
            ///
            /// # Errors
            ///
            /// An error if its loop is closed or is not the running one.
            pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
                self.io.writable()
            }

            /// [`readable`](Self::readable), for code that polls.
            ///
            /// # Errors
            ///
            /// An error if its loop is closed or is not the running one.
            pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.io.poll_read_ready(cx)
            }

            /// [`writable`](Self::writable), for code that polls.
            ///
            /// # Errors
            ///
            /// An error if its loop is closed or is not the running one.
            pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.io.poll_write_ready(cx)
            }

            /// [`read`](Self::read) into memory that need not be initialised, for code that polls. `take` is
            /// called with the bytes that were read, which are the start of `buf`.
            ///
            /// # Errors
            ///
            /// The system's error, and an error if its loop is closed or is not the running one.
            #[inline]
            pub fn poll_read_uninit(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [MaybeUninit<u8>],
                mut take: impl FnMut(&mut [u8]),
            ) -> Poll<io::Result<usize>> {
                $crate::stream::transfer::poll_read_with(&self.io, cx, buf.len(), |stream| {
                    let bytes = stream.receive_uninit(buf)?;
                    let n = bytes.len();
                    take(bytes);
                    Ok(n)
                })
            }

            /// Reads without waiting. Returns `WouldBlock` without a system call while the loop has
            /// recorded that there is nothing to read.
            ///
            /// After a thousand reads without an `await` that waits, the result is `WouldBlock`, even if
            /// there is more. [`readable`](Self::readable) then lets other tasks run, and is ready again.
            ///
            /// # Errors
            ///
            /// `WouldBlock`, and the system's error.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                $crate::stream::transfer::try_read_with(&self.io, buf.len(), |stream| stream.receive(buf))
            }

            /// [`try_read`](Self::try_read) into several buffers, one after the other.
            ///
            /// # Errors
            ///
            /// `WouldBlock`, and the system's error.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let (parts, wanted) = parts_of_one_call(bufs);
                let bufs = &mut bufs[parts];
                $crate::stream::transfer::try_read_with(&self.io, wanted, |mut stream| {
                    stream.read_vectored(bufs)
                })
            }

            /// Writes without waiting. Returns `WouldBlock` without a system call while the loop has
            /// recorded that there is no room.
            ///
            /// # Errors
            ///
            /// `WouldBlock`, and the system's error.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.io
                    .try_transfer(Direction::Write, buf.len(), |stream| stream.send(buf))
            }

            /// [`try_write`](Self::try_write) from several buffers, one after the other.
            ///
            /// # Errors
            ///
            /// `WouldBlock`, and the system's error.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                let (parts, wanted) = parts_of_one_call(bufs);
                let bufs = &bufs[parts];
                self.io
                    .try_transfer(Direction::Write, wanted, move |stream| $crate::stream::transfer::write_parts(stream, bufs, wanted))
            }

            /// Tries an operation of your own on the socket, for example one of the `socket2` crate through
            /// [`AsFd`](std::os::fd::AsFd). After `WouldBlock` the next operation waits.
            ///
            /// # Errors
            ///
            /// `WouldBlock`, and the error of `f`.
            pub fn try_io<R>(
                &self,
                direction: Direction,
                f: impl FnOnce() -> io::Result<R>,
            ) -> io::Result<R> {
                self.io.try_io(direction, |_| f())
            }

            /// Shuts down the sending side, the receiving side or both. After [`Shutdown::Write`] the peer
            /// reads the end of the stream, and may continue to send.
            ///
            /// # Errors
            ///
            /// The system's error, such as `NotConnected` after a reset.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.io.get_ref().shutdown(how)
            }

            /// Returns and clears the socket's pending error, if any.
            ///
            /// # Errors
            ///
            /// The system's error.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.io.get_ref().take_error()
            }

            /// [`readable`](Self::readable), for code that polls.
            pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.io.poll_read_ready(cx)
            }

            pub(crate) fn poll_read(
                &self,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                $crate::stream::transfer::poll_read_with(&self.io, cx, buf.len(), |stream| stream.receive(buf))
            }

            pub(crate) fn poll_read_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let (parts, wanted) = parts_of_one_call(bufs);
                let bufs = &mut bufs[parts];
                $crate::stream::transfer::poll_read_with(&self.io, cx, wanted, |mut stream| stream.read_vectored(bufs))
            }

            pub(crate) fn poll_write(
                &self,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.io
                    .poll_write_with(cx, buf.len(), |stream| stream.send(buf))
            }

            pub(crate) fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let (parts, wanted) = parts_of_one_call(bufs);
                let bufs = &bufs[parts];
                self.io
                    .poll_write_with(cx, wanted, move |stream| $crate::stream::transfer::write_parts(stream, bufs, wanted))
            }

            /// Shuts the sending side down. Succeeds if the connection is already gone.
            pub(crate) fn close_write(&self) -> io::Result<()> {
                match self.shutdown(Shutdown::Write) {
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }
        }

        impl $Stream {
            /// Splits the stream into a read half and a write half that borrow it.
            ///
            /// (Not named `split`, because an extension trait of `futures` has a method of that name.)
            #[doc(alias = "split")]
            pub fn split_ref(
                &mut self,
            ) -> (
                $crate::stream::split::ReadHalf<'_, Self>,
                $crate::stream::split::WriteHalf<'_, Self>,
            ) {
                (
                    $crate::stream::split::ReadHalf::borrowed(self),
                    $crate::stream::split::WriteHalf::borrowed(self),
                )
            }

            /// Splits the stream into a read half and a write half for separate tasks. Dropping the write
            /// half shuts the sending side down.
            pub fn into_split(
                self,
            ) -> (
                $crate::stream::split::OwnedReadHalf<Self>,
                $crate::stream::split::OwnedWriteHalf<Self>,
            ) {
                $crate::stream::split::into_split(self)
            }
        }

        impl $crate::stream::ByteStream for $Stream {
            type Addr = $Addr;
        }

        impl $crate::stream::sealed::Sealed for $Stream {
            type Addr = $Addr;

            fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
                self.read(buf)
            }

            fn read_vectored(
                &self,
                bufs: &mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                self.read_vectored(bufs)
            }

            fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
                self.read_exact(buf)
            }

            fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
                self.write(buf)
            }

            fn write_vectored(
                &self,
                bufs: &[IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> {
                self.write_vectored(bufs)
            }

            fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
                self.write_all(buf)
            }

            fn readable(&self) -> impl Future<Output = io::Result<()>> {
                self.readable()
            }

            fn writable(&self) -> impl Future<Output = io::Result<()>> {
                self.writable()
            }

            fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.try_read(buf)
            }

            fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.try_read_vectored(bufs)
            }

            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.try_write(buf)
            }

            fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.try_write_vectored(bufs)
            }

            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_read_vectored(cx, bufs)
            }

            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                &self,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_vectored(cx, bufs)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn poll_send_file(
                &self,
                cx: &mut Context<'_>,
                file: &std::fs::File,
                offset: u64,
                most: usize,
            ) -> Poll<io::Result<usize>> {
                self.io.poll_io(cx, Direction::Write, |stream| {
                    let mut from = offset;
                    Ok(rustix::fs::sendfile(stream, file, Some(&mut from), most)?)
                })
            }

            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            fn poll_send_file(
                &self,
                _cx: &mut Context<'_>,
                _file: &std::fs::File,
                _offset: u64,
                _most: usize,
            ) -> Poll<io::Result<usize>> {
                Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
            }

            fn shutdown_write(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }

            fn close_write(&self) -> io::Result<()> {
                self.close_write()
            }

            fn local_addr(&self) -> io::Result<$Addr> {
                self.local_addr()
            }

            fn peer_addr(&self) -> io::Result<$Addr> {
                self.peer_addr()
            }
        }

        $crate::stream::io_traits::reads_from!(impl[] $Stream, |this| this);
        $crate::stream::io_traits::writes_to!(impl[] $Stream, |this| this);
        // As for the standard library's `&TcpStream`. One task may read while another writes.
        $crate::stream::io_traits::reads_from!(impl[] &$Stream, |this| this);
        $crate::stream::io_traits::writes_to!(impl[] &$Stream, |this| this);

        #[cfg(unix)]
        impl std::os::fd::AsFd for $Stream {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.io.get_ref().as_fd()
            }
        }
    };
}

pub(crate) use byte_stream;
