//! Whether a value is an error, for a type without bounds.
//!
//! The type of a task's output has no bounds. So the name of the type and the discriminant of the value tell whether it
//! is an `Err`. The name is documented as best effort: if it ever changed, reports would be missing, and nothing else.

use std::any::type_name;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

/// Whether a value is the `Err` of a `Result`.
#[must_use]
pub fn is_err<T>(value: &T) -> bool {
    type_name::<T>().starts_with("core::result::Result<")
        && number_of(value) == number_of(&Err::<(), ()>(()))
}

/// The number of the variant of a `Result`.
fn number_of<T>(value: &T) -> u64 {
    struct Number(u64);
    impl Hasher for Number {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = self.0 << 8 | u64::from(byte);
            }
        }
    }
    let mut number = Number(0);
    discriminant(value).hash(&mut number);
    number.finish()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::is_err;

    #[test]
    fn an_err_is_one_whatever_its_layout() {
        assert!(is_err(&Err::<(), _>("text")));
        assert!(is_err(&Err::<u8, u8>(0)));
        assert!(is_err(&Err::<String, Box<dyn std::error::Error>>(
            "boxed".into()
        )));
        assert!(is_err(&Err::<std::num::NonZeroU32, ()>(())));
        assert!(is_err(&Err::<Box<u8>, ()>(())));
        assert!(is_err(&Err::<std::convert::Infallible, u64>(1)));
    }

    #[test]
    fn nothing_else_is() {
        assert!(!is_err(&Ok::<u8, u8>(1)));
        assert!(!is_err(&Ok::<(), Box<u8>>(())));
        assert!(!is_err(&Ok::<Box<u8>, ()>(Box::new(1))));
        assert!(!is_err(&()));
        assert!(!is_err(&Some(1)));
        assert!(!is_err(&1_u64));
        assert!(!is_err(&"core::result::Result<"));
        assert!(!is_err(&Some(Err::<(), ()>(()))));
    }
}
