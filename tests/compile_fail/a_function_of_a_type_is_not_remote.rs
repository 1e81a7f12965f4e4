//! The list of the program has no place for a function of a type.

struct Counter;

impl Counter {
    #[asyncio::remote]
    fn next(n: u32) -> u32 {
        n + 1
    }
}

fn main() {}
