//! Frames: the messages between parent and worker over their socket.
//!
//! A frame has four parts: the length of the rest (4 bytes, low byte first), a kind (1 byte), the number of its call (8
//! bytes), a body. An answer has the number of its call, and other frames have 0.
//!
//! The parent trusts no byte that a worker writes. A frame has a limit. Its buffer grows with the bytes that have come,
//! whatever length it promises. Every byte that does not fit ends the worker.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounds::{Bounded, Bounds};

/// The number of bytes before the body.
const HEAD: usize = KIND + 1 + NUMBER;

/// The place of the kind.
const KIND: usize = 4;

/// The number of bytes of a call's number.
const NUMBER: usize = 8;

/// The size of the buffer that a connection keeps.
const KEPT: usize = 4096;

/// The maximum by which a buffer grows at once.
const MOST: usize = 1024 * 1024;

/// The maximum length of a message, such as that of a panic.
const MESSAGE: usize = 64 * 1024;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From the worker, once it has its limits: the words that the parent expects.
    Hello = 1,
    /// From a program that was started as a worker, and is not one.
    Forgot = 2,
    /// To the worker: its limits.
    Configure = 3,
    /// To the worker: the name of a function, and arguments for it.
    Call = 4,
    /// From the worker: what the function returned.
    Value = 5,
    /// The function panicked, with a message.
    Panicked = 6,
    /// There is no such function.
    Unknown = 7,
    /// The arguments cannot be read, with a message.
    BadArguments = 8,
    /// The value cannot be sent, with a message.
    BadValue = 9,
    /// To the worker: the name of a function, and the arguments of several calls. The value is the list of answers.
    Calls = 10,
}

impl Kind {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        const ALL: [Kind; 10] = [
            Kind::Hello,
            Kind::Forgot,
            Kind::Configure,
            Kind::Call,
            Kind::Value,
            Kind::Panicked,
            Kind::Unknown,
            Kind::BadArguments,
            Kind::BadValue,
            Kind::Calls,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A received frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// The number of the call.
    pub(crate) number: u64,
    bytes: Vec<u8>,
    /// The place of the body.
    start: usize,
}

impl Frame {
    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The body as a text, whatever it is.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }
}

/// Why bytes are not a frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    #[error("a frame has no head")]
    NoHead,
    #[error("a frame is of no known kind ({0})")]
    UnknownKind(u8),
    #[error("there are bytes behind a frame")]
    Trailing,
    #[error("a frame is no answer")]
    Unexpected,
    #[error("it closed its socket and went on")]
    Closed,
    #[error("an answer is that of call {0}, not of call {1}")]
    OtherCall(u64, u64),
}

/// A frame to be sent, made of any bytes.
pub(crate) fn frame(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = begin(kind);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    finish(out)
}

/// Sets the number of the call of `frame`.
pub(crate) fn set_number(frame: &mut [u8], number: u64) {
    frame[KIND + 1..HEAD].copy_from_slice(&number.to_le_bytes());
}

/// A frame with a message, which is cut if it is long.
pub(crate) fn message(kind: Kind, text: &str) -> Vec<u8> {
    let end = text.floor_char_boundary(MESSAGE);
    frame(kind, &[&text.as_bytes()[..end]])
}

/// A frame with `head` and a value.
///
/// # Errors
///
/// Why the value cannot be encoded: its own reasons, or that more than `limit` bytes come together.
pub(crate) fn encode<T: Serialize + ?Sized>(
    kind: Kind,
    head: &[&[u8]],
    value: &T,
    limit: usize,
) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = begin(kind);
    head.iter().for_each(|part| bytes.extend_from_slice(part));
    write_behind(bytes, value, limit).map(finish)
}

/// `bytes` with a value behind them, which takes `limit` bytes at most.
///
/// # Errors
///
/// As [`encode`].
pub(crate) fn write_behind<T: Serialize + ?Sized>(
    bytes: Vec<u8>,
    value: &T,
    limit: usize,
) -> Result<Vec<u8>, EncodeError> {
    let limit = limit.saturating_add(bytes.len());
    match postcard::serialize_with_flavor(value, UpTo { bytes, limit }) {
        Ok(bytes) => Ok(bytes),
        Err(postcard::Error::SerializeBufferFull) => Err(EncodeError::TooLarge),
        Err(error) => Err(EncodeError::Other(error.to_string())),
    }
}

/// The kind of a frame, and its body.
pub(crate) fn kind_and_body(frame: &[u8]) -> (u8, &[u8]) {
    (frame[KIND], &frame[HEAD..])
}

/// The beginning of a message, of `most` bytes at most.
pub(crate) fn cut(text: &[u8], most: usize) -> &[u8] {
    let is_inside_of_a_letter = |end: &usize| text.get(*end).is_some_and(|byte| byte >> 6 == 0b10);
    let end = (0..=most.min(text.len())).rev();
    &text[..end
        .into_iter()
        .find(|end| !is_inside_of_a_letter(end))
        .unwrap_or(0)]
}

/// The value in a body. It takes all bytes of the body.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let bounds = Bounds::new(body.len());
    let mut bytes = postcard::Deserializer::from_bytes(body);
    let read = T::deserialize(Bounded::new(&mut bytes, &bounds));
    let read = read.and_then(|value| Ok((value, bytes.finalize()?)));
    match (read, bounds.exceeded()) {
        (Err(_), Some(bound)) => Err(bound.to_owned()),
        (Err(error), None) => Err(error.to_string()),
        (Ok((value, [])), _) => Ok(value),
        (Ok((_value, rest)), _) => Err(format!("{} bytes are left over", rest.len())),
    }
}

/// Why a value cannot be a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EncodeError {
    TooLarge,
    Other(String),
}

fn begin(kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&[0; HEAD]);
    out[KIND] = kind as u8;
    out
}

/// Sets the length of a frame.
pub(crate) fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(out.len() - KIND).unwrap_or(u32::MAX);
    out[..KIND].copy_from_slice(&length.to_le_bytes());
    out
}

/// Bytes up to a limit.
struct UpTo {
    bytes: Vec<u8>,
    limit: usize,
}

impl Flavor for UpTo {
    type Output = Vec<u8>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.bytes.len() >= self.limit {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}

/// Bytes that come in, until they are a frame. Between two frames there are none: each side speaks in its turn.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    filled: usize,
    /// The maximum number of bytes after the length.
    limit: usize,
}

impl Incoming {
    /// For bodies up to this size. Messages may be longer.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: vec![0; KEPT],
            filled: 0,
            limit: limit.max(MESSAGE).saturating_add(HEAD - KIND),
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The room for the next bytes. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            let more = self.filled.clamp(KEPT, MOST);
            // One more than there should be: a read that fills the space would not tell whether there is more.
            let wanted = self.end().map_or(usize::MAX, |end| end + 1);
            let size = wanted.clamp(self.filled + 1, self.filled + more);
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.filled..]
    }

    /// The end of the frame, if it is known.
    fn end(&self) -> Option<usize> {
        let length = self.bytes[..self.filled].first_chunk()?;
        Some(KIND.saturating_add(u32::from_le_bytes(*length) as usize))
    }

    /// Notes that `count` bytes have come into the space. Gives the frame if it is whole.
    pub(crate) fn filled(&mut self, count: usize) -> Result<Option<Frame>, FrameError> {
        self.filled += count;
        let Some(end) = self.end() else {
            return Ok(None);
        };
        match end - KIND {
            length if length < HEAD - KIND => return Err(FrameError::NoHead),
            length if length > self.limit => return Err(FrameError::TooLong(length)),
            _ => {}
        }
        if self.filled > end {
            return Err(FrameError::Trailing);
        }
        if self.filled > KIND && Kind::of(self.bytes[KIND]).is_none() {
            return Err(FrameError::UnknownKind(self.bytes[KIND]));
        }
        if self.filled < end {
            return Ok(None);
        }
        Ok(Some(self.take(end)))
    }

    fn take(&mut self, end: usize) -> Frame {
        let kind = Kind::of(self.bytes[KIND]).expect("looked at before");
        let number = self.bytes[KIND + 1..HEAD].first_chunk();
        let number = u64::from_le_bytes(*number.expect("it has eight bytes"));
        self.filled = 0;
        if self.bytes.len() > KEPT {
            // A large one is handed over as it is, with its buffer.
            let mut bytes = std::mem::replace(&mut self.bytes, vec![0; KEPT]);
            bytes.truncate(end);
            return Frame {
                kind,
                number,
                bytes,
                start: HEAD,
            };
        }
        Frame {
            kind,
            number,
            bytes: self.bytes[HEAD..end].to_vec(),
            start: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in parts of this size, as far as they are wanted.
    fn feed(
        incoming: &mut Incoming,
        bytes: &[u8],
        part: usize,
    ) -> Result<Option<Frame>, FrameError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = incoming.space();
            let n = rest.len().min(part).min(space.len());
            space[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            if let Some(frame) = incoming.filled(n)? {
                assert!(rest.is_empty(), "there is more");
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_frame_comes_in_parts_of_any_size() {
        for length in [0, 1, 4090, 4091, 4092, 5000, 300_000] {
            let body = vec![7; length];
            let mut bytes = frame(Kind::Value, &[&body]);
            set_number(&mut bytes, 1 << 40);
            for part in [1, 3, 4096, usize::MAX] {
                let mut incoming = Incoming::new(1 << 20);
                for _ in 0..2 {
                    let frame = feed(&mut incoming, &bytes, part).unwrap().unwrap();
                    assert_eq!((frame.kind, frame.body()), (Kind::Value, &body[..]));
                    assert_eq!(frame.number, 1 << 40);
                    assert!(incoming.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_buffer_grows_with_what_has_come_not_with_what_is_promised() {
        let mut incoming = Incoming::new(1 << 30);
        let mut lying = frame(Kind::Value, &[]);
        lying[..4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        assert_eq!(feed(&mut incoming, &lying, usize::MAX), Ok(None));
        incoming.space();
        assert!(incoming.bytes.capacity() <= 2 * KEPT);
        assert_eq!(feed(&mut incoming, &[0; 10_000], usize::MAX), Ok(None));
        assert!(incoming.bytes.capacity() <= 64 * 1024);
    }

    #[test]
    fn between_two_frames_a_connection_keeps_a_small_buffer() {
        let mut incoming = Incoming::new(1 << 20);
        for length in [0, 100, KEPT - HEAD, 300_000] {
            let bytes = frame(Kind::Value, &[&vec![7; length]]);
            let frame = feed(&mut incoming, &bytes, usize::MAX).unwrap().unwrap();
            // A large one has the buffer in which it came.
            let most = if length > KEPT { 2 * length } else { length };
            assert!(frame.bytes.capacity() <= most, "{length}");
            assert_eq!(incoming.bytes.capacity(), KEPT);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_at_once() {
        let refused = |bytes: &[u8]| feed(&mut Incoming::new(1 << 20), bytes, 1).unwrap_err();
        assert_eq!(refused(&[0; 4]), FrameError::NoHead);
        assert_eq!(refused(&[8, 0, 0, 0, 5]), FrameError::NoHead);
        assert_eq!(refused(&[9, 0, 0, 0, 0]), FrameError::UnknownKind(0));
        assert_eq!(refused(&[9, 0, 0, 0, 99]), FrameError::UnknownKind(99));
        assert_eq!(
            refused(&[255; 4]),
            FrameError::TooLong(u32::MAX as usize),
            "as soon as the length is there"
        );
        let mut two = frame(Kind::Hello, &[b"x"]);
        two.extend(frame(Kind::Hello, &[b"y"]));
        let mut incoming = Incoming::new(1 << 20);
        assert_eq!(
            feed(&mut incoming, &two, usize::MAX),
            Err(FrameError::Trailing)
        );
    }

    #[test]
    fn a_message_is_cut_where_a_letter_ends() {
        let long = "ä".repeat(MESSAGE);
        let bytes = message(Kind::Panicked, &format!("x{long}"));
        let frame = feed(&mut Incoming::new(0), &bytes, usize::MAX)
            .unwrap()
            .unwrap();
        let text = frame.text();
        assert!(text.starts_with("xää") && text.ends_with('ä'));
        assert_eq!(text.len(), MESSAGE - 1);
    }

    #[test]
    fn a_value_has_a_limit() {
        let value = vec![1_u8; 100];
        assert!(encode(Kind::Call, &[b"head"], &value, 101).is_ok());
        assert_eq!(
            encode(Kind::Call, &[b"head"], &value, 100),
            Err(EncodeError::TooLarge)
        );
        assert_eq!(
            encode(Kind::Call, &[], "text", 4),
            Err(EncodeError::TooLarge)
        );
        assert_eq!(decode::<u8>(&[5]), Ok(5));
        assert_eq!(
            decode::<u8>(&[5, 6]),
            Err("1 bytes are left over".to_owned())
        );
        assert!(decode::<String>(&[200]).is_err());
    }

    /// Any bytes, in any parts, cause no panic, and take hardly more memory than their number.
    #[test]
    fn any_bytes_are_a_frame_or_refused() {
        let mut seed = 1_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..20_000 {
            let mut incoming = Incoming::new(1 << 16);
            let mut fed = 0;
            for _ in 0..random() % 8 {
                let space = incoming.space();
                let n = (random() as usize % 6000).min(space.len());
                space[..n].fill_with(|| (random() % 12) as u8);
                fed += n;
                match incoming.filled(n) {
                    Ok(None) => {}
                    Ok(Some(frame)) => assert!(frame.body().len() <= fed),
                    Err(_) => break,
                }
                assert!(incoming.bytes.capacity() <= 4 * (fed + KEPT));
            }
        }
    }
}
