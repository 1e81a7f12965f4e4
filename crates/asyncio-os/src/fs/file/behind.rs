//! Write-behind: the bytes that are accepted while a thread writes earlier ones.
//!
//! The file's task appends bytes, and the thread takes all of them when it has written what it had. So a quick task and
//! the thread work at the same time, and the thread writes much at once. The task waits only while there is no room. A
//! thread that finds no bytes closes the buffer in the same critical section. So each accepted byte is written, unless
//! a write fails.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// The maximum number of bytes that wait for the thread. Two buffers of this size stay in the cache of a core.
const ROOM: usize = 256 * 1024;

/// The buffer between the task that writes to a file and the thread that does it.
#[derive(Debug, Default)]
pub(super) struct Behind {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Whether a thread takes the bytes.
    is_open: bool,
    /// The task that waits for room.
    waiting: Option<Waker>,
}

impl Behind {
    /// A buffer with the memory of an earlier one, for one thread.
    pub(super) fn open(memory: Vec<u8>) -> (Arc<Self>, Taker) {
        let behind = Arc::new(Self::default());
        let mut state = behind.state();
        state.bytes = memory;
        state.bytes.clear();
        state.is_open = true;
        drop(state);
        (behind.clone(), Taker(behind))
    }

    /// Gives up the memory, when no thread takes bytes any more.
    pub(super) fn take_memory(&self) -> Vec<u8> {
        mem::take(&mut self.state().bytes)
    }

    /// Waits for room, and accepts bytes. Returns their number. `None` if no thread takes them any more.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<usize>> {
        if let Poll::Ready(accepted) = self.state().accept(bytes) {
            return Poll::Ready(accepted);
        }
        // Wakers are made and dropped by foreign code, so without the lock.
        let waker = cx.waker().clone();
        let mut state = self.state();
        // The thread may have been quick.
        let accepted = state.accept(bytes);
        let unused = match accepted.is_ready() {
            true => Some(waker),
            false => state.waiting.replace(waker),
        };
        drop(state);
        drop(unused);
        accepted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|error| error.into_inner())
    }
}

impl State {
    fn accept(&mut self, bytes: &[u8]) -> Poll<Option<usize>> {
        let room = ROOM.saturating_sub(self.bytes.len());
        match self.is_open {
            false => Poll::Ready(None),
            true if room == 0 => Poll::Pending,
            true => {
                let n = bytes.len().min(room);
                self.bytes.extend_from_slice(&bytes[..n]);
                Poll::Ready(Some(n))
            }
        }
    }
}

/// The right of a thread to take the bytes. Its drop closes the buffer, also if the thread never begins.
#[derive(Debug)]
pub(super) struct Taker(Arc<Behind>);

impl Taker {
    /// Exchanges the bytes that wait for those of `written`, which are dropped. `false` if there are none: the buffer
    /// is closed then.
    pub(super) fn take(&self, written: &mut Vec<u8>) -> bool {
        written.clear();
        let mut state = self.0.state();
        mem::swap(&mut state.bytes, written);
        state.is_open = !written.is_empty();
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
        !written.is_empty()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_open = false;
        state.bytes.clear();
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
    }
}

fn wake(waiting: Option<Waker>) {
    if let Some(waker) = waiting {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_open_until_its_thread_finds_no_bytes() {
        let (behind, taker) = Behind::open(Vec::new());
        let accept =
            |bytes: &[u8]| behind.poll_accept(&mut Context::from_waker(Waker::noop()), bytes);
        let mut taken = Vec::new();
        for bytes in [b"one", b"two"] {
            assert_eq!(accept(bytes), Poll::Ready(Some(3)));
            assert!(taker.take(&mut taken));
            assert_eq!(taken, bytes);
        }
        assert!(!taker.take(&mut taken));
        // The thread would not see these.
        assert_eq!(accept(b"more"), Poll::Ready(None));
    }
}
