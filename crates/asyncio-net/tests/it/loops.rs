//! Sockets and the loops that they belong to.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_loop::EventLoop;
use asyncio_net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{pair, run};

fn run_on<F: Future>(event_loop: &mut EventLoop, main: F) -> F::Output {
    event_loop.run_until_complete(main).unwrap()
}

#[test]
fn without_a_loop_there_are_no_sockets() {
    fn now<F: Future>(future: F) -> F::Output {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the operation must not wait"),
        }
    }
    let message = "no event loop runs on this thread";
    let error = now(TcpListener::bind("127.0.0.1:0")).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let error = now(TcpStream::connect(address)).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
    let error = TcpListener::from_std(plain).unwrap_err();
    assert!(error.to_string().contains(message), "{error}");
}

#[test]
fn a_socket_of_another_loop_is_an_error_where_it_would_wait() {
    let mut first = EventLoop::new().unwrap();
    let mut second = EventLoop::new().unwrap();
    let (one, other) = run_on(&mut first, pair());
    run_on(&mut second, async {
        let message = "belongs to another event loop";
        let error = one.read(&mut [0; 8]).await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        let error = one.readable().await.unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        // An operation that does not wait may succeed.
        other.write_all(b"x").await.unwrap();
        // The socket can be moved to this loop.
        let one = TcpStream::from_std(one.into_std().unwrap()).unwrap();
        assert_eq!(one.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn a_socket_survives_between_two_runs_of_its_loop() {
    let mut event_loop = EventLoop::new().unwrap();
    let (one, other) = run_on(&mut event_loop, pair());
    run_on(&mut event_loop, async {
        one.write_all(b"x").await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn a_socket_that_outlives_its_loop_is_an_error_and_can_be_moved() {
    let (one, other) = run(pair());
    run(async {
        let error = one.read(&mut [0; 8]).await.unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        let error = one.try_write(b"x").unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        let one = TcpStream::from_std(one.into_std().unwrap()).unwrap();
        let other = TcpStream::from_std(other.into_std().unwrap()).unwrap();
        one.write_all(b"x").await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 1);
    });
}

#[test]
fn a_task_that_waits_for_its_own_socket_is_freed_with_its_loop() {
    let mut event_loop = EventLoop::new().unwrap();
    let client = run_on(&mut event_loop, async {
        let listener = crate::support::listener().await;
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().await.unwrap();
        asyncio_loop::spawn(async move { server.read(&mut [0; 8]).await }).detach();
        asyncio_loop::yield_now().await;
        client
    });
    drop(event_loop);
    let mut client = client;
    assert_eq!(std::io::Read::read(&mut client, &mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_socket_that_is_not_connected_yet_needs_no_loop() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    assert!(socket.listen(1).is_err());
}
