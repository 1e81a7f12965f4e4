//! Separators between the parts of a stream.

/// One or several separators, for [`StreamReader::read_until`](crate::StreamReader::read_until): `b'\n'`, `b"\r\n"`,
/// `"\r\n"`, or a slice or an array of byte strings. Of several, the separator that ends first counts, and of those
/// that end there the shortest.
pub trait Separator: sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {
        /// Whether there is none, or one of them is empty.
        fn is_empty(&self) -> bool;
        /// The length of the longest one.
        fn longest(&self) -> usize;
        /// The start and the end of the first separator.
        fn find(&self, bytes: &[u8]) -> Option<(usize, usize)>;
    }
}

impl Separator for u8 {}
impl sealed::Sealed for u8 {
    fn is_empty(&self) -> bool {
        false
    }

    fn longest(&self) -> usize {
        1
    }

    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let begin = memchr::memchr(*self, bytes)?;
        Some((begin, begin + 1))
    }
}

impl Separator for [u8] {}
impl sealed::Sealed for [u8] {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn longest(&self) -> usize {
        self.len()
    }

    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        if let [byte] = self {
            return byte.find(bytes);
        }
        let begin = memchr::memmem::find(bytes, self)?;
        Some((begin, begin + self.len()))
    }
}

impl Separator for [&[u8]] {}
impl sealed::Sealed for [&[u8]] {
    fn is_empty(&self) -> bool {
        <[_]>::is_empty(self) || self.iter().any(|one| one.is_empty())
    }

    fn longest(&self) -> usize {
        self.iter().map(|one| one.len()).max().unwrap_or(0)
    }

    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let found = self
            .iter()
            .filter_map(|one| sealed::Sealed::find(*one, bytes));
        // Of those with the same end, the shortest begins last.
        found.min_by_key(|&(begin, end)| (end, std::cmp::Reverse(begin)))
    }
}

macro_rules! as_slice {
    ($([$($generics:tt)*] $type:ty => $slice:ty, |$this:ident| $as_slice:expr;)*) => {$(
        impl<$($generics)*> Separator for $type {}
        impl<$($generics)*> sealed::Sealed for $type {
            fn is_empty(&self) -> bool {
                let $this = self;
                <$slice as sealed::Sealed>::is_empty($as_slice)
            }

            fn longest(&self) -> usize {
                let $this = self;
                <$slice as sealed::Sealed>::longest($as_slice)
            }

            fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
                let $this = self;
                <$slice as sealed::Sealed>::find($as_slice, bytes)
            }
        }
    )*};
}

as_slice! {
    [const N: usize] [u8; N] => [u8], |this| this;
    [const N: usize] [&[u8]; N] => [&[u8]], |this| this;
    [] str => [u8], |this| this.as_bytes();
    [T: Separator + ?Sized] &T => T, |this| this;
}
