//! A task belongs to its thread.

fn main() {
    asyncio::run(async {
        let task = asyncio::spawn(async { 1 });
        std::thread::spawn(move || drop(task));
    });
}
