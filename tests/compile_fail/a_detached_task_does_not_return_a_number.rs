//! The value of a detached task has to tell whether the task failed.

fn main() {
    asyncio::run(async {
        asyncio::spawn(async { 42 }).detach();
    });
}
