//! A limit for the heads of a form's fields.
//!
//! multer keeps a head until its end has come. With each piece of the body it looks for the end from the start of the
//! head again. A head without an end would cost gigabytes of reading. So the body ends with an error before that.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::BoxError;
use bytes::Bytes;
use futures_core::Stream;
use memchr::memmem;

/// The bytes of a head, and of what stands before the first field.
const MAX_HEAD: usize = 64 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The pieces of a form, up to the first head that is too long.
pub(crate) struct BoundedHeads<S> {
    pieces: S,
    heads: Heads,
}

impl<S> BoundedHeads<S> {
    pub(crate) fn new(pieces: S, boundary: &str) -> Self {
        let heads = Heads::new(boundary);
        Self { pieces, heads }
    }
}

impl<S, E> Stream for BoundedHeads<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = Pin::new(&mut this.pieces).poll_next(cx);
        next.map(|next| {
            let piece = next?.map_err(Into::into);
            Some(piece.and_then(|piece| {
                this.heads.look_at(&piece)?;
                Ok(piece)
            }))
        })
    }
}

/// The head of a field has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the head of a field has more than {MAX_HEAD} bytes")]
pub(crate) struct HeadTooLong;

/// How far a form was looked through.
struct Heads {
    /// The bytes that end the data of a field.
    delimiter: Vec<u8>,
    /// The length of the head so far. `None` in the data of a field.
    head: Option<usize>,
    /// The last bytes, in which the sought ones may begin.
    tail: Vec<u8>,
}

impl Heads {
    fn new(boundary: &str) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into(),
            head: Some(0),
            tail: Vec::new(),
        }
    }

    /// Looks through the next piece.
    fn look_at(&mut self, mut piece: &[u8]) -> Result<(), HeadTooLong> {
        loop {
            let sought = match self.head {
                Some(_) => END_OF_HEAD,
                None => &self.delimiter,
            };
            let end = end_of(sought, &self.tail, piece);
            if let Some(length) = &mut self.head {
                *length += end.unwrap_or(piece.len());
                if *length > MAX_HEAD {
                    return Err(HeadTooLong);
                }
            }
            let Some(end) = end else {
                self.tail
                    .extend_from_slice(&piece[piece.len().saturating_sub(sought.len())..]);
                let surplus = self.tail.len().saturating_sub(sought.len() - 1);
                self.tail.drain(..surplus);
                return Ok(());
            };
            self.tail.clear();
            self.head = match self.head {
                Some(_) => None,
                None => Some(0),
            };
            piece = &piece[end..];
        }
    }
}

/// The place behind the first `sought` in a piece. It may begin in `tail`, the bytes before the piece, but does not end
/// there.
fn end_of(sought: &[u8], tail: &[u8], piece: &[u8]) -> Option<usize> {
    let border = [tail, &piece[..piece.len().min(sought.len() - 1)]].concat();
    let across = memmem::find(&border, sought).map(|at| at + sought.len() - tail.len());
    across.or_else(|| memmem::find(piece, sought).map(|at| at + sought.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_however_the_form_is_cut() {
        let form = b"--b\r\nA: x\r\n\r\ndata\r\n-\r\n--c\r\n--b\r\n\r\n\r\n--b\r\nB: y\r\n\r\nz";
        let states = |pieces: &[&[u8]]| {
            let mut heads = Heads::new("b");
            pieces
                .iter()
                .for_each(|piece| heads.look_at(piece).unwrap());
            heads.head
        };
        for end in 0..form.len() {
            let form = &form[..end];
            let whole = states(&[form]);
            for cut in 0..=end {
                assert_eq!(
                    states(&[&form[..cut], &form[cut..]]),
                    whole,
                    "{cut} of {end}"
                );
            }
            let bytes: Vec<_> = form.chunks(1).collect();
            assert_eq!(states(&bytes), whole, "{end}");
        }
        assert_eq!(states(&[form]), None);
        assert_eq!(states(&[&form[..form.len() - 3]]), Some(8));
    }

    #[test]
    fn a_long_head_is_an_error_and_long_data_is_none() {
        let mut heads = Heads::new("b");
        assert_eq!(heads.look_at(b"--b\r\n\r\n"), Ok(()));
        assert_eq!(heads.look_at(&vec![0; 2 * MAX_HEAD]), Ok(()));
        assert_eq!(heads.look_at(b"\r\n--b\r\nA: "), Ok(()));
        assert_eq!(heads.look_at(&vec![b'x'; MAX_HEAD - 5]), Ok(()));
        assert_eq!(heads.look_at(b"x"), Err(HeadTooLong));
    }
}
