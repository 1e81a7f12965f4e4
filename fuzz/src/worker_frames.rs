//! Frames of worker processes: whatever bytes come, in whatever pieces, there is a frame or an error, and no more
//! memory than bytes that have come.

use arbitrary::Arbitrary;

#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/asyncio-pool/src/process/bounds.rs"]
mod bounds;
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/asyncio-pool/src/process/frame.rs"]
mod frame;

use frame::{Frame, FrameError, Incoming, Kind};

/// The input of the law.
#[derive(Arbitrary, Debug)]
pub struct Input {
    limit: u16,
    pieces: Vec<u8>,
    bytes: Bytes,
}

#[derive(Arbitrary, Debug)]
enum Bytes {
    Any(Vec<u8>),
    Frame { number: u64, body: Vec<u8> },
}

/// The frame or the error of these bytes, how many were taken, and the most memory that was asked for.
fn read(
    limit: usize,
    bytes: &[u8],
    mut pieces: impl Iterator<Item = usize>,
) -> (Result<Option<Frame>, FrameError>, usize) {
    let mut incoming = Incoming::new(limit);
    let mut taken = 0;
    while taken < bytes.len() {
        let space = incoming.space();
        assert!(!space.is_empty() && space.len() <= taken + (1 << 20));
        let n = pieces.next().unwrap_or(usize::MAX).clamp(1, space.len());
        let n = n.min(bytes.len() - taken);
        space[..n].copy_from_slice(&bytes[taken..taken + n]);
        taken += n;
        match incoming.filled(n) {
            Ok(None) => {}
            outcome => return (outcome, taken),
        }
    }
    (Ok(None), taken)
}

/// Panics if the law does not hold.
pub fn check(input: Input) {
    let limit = usize::from(input.limit);
    let bytes = match &input.bytes {
        Bytes::Any(bytes) => bytes.clone(),
        Bytes::Frame { number, body } => {
            let mut bytes = frame::frame(Kind::Value, &[body]);
            frame::set_number(&mut bytes, *number);
            bytes
        }
    };
    let pieces = input.pieces.iter().map(|n| usize::from(*n));
    let (outcome, taken) = read(limit, &bytes, pieces);
    // A byte at a time there is never anything behind a frame.
    let (alone, needed) = read(limit, &bytes, std::iter::repeat(1));
    match outcome {
        Err(FrameError::Trailing) => assert!(needed < taken),
        outcome => assert_eq!(outcome, alone),
    }
    match (&input.bytes, alone) {
        (Bytes::Frame { number, body }, Ok(frame)) => {
            let frame = frame.expect("it is whole");
            assert!(frame.number == *number && frame.body() == body && frame.kind == Kind::Value);
            let _ = frame.text();
        }
        (Bytes::Frame { body, .. }, Err(error)) => {
            assert!(matches!(error, FrameError::TooLong(_)) && body.len() > limit);
        }
        (Bytes::Any(_), Ok(Some(frame))) => {
            // No value needs more memory than its bytes say.
            let _ = frame::decode::<(u64, Vec<String>, Option<Vec<u8>>)>(frame.body());
        }
        (Bytes::Any(_), _) => {}
    }
}
