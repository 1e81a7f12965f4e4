//! The floor's echo server: epoll, `read`, `write`, and a struct a connection.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::net::{SocketFlags, accept_with};

use crate::workloads::echo::Progress;

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    answered: bool,
}

/// Accepts the connections of `progress`, answers them, and ends with the last of them.
pub(super) fn serve(listener: &TcpListener, buffer: usize, progress: &Progress) -> io::Result<()> {
    const LISTENER: u64 = u64::MAX;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let of_listener = epoll::EventData::new_u64(LISTENER);
    epoll::add(&epoll, listener, of_listener, epoll::EventFlags::IN)?;

    let mut connections: Vec<Option<Connection>> = Vec::with_capacity(progress.connections());
    let mut open = 0;
    let mut events = Vec::with_capacity(1_024);
    while open > 0 || connections.len() < progress.connections() {
        events.clear();
        retry_on_intr(|| epoll::wait(&epoll, spare_capacity(&mut events), None))?;
        for event in &events {
            let number = event.data.u64();
            if number == LISTENER {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let Ok(socket) = accept_with(listener, flags) else {
                    continue;
                };
                let data = epoll::EventData::new_u64(connections.len() as u64);
                epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
                open += 1;
                connections.push(Some(Connection {
                    socket,
                    buffer: vec![0; buffer].into_boxed_slice(),
                    answered: false,
                }));
                continue;
            }
            let place = &mut connections[number as usize];
            let Some(connection) = place else { continue };
            if connection.answer().is_err() {
                *place = None;
                open -= 1;
            } else if !connection.answered {
                connection.answered = true;
                progress.first_answer();
            }
        }
    }
    Ok(())
}

impl Connection {
    /// Sends back what has come.
    ///
    /// # Errors
    ///
    /// The connection has ended, by its peer or by an error.
    fn answer(&mut self) -> io::Result<()> {
        // The system reports the rest in the socket again, so one read is enough.
        let received = match read(&self.socket, &mut *self.buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            received => received,
        };
        let mut left = &self.buffer[..received];
        while !left.is_empty() {
            match write(&self.socket, left) {
                Ok(sent) => left = &left[sent..],
                // A peer that does not read; none of the workloads has one for long.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
