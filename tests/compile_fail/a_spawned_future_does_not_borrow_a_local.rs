//! A spawned task may outlive the frame that spawned it.

fn main() {
    asyncio::run(async {
        let name = String::from("ada");
        let task = asyncio::spawn(async { name.len() });
        assert_eq!(task.await.unwrap(), 3);
    });
}
