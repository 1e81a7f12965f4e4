//! Laws of every parser and frame reader of our own, for any bytes.
//!
//! `cargo xtask fuzz` has libFuzzer look for bytes that break one. The tests try each law with the inputs in `seeds`,
//! and with some that are made here.

use std::cell::RefCell;
use std::future::Future;

use asyncio_loop::EventLoop;

pub mod forms;
pub mod server_sent_events;
pub mod stream_reader;
pub mod stream_writer;
pub mod worker_frames;

thread_local! {
    static LOOP: RefCell<EventLoop> = {
        let builder = EventLoop::builder().virtual_time(true);
        RefCell::new(builder.build_loop().expect("a loop can be made"))
    };
}

/// Runs `main` on the one loop of this thread. A loop for each input would take most of the time.
fn on_a_loop(main: impl Future<Output = ()>) {
    LOOP.with_borrow_mut(|event_loop| {
        let outcome = event_loop.run_until_complete(main);
        outcome.expect("no input cancels it");
    });
}

/// The program of a law: libFuzzer's if cargo-fuzz builds it, and otherwise one that does nothing.
#[macro_export]
macro_rules! target {
    ($law:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|input: $crate::$law::Input| $crate::$law::check(input));

        #[cfg(not(fuzzing))]
        fn main() {}
    };
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use arbitrary::{Arbitrary, Unstructured};

    /// Tries a law with the stored inputs, and with bytes that a simple generator makes.
    fn holds<Input: for<'a> Arbitrary<'a>>(law: &str, check: impl Fn(Input)) {
        let check = |bytes: Vec<u8>| {
            if let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(&bytes)) {
                check(input);
            }
        };
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(law);
        let mut count = 0;
        for seed in fs::read_dir(seeds).expect("there are stored inputs") {
            check(fs::read(seed.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 20, "{law} has {count} stored inputs");

        let mut random = 1_u64;
        for length in (0..400).map(|n| n % 200) {
            let bytes = (0..length).map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Small numbers and letters are more telling than any bytes.
                match random >> 62 {
                    0 => (random >> 32) as u8 % 8,
                    1 => b"\r\n:-x =;"[(random >> 32) as usize % 8],
                    _ => (random >> 32) as u8,
                }
            });
            check(bytes.collect());
        }
    }

    macro_rules! laws {
        ($($law:ident),*) => {$(
            #[test]
            fn $law() {
                holds(stringify!($law), crate::$law::check);
            }
        )*};
    }

    laws!(
        forms,
        server_sent_events,
        stream_reader,
        stream_writer,
        worker_frames
    );
}
