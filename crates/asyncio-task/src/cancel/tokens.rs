//! The live tokens that hold one scope, counted by request.
//!
//! The tokens of the latest request hold the scope. Tokens of earlier ones do not, as a later request interrupts their
//! cleanups; but when all of the later ones have gone, they hold again.

use super::Request;

/// The live tokens that hold one scope.
pub(super) struct Tokens {
    /// The latest request that has any; 0: there is none.
    request: Request,
    count: u32,
    /// Those of earlier requests, in ascending order.
    earlier: Vec<(Request, u32)>,
}

impl Tokens {
    pub(super) const NONE: Self = Self {
        request: 0,
        count: 0,
        earlier: Vec::new(),
    };

    /// The request that the scope is held against; 0: it is not held.
    #[inline]
    pub(super) fn request(&self) -> Request {
        self.request
    }

    /// The latest request before this one that has a token; 0 if there is none.
    pub(super) fn before(&self, request: Request) -> Request {
        let all = self.earlier.iter().map(|&(earlier, _)| earlier);
        let all = all.chain([self.request]);
        all.filter(|&earlier| earlier < request).max().unwrap_or(0)
    }

    /// How many there are.
    #[cfg(any(debug_assertions, test))]
    pub(super) fn len(&self) -> u32 {
        self.count + self.earlier.iter().map(|&(_, count)| count).sum::<u32>()
    }

    /// How many there are of requests before this one.
    pub(super) fn len_before(&self, request: Request) -> u32 {
        let last = (self.request, self.count);
        let all = self.earlier.iter().chain([&last]);
        let before = all.filter(|&&(earlier, _)| earlier < request);
        before.map(|&(_, count)| count).sum()
    }

    /// All requests that have one.
    pub(super) fn requests(&self) -> impl Iterator<Item = Request> {
        let earlier = self.earlier.iter().map(|&(request, _)| request);
        earlier.chain([self.request])
    }

    pub(super) fn add(&mut self, request: Request) {
        if request == self.request {
            self.count += 1;
        } else if request > self.request {
            if self.count > 0 {
                self.earlier.push((self.request, self.count));
            }
            (self.request, self.count) = (request, 1);
        } else {
            match self
                .earlier
                .binary_search_by_key(&request, |&(earlier, _)| earlier)
            {
                Ok(at) => self.earlier[at].1 += 1,
                Err(at) => self.earlier.insert(at, (request, 1)),
            }
        }
    }

    /// A token has gone. `None` if there was none of this request; otherwise whether it was the last of it.
    pub(super) fn remove(&mut self, request: Request) -> Option<bool> {
        if request == self.request && self.count > 0 {
            self.count -= 1;
            let was_last = self.count == 0;
            if was_last {
                (self.request, self.count) = self.earlier.pop().unwrap_or((0, 0));
            }
            return Some(was_last);
        }
        let at = self
            .earlier
            .binary_search_by_key(&request, |&(earlier, _)| earlier)
            .ok()?;
        self.earlier[at].1 -= 1;
        let was_last = self.earlier[at].1 == 0;
        if was_last {
            self.earlier.remove(at);
        }
        Some(was_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_the_latest_request_hold_and_then_the_earlier_ones_again() {
        let mut tokens = Tokens::NONE;
        [5, 3, 5, 8, 3].into_iter().for_each(|n| tokens.add(n));
        assert_eq!(
            (tokens.request(), tokens.before(8), tokens.before(4)),
            (8, 5, 3)
        );
        assert_eq!(tokens.len_before(8), 4);
        assert_eq!(tokens.remove(8), Some(true));
        assert_eq!(tokens.request(), 5);
        assert_eq!(tokens.remove(3), Some(false));
        assert_eq!(tokens.remove(5), Some(false));
        assert_eq!(tokens.remove(5), Some(true));
        assert_eq!(tokens.remove(5), None);
        assert_eq!(tokens.remove(3), Some(true));
        assert_eq!((tokens.request(), tokens.remove(3)), (0, None));
    }
}
