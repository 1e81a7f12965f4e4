//! The pauses between two looks at something for which the system has no event.

use std::time::Duration;

use asyncio_loop::sleep;

/// Pauses that double, from 1 ms to a maximum.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    pub(crate) fn up_to(max: Duration) -> Self {
        let next = Duration::from_millis(1);
        Self { next, max }
    }

    /// Waits for the next pause.
    pub(crate) async fn pause(&mut self) {
        sleep(self.length()).await;
    }

    /// The length of the next pause.
    fn length(&mut self) -> Duration {
        let length = self.next;
        self.next = self.max.min(length * 2);
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_maximum() {
        let mut pauses = Pauses::up_to(Duration::from_millis(50));
        let lengths = [(); 8].map(|()| pauses.length().as_millis());
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 50, 50]);
    }
}
