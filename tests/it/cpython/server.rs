//! The behaviour that `test_server.py` observes.

use std::future::pending;
use std::rc::Rc;

use asyncio::net::{Protocol, Server, TcpStream, Transport, create_server};
use asyncio::{spawn, yield_now};

/// Greets, and then floods its client, if it is asked to.
#[derive(Clone, Copy, Default)]
struct Greeting {
    floods: bool,
}

impl Protocol for Greeting {
    fn connection_made(&mut self, transport: &Transport) {
        transport.write("hello");
        if self.floods {
            transport.pause_reading();
            transport.write(vec![0; 20_000_000]);
        }
    }

    fn data_received(&mut self, _: &Transport, _: &[u8]) {}
}

/// A server with one client.
async fn with_client(greeting: Greeting) -> (Rc<Server>, TcpStream) {
    let server = create_server(move || greeting, "127.0.0.1:0")
        .await
        .unwrap();
    let client = TcpStream::connect(server.addresses()).await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
    (Rc::new(server), client)
}

/// A task that waits for the end of a server.
fn waiting(server: &Rc<Server>) -> asyncio::Task<()> {
    let server = server.clone();
    spawn(async move { server.wait_closed().await })
}

mod base_start_server {
    use super::*;
    use asyncio::net::{StreamReader, StreamWriter, open_connection, start_server};
    use asyncio::run;

    /// A server serves from its start. Cancelling `serve_forever` closes it, and its clients get their end.
    #[test]
    fn start_server_1() {
        run(async {
            let handler = async |mut reader: StreamReader, writer: StreamWriter| {
                writer.write(reader.readline().await.unwrap());
                pending::<()>().await;
            };
            let server = Rc::new(start_server(handler, "127.0.0.1:0").await.unwrap());
            assert!(server.is_serving());
            let (mut reader, writer) = open_connection(server.addresses()).await.unwrap();
            let serving = spawn({
                let server = server.clone();
                async move { server.serve_forever().await }
            });
            writer.write("q\n");
            assert_eq!(reader.readline().await.unwrap(), b"q\n");
            serving.cancel();
            assert!(serving.await.unwrap_err().is_cancelled());
            assert!(!server.is_serving());
            assert_eq!(server.connections(), 0);
            assert_eq!(reader.readline().await.unwrap(), b"");
            server.serve_forever().await; // is over
        });
    }
}

mod test_server2 {
    use super::*;
    use asyncio::run;

    /// The end of a server is its close and the end of its last connection.
    #[test]
    fn wait_closed_basic() {
        run(async {
            let (server, client) = with_client(Greeting::default()).await;
            let (one, other) = (waiting(&server), waiting(&server));
            yield_now().await;
            server.close();
            yield_now().await;
            assert!(!one.is_finished() && !other.is_finished());
            drop(client);
            one.await.unwrap();
            other.await.unwrap();
            server.wait_closed().await;
        });
    }

    /// The close and the last end at the same time release the waiter.
    #[test]
    fn wait_closed_race() {
        run(async {
            let (server, client) = with_client(Greeting::default()).await;
            let waiting = waiting(&server);
            yield_now().await;
            asyncio::call_soon({
                let server = server.clone();
                move || server.close()
            });
            drop(client);
            waiting.await.unwrap();
        });
    }

    /// Each client is closed, after what was written to it.
    #[test]
    fn close_clients() {
        run(async {
            let (server, client) = with_client(Greeting::default()).await;
            server.close();
            server.close_clients();
            server.wait_closed().await;
            assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
        });
    }

    /// Each client is dropped at once, though its buffers are full.
    #[test]
    fn abort_clients() {
        run(async {
            let (server, _client) = with_client(Greeting { floods: true }).await;
            let waiting = waiting(&server);
            server.close();
            server.close_clients();
            yield_now().await;
            assert_eq!(server.connections(), 1, "it has more to send");
            server.abort_clients();
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(waiting.is_finished());
        });
    }
}

#[cfg(unix)]
mod unix_server_cleanup_tests {
    use super::*;
    use asyncio::net::{UnixListener, create_unix_server};
    use asyncio::run;
    use std::path::PathBuf;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("asyncio-it-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    async fn closed(server: Server) {
        server.close();
        server.wait_closed().await;
        drop(server);
        for _ in 0..3 {
            yield_now().await;
        }
    }

    /// The file goes with the server.
    #[test]
    fn unix_server_addr_cleanup() {
        run(async {
            let path = path("addr");
            let server = create_unix_server(Greeting::default, &path).unwrap();
            assert!(path.exists());
            closed(server).await;
            assert!(!path.exists());
        });
    }

    /// The same for a listener that was bound before.
    #[test]
    fn unix_server_sock_cleanup() {
        run(async {
            let path = path("sock");
            let listener = UnixListener::bind(&path).unwrap();
            closed(Server::builder().start_protocols(Greeting::default, [listener])).await;
            assert!(!path.exists());
        });
    }

    /// A file that is gone is no trouble.
    #[test]
    fn unix_server_cleanup_gone() {
        run(async {
            let path = path("gone");
            let server = create_unix_server(Greeting::default, &path).unwrap();
            std::fs::remove_file(&path).unwrap();
            closed(server).await;
        });
    }

    /// A file can be kept.
    #[test]
    fn unix_server_cleanup_prevented() {
        run(async {
            let path = path("kept");
            let mut listener = UnixListener::bind(&path).unwrap();
            listener.keep_file();
            closed(Server::builder().start_protocols(Greeting::default, [listener])).await;
            assert!(path.exists());
            std::fs::remove_file(&path).unwrap();
        });
    }

    /// A server over a Unix socket serves and ends like another.
    #[test]
    fn start_unix_server_1() {
        run(async {
            let path = path("start");
            let server = create_unix_server(Greeting::default, &path).unwrap();
            assert!(server.is_serving());
            let client = asyncio::net::UnixStream::connect(&path).await.unwrap();
            client.read_exact(&mut [0; 5]).await.unwrap();
            server.close();
            server.close_clients();
            server.wait_closed().await;
            assert!(!server.is_serving());
        });
    }
}
