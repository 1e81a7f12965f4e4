//! The payload of a panic.

use std::any::Any;
use std::fmt;
use std::sync::Mutex;

use crate::discard::discard_payload;

/// The payload of a panic. `Display` and `Debug` show its message.
pub struct PanicPayload {
    /// A `Mutex` only to be `Sync`, so that errors with a payload fit where errors have to be.
    /// `None` once it was given away.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    message: Box<str>,
}

impl PanicPayload {
    /// Wraps what [`std::panic::catch_unwind`] gave.
    #[must_use]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            Box::from(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Box::from(text.as_str())
        } else {
            Box::from("a payload that is no text")
        };
        Self {
            payload: Mutex::new(Some(payload)),
            message,
        }
    }

    /// The message of the panic, if it had one.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The payload itself, as `catch_unwind` gave it.
    #[must_use]
    pub fn into_inner(mut self) -> Box<dyn Any + Send> {
        self.take().expect("only this and the drop take it")
    }

    fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        let payload = self.payload.get_mut();
        payload.unwrap_or_else(|e| e.into_inner()).take()
    }

    /// Resumes the panic here, without calling the panic hook again.
    ///
    /// # Panics
    ///
    /// Always: that is what it is for.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_inner())
    }
}

/// Drops the payload. A panic of the payload's own destructor ends here: the panic hook has reported it.
impl Drop for PanicPayload {
    fn drop(&mut self) {
        if let Some(payload) = self.take() {
            discard_payload(payload);
        }
    }
}

impl fmt::Display for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicPayload").field(&self.message).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct HardBomb;

    impl Drop for HardBomb {
        fn drop(&mut self) {
            std::panic::panic_any(HarderBomb)
        }
    }

    struct HarderBomb;

    impl Drop for HarderBomb {
        fn drop(&mut self) {
            panic!("this panic is part of the test")
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_ends_there() {
        drop(PanicPayload::new(Box::new(HardBomb)));
        let given = PanicPayload::new(Box::new(7_u8)).into_inner();
        assert_eq!(given.downcast_ref(), Some(&7_u8));
    }
}
