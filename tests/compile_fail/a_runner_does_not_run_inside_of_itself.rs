//! A runner that runs is borrowed.

fn main() {
    let mut runner = asyncio::Runner::new().unwrap();
    let _ = runner.run(async {
        let _ = runner.run(async {});
    });
}
