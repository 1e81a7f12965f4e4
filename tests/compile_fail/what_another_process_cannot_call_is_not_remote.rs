//! A worker process calls a function by its name, and has none of the caller's memory.

struct Counter;

impl Counter {
    #[asyncio::remote]
    fn method(&self, n: u32) -> u32 {
        n
    }
}

trait Counts {
    #[asyncio::remote]
    fn of_a_trait(n: u32) -> u32;
}

#[asyncio::remote]
fn generic<T>(_value: T) {}

#[asyncio::remote]
fn borrows(_text: &str) {}

#[asyncio::remote]
fn has_no_named_type(_text: impl Into<String>) {}

#[asyncio::remote]
fn gives_what_has_no_name() -> impl Iterator<Item = u32> {
    0..3
}

#[asyncio::remote]
fn gives_a_reference() -> &'static str {
    ""
}

#[asyncio::remote]
unsafe fn dangerous() {}

#[asyncio::remote]
struct NoFunction;

fn main() {}
