//! The system calls of byte streams.
//!
//! On Linux they are made directly. The C library makes each of them a point at which its thread can be cancelled. In a
//! process with a second thread, such as the stall detector, that takes two atomic operations a call.

use std::io;
#[cfg(not(target_os = "linux"))]
use std::io::{Read as _, Write as _};
use std::mem::MaybeUninit;

/// The calls of a source.
pub(crate) trait Calls {
    /// Reads once.
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Reads once, into memory that need not be initialised. Returns the part of it that the bytes are in.
    fn receive_uninit<'b>(&self, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]>;

    /// Writes once.
    fn send(&self, buf: &[u8]) -> io::Result<usize>;
}

macro_rules! calls {
    ($($Source:ty),*) => {$(
        #[cfg(target_os = "linux")]
        impl Calls for $Source {
            #[inline]
            fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
                let (received, _) = rustix::net::recv(self, buf, rustix::net::RecvFlags::empty())?;
                Ok(received)
            }

            #[inline]
            fn receive_uninit<'b>(&self, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]> {
                let ((received, _), _) = rustix::net::recv(self, buf, rustix::net::RecvFlags::empty())?;
                Ok(received)
            }

            #[inline]
            fn send(&self, buf: &[u8]) -> io::Result<usize> {
                // A peer that is gone is an error, and no signal.
                Ok(rustix::net::send(self, buf, rustix::net::SendFlags::NOSIGNAL)?)
            }
        }

        #[cfg(not(target_os = "linux"))]
        impl Calls for $Source {
            fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
                let mut stream = self;
                stream.read(buf)
            }

            fn receive_uninit<'b>(&self, buf: &'b mut [MaybeUninit<u8>]) -> io::Result<&'b mut [u8]> {
                let mut bytes = vec![0; buf.len()];
                let received = self.receive(&mut bytes)?;
                Ok(buf[..received].write_copy_of_slice(&bytes[..received]))
            }

            fn send(&self, buf: &[u8]) -> io::Result<usize> {
                let mut stream = self;
                stream.write(buf)
            }
        }
    )*};
}

calls!(mio::net::TcpStream);
#[cfg(unix)]
calls!(mio::net::UnixStream);
