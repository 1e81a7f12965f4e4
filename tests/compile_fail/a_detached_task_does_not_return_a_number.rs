//! What a detached task returns has to tell whether it went wrong.

fn main() {
    asyncio::run(async {
        asyncio::spawn(async { 42 }).detach();
    });
}
