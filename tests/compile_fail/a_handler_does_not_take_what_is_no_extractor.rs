//! The arguments of a handler are extractors.

use asyncio::http::routing::{Router, get};

struct NotAnExtractor;

async fn page(_: NotAnExtractor, _: String) -> String {
    String::new()
}

fn main() {
    let _: Router = Router::new().route("/", get(page));
}
