//! `StreamReader` against a naive reader of the whole stream: whatever pieces the bytes come in, each method returns
//! what the documentation says, in order, and no byte is lost or doubled.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use arbitrary::Arbitrary;
use asyncio_net::{ReadError, StreamReader};
use futures::AsyncRead;

use crate::on_a_loop;

/// The input of the law.
#[derive(Arbitrary, Debug)]
pub struct Input {
    limit: u8,
    pieces: VecDeque<(bool, Vec<u8>)>,
    calls: Vec<Call>,
}

#[derive(Arbitrary, Debug)]
enum Call {
    Read(u16),
    ReadExact(u16),
    ReadToEnd(u16),
    ReadUntil(Vec<Vec<u8>>),
    Readline,
    NextLine,
    /// A call that is dropped after its first poll.
    Dropped,
}

/// Gives piece after piece, and waits before some.
struct Source {
    pieces: VecDeque<(bool, Vec<u8>)>,
    /// How many bytes it has given.
    given: usize,
}

impl AsyncRead for Source {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some((waits, piece)) = self.pieces.front_mut() else {
            return Poll::Ready(Ok(0));
        };
        if std::mem::take(waits) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = piece.len().min(buf.len());
        buf[..n].copy_from_slice(&piece[..n]);
        piece.drain(..n);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.given += n;
        Poll::Ready(Ok(n))
    }
}

/// The begin and the end of the separator that ends first, and of those the shortest.
fn find(separators: &[&[u8]], bytes: &[u8]) -> Option<(usize, usize)> {
    (1..=bytes.len()).find_map(|end| {
        let ends = separators.iter().filter(|s| bytes[..end].ends_with(s));
        ends.map(|s| s.len()).min().map(|n| (end - n, end))
    })
}

/// Panics if the law does not hold.
pub fn check(input: Input) {
    let Input {
        limit,
        mut pieces,
        calls,
    } = input;
    pieces.retain(|(_, piece)| !piece.is_empty());
    let all: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece.clone()).collect();
    let limit = usize::from(limit).max(1);
    let source = Source { pieces, given: 0 };
    let mut reader = StreamReader::with_limit(limit, source);
    on_a_loop(async {
        // The bytes before it were returned or dropped.
        let mut at = 0;
        for call in calls {
            let rest = &all[at..];
            match call {
                Call::Read(n) => {
                    let read = reader.read(n.into()).await.unwrap();
                    assert!(read.len() <= n.into() && rest.starts_with(read));
                    assert!(!read.is_empty() || n == 0 || rest.is_empty());
                    at += read.len();
                }
                Call::ReadExact(n) => match reader.read_exact(n.into()).await {
                    Ok(read) => {
                        assert_eq!(read, &rest[..n.into()]);
                        at += read.len();
                    }
                    Err(ReadError::Incomplete(end)) => {
                        assert!(rest.len() < n.into() && end.expected == Some(n.into()));
                        assert_eq!(end.partial, rest);
                        at = all.len();
                    }
                    Err(other) => panic!("{other}"),
                },
                Call::ReadToEnd(most) => match reader.read_to_end(most.into()).await {
                    Ok(read) => {
                        assert!(read == rest && rest.len() <= most.into());
                        at = all.len();
                    }
                    Err(ReadError::LimitOverrun(overrun)) => {
                        assert!(rest.len() > most.into() && overrun.consumed > most.into());
                    }
                    Err(other) => panic!("{other}"),
                },
                Call::ReadUntil(separators) => {
                    let separators: Vec<&[u8]> = separators.iter().map(|s| &s[..]).collect();
                    if separators.is_empty() || separators.contains(&&b""[..]) {
                        continue;
                    }
                    let found = find(&separators, rest);
                    match reader.read_until(&separators[..]).await {
                        Ok(read) => {
                            let (begin, end) = found.unwrap();
                            assert!(begin <= limit);
                            assert_eq!(read, &rest[..end]);
                            at += end;
                        }
                        Err(ReadError::Incomplete(end)) => {
                            assert!(found.is_none() && end.expected.is_none());
                            assert_eq!(end.partial, rest);
                            at = all.len();
                        }
                        Err(ReadError::LimitOverrun(overrun)) => {
                            assert!(overrun.consumed > limit);
                            match found {
                                Some((begin, _)) if overrun.found => {
                                    assert_eq!(begin, overrun.consumed);
                                }
                                Some((begin, _)) => assert!(begin >= overrun.consumed),
                                None => assert!(!overrun.found),
                            }
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
                Call::Readline | Call::NextLine => {
                    let end = find(&[b"\n"], rest);
                    let line = &rest[..end.map_or(rest.len(), |(_, end)| end)];
                    let outcome = match call {
                        Call::NextLine => reader.next_line().await.map(|text| {
                            let text = text.unwrap_or_default().as_bytes();
                            let without = line.strip_suffix(b"\n").unwrap_or(line);
                            assert_eq!(text, without.strip_suffix(b"\r").unwrap_or(without));
                        }),
                        _ => reader
                            .readline()
                            .await
                            .map_err(io::Error::from)
                            .map(|read| {
                                assert_eq!(read, line);
                            }),
                    };
                    let before = end.map_or(rest.len(), |(begin, _)| begin);
                    match outcome {
                        Ok(()) => {
                            assert!(before <= limit);
                            at += line.len();
                        }
                        // A text that is none, or a line beyond the limit, which is dropped as far as it has come.
                        Err(error) => {
                            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                            let is_text = std::str::from_utf8(line).is_ok();
                            assert!(before > limit || !is_text);
                            at = reader.get_ref().given - reader.unread().len();
                        }
                    }
                }
                Call::Dropped => {
                    let cx = &mut Context::from_waker(Waker::noop());
                    let reading = std::pin::pin!(reader.read_until(b"no such separator"));
                    if let Poll::Ready(Err(ReadError::Incomplete(_))) = reading.poll(cx) {
                        at = all.len();
                    }
                }
            }
            // The bytes that came and were not returned are there.
            assert_eq!(reader.get_ref().given - reader.unread().len(), at);
            assert!(all[at..].starts_with(reader.unread()));
            assert!(!reader.at_eof() || at == all.len());
        }
        let (source, unread) = reader.into_parts();
        assert_eq!(unread, &all[at..source.given]);
    });
}
