//! How much one system call moves at most.
//!
//! A short transfer means that the source is drained, unless the call itself was capped. So a
//! transfer counts as short only against the most that its call could have moved:
//!
//! - a vectored call takes a limited number of parts, and ignores the rest;
//! - every call moves a limited number of bytes, however large its buffer is.

use std::ops::{Deref, Range};

/// How many parts the system (`IOV_MAX`, `UIO_MAXIOV`) or the standard library takes in one
/// vectored call. Elsewhere, the minimum that POSIX allows.
const MAX_PARTS: usize = if cfg!(any(
    target_vendor = "apple",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "netbsd",
    target_os = "openbsd",
)) {
    1024
} else {
    16
};

/// Less than the maximum of one call on any system: two gigabytes less a page on Linux, less a byte
/// on macOS. A transfer of this size or more never counts as short, which costs one more call.
const MAX_BYTES: usize = 1 << 30;

/// The parts of a vectored operation that one call takes, and how many bytes it can move: the
/// `wanted` of [`Registered::poll_read_with`](crate::Registered::poll_read_with) and its siblings.
///
/// Empty parts at the front are left out. A call with only empty parts would move nothing, which a
/// reader takes for the end of the stream.
///
/// ```
/// use asyncio_reactor::parts_of_one_call;
/// use std::io::IoSlice;
///
/// let parts = [IoSlice::new(b""), IoSlice::new(b"hello"), IoSlice::new(b"world")];
/// assert_eq!(parts_of_one_call(&parts), (1..3, 10));
///
/// let many = [IoSlice::new(b"x"); 5000];
/// let (taken, wanted) = parts_of_one_call(&many);
/// assert!(taken.len() == wanted && wanted < 5000);
/// ```
pub fn parts_of_one_call<P: Deref<Target = [u8]>>(parts: &[P]) -> (Range<usize>, usize) {
    let start = parts.iter().take_while(|part| part.is_empty()).count();
    let end = parts.len().min(start + MAX_PARTS);
    let lengths = parts[start..end].iter().map(|part| part.len());
    // Several parts may be the same memory, so their sum may exceed the address space.
    (start..end, lengths.fold(0, usize::saturating_add))
}

/// Whether a call moved less than it could have, of `wanted` bytes. Zero means the end of the
/// stream, not a short transfer.
#[inline]
pub(crate) fn is_short(moved: usize, wanted: usize) -> bool {
    0 < moved && moved < wanted && moved < MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    #[test]
    fn a_call_takes_the_first_parts_that_are_not_empty() {
        let bytes = [7; 3];
        let empty = || IoSlice::new(&[]);
        let part = || IoSlice::new(&bytes);
        assert_eq!(parts_of_one_call::<IoSlice<'_>>(&[]), (0..0, 0));
        assert_eq!(parts_of_one_call(&[empty(), empty()]), (2..2, 0));
        assert_eq!(
            parts_of_one_call(&[empty(), part(), empty(), part()]),
            (1..4, 6)
        );
        let mut many: Vec<_> = (0..2 * MAX_PARTS).map(|_| empty()).collect();
        many.extend((0..2 * MAX_PARTS).map(|_| part()));
        assert_eq!(
            parts_of_one_call(&many),
            (2 * MAX_PARTS..3 * MAX_PARTS, 3 * MAX_PARTS)
        );
    }

    #[test]
    fn a_transfer_that_the_system_capped_is_not_short() {
        assert!(!is_short(0, 1) && !is_short(1, 1) && is_short(1, 2));
        for cap in [0x7fff_f000, 0x7fff_0000, i32::MAX as usize - 1] {
            assert!(!is_short(cap, 3 << 30));
            assert!(is_short(1, 3 << 30));
        }
    }
}
