//! A handler owns what it uses: it may outlive the frame that made it.

use std::cell::Cell;

use asyncio::http::routing::{Router, get};

fn main() {
    let count = Cell::new(0);
    let page = async || {
        count.set(count.get() + 1);
        "counted"
    };
    let _: Router = Router::new().route("/", get(page));
}
