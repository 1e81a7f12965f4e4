//! tonic: a gRPC server and its client in one task group, with a call that streams both ways.
//!
//! tonic's services must be `Send`, so the service sends what it counts to a task of ours, which needs no lock.
//!
//! `grpc_greeter`

use std::pin::Pin;
use std::time::Duration;

use asyncio::{BoxError, TaskGroup, task_group, timeout};
use futures_util::{Stream, StreamExt, stream};
use greeter::greeter_client::GreeterClient;
use greeter::greeter_server::{Greeter, GreeterServer};
use greeter::{Greeting, Name};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// The messages and services of `proto/greeter.proto`.
mod greeter {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    tonic::include_proto!("greeter");
}

/// The service: tells its loop of each name.
struct Greets {
    greeted: UnboundedSender<String>,
}

impl Greets {
    fn greet(greeted: &UnboundedSender<String>, name: Name) -> Greeting {
        let text = format!("hello, {}", name.name);
        // The counter is gone when the program ends.
        let _ = greeted.send(name.name);
        Greeting { text }
    }
}

#[tonic::async_trait]
impl Greeter for Greets {
    async fn greet(&self, name: Request<Name>) -> Result<Response<Greeting>, Status> {
        let name = name.into_inner();
        if name.name.is_empty() {
            return Err(Status::invalid_argument("the name is empty"));
        }
        Ok(Response::new(Self::greet(&self.greeted, name)))
    }

    type GreetAllStream = Pin<Box<dyn Stream<Item = Result<Greeting, Status>> + Send>>;

    async fn greet_all(
        &self,
        names: Request<Streaming<Name>>,
    ) -> Result<Response<Self::GreetAllStream>, Status> {
        let greeted = self.greeted.clone();
        let names = names.into_inner();
        let greetings = names.map(move |name| Ok(Self::greet(&greeted, name?)));
        Ok(Response::new(Box::pin(greetings)))
    }
}

async fn talk(url: String) -> Result<(), BoxError> {
    let channel = Endpoint::from_shared(url)?.connect().await?;
    let mut client = GreeterClient::new(channel);
    let name = |name: &str| Name { name: name.into() };

    let greeting = client.greet(name("Ada")).await?.into_inner();
    println!("{}", greeting.text);
    let refused = client.greet(name("")).await.unwrap_err();
    println!("refused: {}", refused.message());

    let names = stream::iter(["Bob", "Grace", "Linus"].map(name));
    let mut greetings = client.greet_all(names).await?.into_inner();
    while let Some(greeting) = greetings.next().await {
        println!("{}", greeting?.text);
    }
    Ok(())
}

#[asyncio::main(host = "tokio")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (greeted, mut names) = unbounded_channel();

    let mut count = 0;
    let counted = &mut count;
    let all = task_group(async |tg: TaskGroup<'_>| {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tg.spawn(async move {
            let service = GreeterServer::new(Greets { greeted });
            let until = async { drop(stopped.await) };
            let incoming = TcpListenerStream::new(listener);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming_shutdown(incoming, until).await?;
            Ok(())
        });
        tg.spawn(async move {
            while names.recv().await.is_some() {
                *counted += 1;
            }
            Ok(())
        });
        talk(url).await?;
        drop(stop);
        Ok(())
    });
    timeout(Duration::from_secs(30), all).await??;
    println!("{count} names");
    Ok(())
}
