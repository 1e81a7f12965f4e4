//! The attribute is for an `async fn`.

#[asyncio::main]
fn main() {
    println!("hello");
}
