//! A service returns responses.

use asyncio::http::{Request, Server};
use asyncio::net::TcpListener;

fn main() {
    let service = async |_: Request| std::cell::Cell::new(1);
    let _ = Server::builder().start(service, Vec::<TcpListener>::new());
}
