//! Calls of tonic that are cancelled in the middle, as the client and as the server sees them.

use std::pin::Pin;
use std::sync::Mutex;

use futures_util::{Stream, stream};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::*;

/// The messages and services of `proto/greeter.proto`.
mod greeter {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("greeter");
}

/// The calls that the service has seen.
#[derive(Default)]
struct Seen {
    open: AtomicUsize,
    names: Mutex<Vec<String>>,
}

/// A call that the service answers at the moment.
struct Open(Arc<Seen>);

impl Open {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.open.fetch_add(1, Ordering::SeqCst);
        Self(seen.clone())
    }

    fn greet(&self, name: Name) -> Greeting {
        self.0.names.lock().unwrap().push(name.name.clone());
        Greeting { text: name.name }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    /// Waits until so many calls are open.
    async fn wait_open(&self, open: usize) {
        while self.open.load(Ordering::SeqCst) != open {
            sleep(ms(1)).await;
        }
    }

    fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }
}

/// Repeats names. `hang` has no answer, and `again` has answers without an end.
struct Repeats(Arc<Seen>);

#[tonic::async_trait]
impl Greeter for Repeats {
    async fn greet(&self, name: Request<Name>) -> Result<Response<Greeting>, Status> {
        let open = Open::new(&self.0);
        let greeting = open.greet(name.into_inner());
        if greeting.text == "hang" {
            pending::<()>().await;
        }
        Ok(Response::new(greeting))
    }

    type GreetAllStream = Pin<Box<dyn Stream<Item = Result<Greeting, Status>> + Send>>;

    async fn greet_all(
        &self,
        names: Request<Streaming<Name>>,
    ) -> Result<Response<Self::GreetAllStream>, Status> {
        let open = Open::new(&self.0);
        let greetings = names.into_inner().flat_map(move |name| {
            let greeting = name.map(|name| open.greet(name));
            let times = match &greeting {
                Ok(greeting) if greeting.text == "again" => usize::MAX,
                _ => 1,
            };
            stream::iter(std::iter::repeat_n(greeting, times))
        });
        Ok(Response::new(Box::pin(greetings)))
    }
}

/// A service on a thread of its own.
struct Service {
    address: SocketAddr,
    seen: Arc<Seen>,
}

impl Service {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let service = GreeterServer::new(Repeats(seen.clone()));
        thread::spawn(move || {
            let mut builder = Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let server = Server::builder().add_service(service);
                let incoming = TcpListenerStream::new(listener);
                server.serve_with_incoming(incoming).await.unwrap();
            });
        });
        Self { address, seen }
    }

    async fn client(&self) -> GreeterClient<Channel> {
        client(self.address).await
    }
}

async fn client(address: SocketAddr) -> GreeterClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    GreeterClient::new(endpoint.connect().await.unwrap())
}

fn named(name: &str) -> Name {
    Name { name: name.into() }
}

/// A call with one answer, on a connection that other calls share.
async fn greet(client: &GreeterClient<Channel>, name: &str) -> Result<String, Status> {
    let mut client = client.clone();
    Ok(client.greet(named(name)).await?.into_inner().text)
}

#[test]
fn a_limit_ends_a_call_and_its_connection_goes_on() {
    run(soon(async {
        let service = Service::start();
        let client = service.client().await;
        for _ in 0..5 {
            let late = timeout(ms(20), greet(&client, "hang")).await;
            assert!(late.is_err());
            service.seen.wait_open(0).await;
            assert_eq!(greet(&client, "after").await.unwrap(), "after");
        }
    }));
}

#[test]
fn a_failing_child_ends_the_calls_of_the_others() {
    run(soon(async {
        let service = Service::start();
        let (client, seen) = (&service.client().await, &service.seen);
        let failed = task_group(async |tg: TaskGroup<'_>| {
            for _ in 0..20 {
                tg.spawn(async { Ok::<_, BoxError>(greet(client, "hang").await?) });
            }
            seen.wait_open(20).await;
            tg.spawn(async { Err::<(), BoxError>("no".into()) });
            Ok(())
        });
        assert_eq!(failed.await.unwrap_err().into_first().to_string(), "no");
        seen.wait_open(0).await;
        assert_eq!(greet(client, "after").await.unwrap(), "after");
    }));
}

#[test]
fn a_shield_brings_its_call_to_the_end() {
    run(soon(async {
        let service = Service::start();
        let client = service.client().await;
        let saving = spawn(async move {
            let saved = async {
                sleep(ms(5)).await;
                greet(&client, "saved").await.unwrap()
            };
            shield(saved).await
        });
        asyncio::yield_now().await;
        saving.cancel();
        assert_eq!(saving.await.unwrap(), "saved"); // nothing is awaited after the shield
        assert_eq!(service.seen.names(), ["saved"]);
    }));
}

#[test]
fn a_cleanup_makes_a_call_while_the_loop_closes() {
    let service = Arc::new(Service::start());
    let seen = service.seen.clone();
    run(soon(async {
        let client = service.client().await;
        spawn(async move {
            let goodbye = async {
                greet(&client, "goodbye").await.unwrap();
            };
            on_cancel(greet(&client, "hang"), goodbye).await.unwrap();
        })
        .detach();
        service.seen.wait_open(1).await;
    }));
    assert_eq!(seen.names(), ["hang", "goodbye"]);
}

#[test]
fn a_stream_of_answers_is_cut_and_the_service_sees_it() {
    run(soon(async {
        let service = Service::start();
        let client = service.client().await;
        let (read, mut caller) = (Rc::new(Cell::new(0)), client.clone());
        let counts = read.clone();
        let reading = spawn(async move {
            let names = stream::iter([named("again")]);
            let mut answers = caller.greet_all(names).await.unwrap().into_inner();
            while answers.next().await.is_some() {
                counts.set(counts.get() + 1);
                sleep(ms(1)).await;
            }
        });
        while read.get() < 3 {
            sleep(ms(1)).await;
        }
        assert_eq!(service.seen.open.load(Ordering::SeqCst), 1);
        reading.cancel();
        assert!(reading.await.is_err());
        service.seen.wait_open(0).await;
        assert_eq!(greet(&client, "after").await.unwrap(), "after");
    }));
}

#[test]
fn a_stream_of_names_is_cut_and_its_cleanup_uses_the_connection() {
    run(soon(async {
        let service = Service::start();
        let client = service.client().await;
        let (sender, names) = mpsc::unbounded_channel();
        let talking = spawn({
            let mut caller = client.clone();
            async move {
                let talk = async {
                    let names = UnboundedReceiverStream::new(names);
                    let answers = caller.greet_all(names).await.unwrap().into_inner();
                    answers.count().await
                };
                let goodbye = async {
                    greet(&client, "goodbye").await.unwrap();
                };
                on_cancel(talk, goodbye).await
            }
        });
        sender.send(named("Ada")).unwrap();
        while service.seen.names() != ["Ada"] {
            sleep(ms(1)).await;
        }
        talking.cancel();
        assert!(talking.await.is_err());
        // hyper goes on with the names until their sender is gone.
        drop(sender);
        service.seen.wait_open(0).await;
        assert_eq!(service.seen.names(), ["Ada", "goodbye"]);
    }));
}

#[test]
fn a_server_that_is_cancelled_gives_up_its_port_and_leaves_its_calls_to_tokio() {
    run(soon(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Seen>::default();
        let service = GreeterServer::new(Repeats(seen.clone()));
        let serving = spawn(async move {
            let server = Server::builder().add_service(service);
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming(incoming).await
        });
        let calling = spawn(async move { greet(&client(address).await, "hang").await });
        seen.wait_open(1).await;
        serving.cancel();
        assert!(serving.await.is_err());
        // tonic's connections are tasks of tokio's, so this one goes on.
        let late = timeout(ms(20), calling).await;
        assert!(late.is_err());
        seen.wait_open(0).await;
        let refused = TcpListener::bind(address).await;
        assert!(refused.is_ok(), "the listener is gone");
    }));
}
