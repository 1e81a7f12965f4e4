//! `StreamWriter` over a pair in memory: whatever is called, and however slowly the peer reads, it reads what was
//! written before the end, in order.

use std::rc::Rc;

use arbitrary::Arbitrary;
use asyncio_loop::{spawn, yield_now};
use asyncio_net::{StreamWriter, memory_pair};

use crate::on_a_loop;

/// The input of the law.
#[derive(Arbitrary, Debug)]
pub struct Input {
    capacity: u8,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Write(u8),
    WriteLines(Vec<u8>),
    /// In a task of its own.
    Drain,
    Marks(u8, u8),
    /// The peer reads so much, if there is anything.
    Read(u8),
    Yield,
    WriteEof,
    Close,
}

/// Panics if the law does not hold.
pub fn check(input: Input) {
    let capacity = usize::from(input.capacity).max(1);
    on_a_loop(async {
        let (ours, peer) = memory_pair(capacity);
        let writer = Rc::new(StreamWriter::new(ours));
        let (mut written, mut read) = (Vec::new(), Vec::new());
        let mut is_open = true;
        let mut next = 0_u8;
        let mut bytes = |n: usize| -> Vec<u8> {
            next = next.wrapping_add(1);
            (0..n).map(|i| (i as u8).wrapping_mul(7) ^ next).collect()
        };
        let mut draining = Vec::new();
        for call in input.calls {
            match call {
                Call::Write(n) => {
                    let piece = bytes(n.into());
                    writer.write(&piece);
                    if is_open {
                        written.extend(piece);
                    }
                }
                Call::WriteLines(lengths) => {
                    let pieces: Vec<_> = lengths.iter().map(|n| bytes((*n).into())).collect();
                    writer.writelines(&pieces);
                    if is_open {
                        written.extend(pieces.concat());
                    }
                }
                Call::Drain => {
                    let writer = writer.clone();
                    draining.push(spawn(async move { writer.drain().await.is_ok() }));
                }
                Call::Marks(low, high) => {
                    writer.set_water_marks(low.min(high).into(), high.max(low).into());
                }
                Call::Read(n) => {
                    if read.len() + writer.buffered() < written.len() {
                        let mut buf = vec![0; n.into()];
                        let n = peer.read(&mut buf).await.unwrap();
                        read.extend_from_slice(&buf[..n]);
                    }
                }
                Call::Yield => yield_now().await,
                Call::WriteEof => {
                    writer.write_eof();
                    is_open = false;
                }
                Call::Close => {
                    writer.close();
                    is_open = false;
                }
            }
            assert!(written.starts_with(&read));
            assert!(writer.buffered() <= written.len() - read.len());
        }
        writer.close();
        let mut buf = [0; 64];
        loop {
            match peer.read(&mut buf).await.unwrap() {
                0 => break,
                n => read.extend_from_slice(&buf[..n]),
            }
        }
        assert_eq!(read, written);
        // After the end a write is an error, which this tells too.
        let _ = writer.wait_closed().await;
        for task in draining {
            let _ = task.await.unwrap();
        }
    });
}
