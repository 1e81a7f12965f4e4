//! Arguments and values go from process to process in serde's form.

struct Plain;

#[asyncio::remote]
fn gives() -> Result<u32, std::io::Error> {
    Ok(1)
}

#[asyncio::remote]
async fn gives_later() -> Plain {
    Plain
}

#[asyncio::remote]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

fn main() {
    asyncio::run(async {
        let pool = asyncio::ProcessPool::new();
        let _ = pool.run(add, (1, "two"));
    });
}
