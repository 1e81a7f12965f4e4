//! Shared by the tests of the sockets.

#![allow(dead_code, reason = "each test binary uses its part of it")]

#[cfg(all(feature = "tls", target_os = "linux"))]
pub(crate) mod tls;

use std::future::Future;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use asyncio_loop::EventLoop;
use asyncio_net::{TcpListener, TcpStream};
use futures::future::{Either, select};

/// Runs `main` on a new loop, with a time limit.
pub(crate) fn run<F: Future>(main: F) -> F::Output {
    asyncio_loop::run(async {
        let patience = asyncio_loop::sleep(Duration::from_secs(30));
        match select(pin!(main), patience).await {
            Either::Left((output, _)) => output,
            Either::Right(_) => panic!("it hangs"),
        }
    })
}

pub(crate) async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// The two ends of a connection.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let (one, other) = futures::join!(TcpStream::connect(address), listener.accept());
    (one.unwrap(), other.unwrap().0)
}

/// Runs `main` on a new loop, on virtual time.
pub(crate) fn run_virtual<T>(main: impl Future<Output = T>) -> T {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().unwrap();
    event_loop.run_until_complete(main).unwrap()
}
