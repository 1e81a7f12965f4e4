//! HTTP/2 by prior knowledge (RFC 9113): a client that asks for `/`, and knows as much of the protocol as that takes.
//!
//! Several requests go out at a time, each on a stream of its own. The heads need no compression beyond one entry of
//! the dynamic table (RFC 7541).

use std::io;

use crate::web::HELLO;
use crate::workload::Message;

/// The preface of a client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `:method: GET`, `:scheme: http` and `:path: /`, each an entry of the static table.
const HEAD: [u8; 3] = [0x82, 0x86, 0x84];
/// `:authority: localhost`, which is kept as the first entry of the dynamic table.
const AUTHORITY: &[u8] = b"\x41\x09localhost";
/// The first entry of the dynamic table.
const AUTHORITY_AGAIN: &[u8] = b"\xbe";
/// `:status: 200`, an entry of the static table.
const OK: u8 = 0x88;

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;

/// Flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The length of a frame's head.
const FRAME_HEAD: usize = 9;

/// The connection of a client.
#[derive(Debug)]
pub(super) struct Http2 {
    /// The frames to send.
    out: Vec<u8>,
    /// The next stream of the client.
    stream: u32,
    /// The streams of the present requests that are open.
    open: usize,
    /// The bytes of the present pages so far.
    data: usize,
    /// Settings of the server that the client has not acknowledged.
    settings: usize,
    frame: Frame,
}

/// The frame that arrives.
#[derive(Debug, Default)]
struct Frame {
    head: Vec<u8>,
    /// The bytes of its content so far.
    received: usize,
}

impl Http2 {
    pub(super) fn new() -> Self {
        let mut out = PREFACE.to_vec();
        push_frame(&mut out, SETTINGS, 0, 0, &[]);
        // The window of the connection is never used up: it takes 100 million pages.
        let most = (1_u32 << 31) - 1 - 65_535;
        push_frame(&mut out, WINDOW_UPDATE, 0, 0, &most.to_be_bytes());
        Self {
            out,
            stream: 1,
            open: 0,
            data: 0,
            settings: 0,
            frame: Frame::default(),
        }
    }

    pub(super) fn begin(&mut self) {
        if self.stream > 1 {
            self.out.clear();
        }
        for _ in 0..std::mem::take(&mut self.settings) {
            push_frame(&mut self.out, SETTINGS, ACK, 0, &[]);
        }
        self.open = Message::STREAMS;
        self.data = 0;
        for _ in 0..Message::STREAMS {
            let authority = if self.stream == 1 {
                AUTHORITY
            } else {
                AUTHORITY_AGAIN
            };
            let head = [&HEAD, authority].concat();
            push_frame(
                &mut self.out,
                HEADERS,
                END_STREAM | END_HEADERS,
                self.stream,
                &head,
            );
            self.stream += 2;
        }
    }

    pub(super) fn request(&self) -> &[u8] {
        &self.out
    }

    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            let missing = FRAME_HEAD - self.frame.head.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.frame.head.extend_from_slice(head);
            if self.frame.head.len() < FRAME_HEAD {
                break;
            }
            let length = self.frame.length();
            let (content, rest) = rest.split_at((length - self.frame.received).min(rest.len()));
            self.check(content)?;
            self.frame.received += content.len();
            bytes = rest;
            if self.frame.received == length {
                self.end_of_frame();
            }
        }
        if self.open > 0 {
            return Ok(false);
        }
        match self.data == Message::STREAMS * HELLO.len() {
            true => Ok(true),
            false => Err(io::Error::other("the server sends another page")),
        }
    }

    /// Looks at a piece of a frame's content.
    fn check(&mut self, content: &[u8]) -> io::Result<()> {
        let is_first = self.frame.received == 0;
        match (self.frame.kind(), content.first()) {
            (DATA, _) => self.data += content.len(),
            (HEADERS, Some(first)) if is_first && *first != OK => {
                return Err(io::Error::other("the server answers with another status"));
            }
            (HEADERS | SETTINGS | WINDOW_UPDATE, _) => {}
            (kind, _) => return Err(io::Error::other(format!("a frame of the type {kind}"))),
        }
        Ok(())
    }

    fn end_of_frame(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        match frame.kind() {
            SETTINGS if frame.flags() & ACK == 0 => self.settings += 1,
            DATA | HEADERS if frame.flags() & END_STREAM != 0 => self.open -= 1,
            _ => {}
        }
        self.frame.head = frame.head;
        self.frame.head.clear();
    }
}

impl Frame {
    fn length(&self) -> usize {
        let [a, b, c] = [self.head[0], self.head[1], self.head[2]].map(usize::from);
        a << 16 | b << 8 | c
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn flags(&self) -> u8 {
        self.head[4]
    }
}

fn push_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    out.extend(&(content.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(streams: std::ops::Range<u32>) -> Vec<u8> {
        let mut out = Vec::new();
        push_frame(&mut out, SETTINGS, 0, 0, &[0; 6]);
        for stream in streams {
            push_frame(&mut out, HEADERS, END_HEADERS, stream, &[OK, 0]);
            push_frame(&mut out, DATA, END_STREAM, stream, HELLO.as_bytes());
        }
        out
    }

    #[test]
    fn answers_may_come_in_pieces() {
        let mut client = Http2::new();
        for _ in 0..2 {
            client.begin();
            let answers = answers(0..Message::STREAMS as u32);
            let (last, rest) = answers.split_last().unwrap();
            for byte in rest {
                assert!(!client.receive(&[*byte]).unwrap());
            }
            assert!(client.receive(&[*last]).unwrap());
        }
    }

    #[test]
    fn another_answer_is_an_error() {
        let mut client = Http2::new();
        client.begin();
        let mut reset = Vec::new();
        push_frame(&mut reset, 3, 0, 1, &[0; 4]);
        assert!(client.receive(&reset).is_err());
    }
}
