//! A property test: a reader that waits only when it is told to wait reads every byte and the end,
//! for any sizes of pieces and buffers.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::task::{Context, Poll, Waker};

use asyncio_reactor::Reactor;
use proptest::prelude::*;

use crate::support::{LONG, NOW, Stream, tcp_pair};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The peer sends this many bytes.
    Send(usize),
    /// The reader reads with a buffer of this size, at most this many times.
    Read(usize, usize),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Small sizes, so that buffers are often filled exactly.
    let step = prop_oneof![
        3 => (1usize..9).prop_map(Step::Send),
        4 => (1usize..9, 1usize..4).prop_map(|(size, times)| Step::Read(size, times)),
        2 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..40)
}

/// Reads at most `times` times. True at the end of the stream.
fn read(stream: &Stream, size: usize, times: usize, expected: &mut VecDeque<u8>) -> Option<bool> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = vec![0; size];
    for _ in 0..times {
        match stream.poll_read_with(&mut cx, size, |mut stream| stream.read(&mut buf)) {
            Poll::Pending => return None,
            Poll::Ready(got) => match got.unwrap() {
                0 => return Some(true),
                n => assert!(expected.drain(..n).eq(buf[..n].iter().copied())),
            },
        }
    }
    Some(false)
}

proptest! {
    // A failing case has waited long, so it is shrunk only a little.
    #![proptest_config(ProptestConfig { max_shrink_iters: 4, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_byte_arrives(steps in steps(), last_buffer in 1usize..9) {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = tcp_pair(&reactor);
        let mut expected = VecDeque::new();
        let mut next = 0;
        for step in steps {
            match step {
                Step::Send(count) => {
                    let bytes: Vec<u8> = (0..count).map(|n| next + n as u8).collect();
                    next = next.wrapping_add(count as u8) % 100;
                    theirs.write_all(&bytes).unwrap();
                    expected.extend(bytes);
                }
                Step::Read(size, times) => {
                    read(&ours, size, times, &mut expected);
                }
                Step::Look => {
                    reactor.turn(NOW).unwrap();
                }
            }
        }
        while !expected.is_empty() {
            if read(&ours, last_buffer, 1, &mut expected).is_none() {
                prop_assert!(reactor.turn(LONG).unwrap() > 0);
            }
        }
        drop(theirs);
        loop {
            match read(&ours, last_buffer, usize::MAX, &mut expected) {
                Some(_) => break,
                // The reader waits, so an event must come.
                None => prop_assert!(reactor.turn(LONG).unwrap() > 0),
            }
        }
        prop_assert!(expected.is_empty());
    }
}
