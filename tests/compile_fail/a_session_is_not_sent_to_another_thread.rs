//! A session has connections, whose tasks belong to one loop.

use asyncio::http::Session;

fn main() {
    let session = Session::new();
    std::thread::spawn(move || session.get("http://localhost/"));
}
