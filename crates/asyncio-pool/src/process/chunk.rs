//! A chunk: several calls of one function in one message, for calls that take less time than a message.
//!
//! The worker makes the calls one after the other and answers once, with a list. So each call has an outcome of its
//! own, but the end of the worker is the outcome of all of them.

use super::frame::{Kind, cut, finish, frame, kind_and_body};

/// The number of bytes of the length of a call's arguments.
const LENGTH: usize = 4;

/// The maximum number of calls of a chunk.
pub(crate) const MOST_CALLS: usize = 4096;

/// The bytes that an answer in a list may take in addition to its part of the limit: kind, length, and a message.
pub(crate) const ANSWER: usize = 128;

/// The answer to one call of a chunk: the kind that its frame would have, and the body.
pub(crate) type Answer = (u8, Vec<u8>);

/// Calls that are put together until they are sent.
#[derive(Debug)]
pub(crate) struct Chunk {
    frame: Vec<u8>,
    calls: usize,
    /// The number of bytes that may still be added.
    room: usize,
}

impl Chunk {
    /// An empty chunk of calls of the function at `address`. The arguments may take `limit` bytes together.
    pub(crate) fn new(address: &[u8], limit: usize) -> Self {
        Self {
            frame: frame(Kind::Calls, &[address]),
            calls: 0,
            room: limit,
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// Adds a call with these arguments. `false` if there is no room for it beside others.
    pub(crate) fn add(&mut self, arguments: &[u8]) -> bool {
        if self.calls > 0 && arguments.len() > self.room {
            return false;
        }
        let length = u32::try_from(arguments.len()).expect("the limit of messages is below 2^32");
        self.frame.extend_from_slice(&length.to_le_bytes());
        self.frame.extend_from_slice(arguments);
        self.room = self.room.saturating_sub(LENGTH + arguments.len());
        self.calls += 1;
        true
    }

    pub(crate) fn into_frame(self) -> Vec<u8> {
        finish(self.frame)
    }
}

/// Makes the calls of a chunk by `call`, which gives a frame, and returns the answers. The values may take `limit`
/// bytes together. An incomplete call and the bytes after it are ignored, so the parent misses its answer.
pub(crate) fn answers(
    mut calls: &[u8],
    limit: usize,
    mut call: impl FnMut(&[u8], usize) -> Vec<u8>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut room = limit;
    while let Some((arguments, rest)) = first_part(calls) {
        calls = rest;
        let answer = call(arguments, room);
        let (kind, body) = kind_and_body(&answer);
        let body = match body.len() > room {
            // A message: a value has the limit.
            true => cut(body, ANSWER / 2),
            false => body,
        };
        room = room.saturating_sub(body.len());
        answers.push((kind, body.to_vec()));
    }
    answers
}

/// The arguments of the first call, and what is behind them.
fn first_part(calls: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = calls.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::frame::message;

    fn body(chunk: Chunk) -> Vec<u8> {
        kind_and_body(&chunk.into_frame()).1.to_vec()
    }

    #[test]
    fn each_call_has_its_answer() {
        let mut chunk = Chunk::new(b"", 100);
        for arguments in [&b"one"[..], b"", b"three"] {
            assert!(chunk.add(arguments));
        }
        assert_eq!(chunk.calls(), 3);
        let echo = |arguments: &[u8], _limit| frame(Kind::Value, &[arguments]);
        let answers = answers(&body(chunk), 100, echo);
        let value = |bytes: &[u8]| (Kind::Value as u8, bytes.to_vec());
        assert_eq!(answers, [value(b"one"), value(b""), value(b"three")]);
    }

    #[test]
    fn calls_and_answers_have_the_limit_together() {
        let mut chunk = Chunk::new(b"address", 20);
        assert!(chunk.add(&[7; 30]), "the first one may always come");
        assert!(!chunk.add(&[7; 1]));
        let mut chunk = Chunk::new(b"", 1_000);
        (0..3).for_each(|_| assert!(chunk.add(&[7; 10])));
        let mut limits = Vec::new();
        let answers = answers(&body(chunk), 50, |_, limit| {
            limits.push(limit);
            match limits.len() {
                1 => frame(Kind::Value, &[&[7; 40]]),
                _ => message(Kind::Panicked, &"ä".repeat(1_000)),
            }
        });
        assert_eq!(limits, [50, 10, 0]);
        assert!(
            answers[1..]
                .iter()
                .all(|(_, body)| body.len() <= ANSWER / 2)
        );
        assert!(std::str::from_utf8(&answers[1].1).is_ok());
    }

    #[test]
    fn a_chunk_that_is_not_whole_has_fewer_answers() {
        let mut chunk = Chunk::new(b"", 100);
        assert!(chunk.add(b"one") && chunk.add(b"two"));
        let body = body(chunk);
        for end in 0..body.len() {
            let answers = answers(&body[..end], 100, |_, _| message(Kind::Panicked, ""));
            assert_eq!(answers.len(), usize::from(end >= 7));
        }
    }
}
