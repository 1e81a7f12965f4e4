//! A chat over websockets, by tokio-tungstenite: the server and its clients are tasks of ours on one thread.
//!
//! The list of clients is in an `Rc`, without a lock. When the server is cancelled, each connection says goodbye before
//! it ends.
//!
//! `websocket_chat`

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{BoxError, TaskGroup, catch_cancel, gather, spawn, task_group};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

/// The outboxes of the clients.
type Clients = Rc<RefCell<Vec<UnboundedSender<String>>>>;

/// One connection: forwards each message to all clients, and the messages of all clients to this one.
async fn converse(
    stream: TcpStream,
    clients: Clients,
    mut outbox: UnboundedReceiver<String>,
) -> Result<(), BoxError> {
    let (mut sink, mut stream) = accept_async(stream).await?.split();
    let work = async {
        loop {
            tokio::select! {
                message = stream.next() => match message.transpose()? {
                    Some(Message::Text(text)) => {
                        for client in clients.borrow().iter() {
                            let _ = client.send(text.to_string());
                        }
                    }
                    Some(Message::Close(_)) | None => return Ok::<(), BoxError>(()),
                    Some(_) => {}
                },
                Some(text) = outbox.recv() => sink.send(Message::text(text)).await?,
            }
        }
    };
    match catch_cancel(work).await {
        Ok(ended) => ended,
        Err(cancelled) => {
            sink.send(Message::text("the server says goodbye")).await?;
            sink.close().await?;
            cancelled.resume().await
        }
    }
}

/// Serves until it is cancelled, and returns when all connections have ended.
async fn serve(listener: TcpListener, clients: Clients) -> Result<(), BoxError> {
    let connections = task_group(async |tg: TaskGroup<'_>| {
        loop {
            let (stream, _) = listener.accept().await?;
            let (inbox, outbox) = unbounded_channel();
            clients.borrow_mut().push(inbox);
            let clients = clients.clone();
            tg.spawn(async move {
                if let Err(error) = converse(stream, clients, outbox).await {
                    eprintln!("a connection failed: {error}");
                }
                Ok(())
            });
        }
    });
    Ok(connections.await?)
}

/// A client: says one sentence, and reads what everybody says.
async fn chat(url: String, sentence: &str, lines: usize) -> Result<Vec<String>, BoxError> {
    let (mut stream, _) = connect_async(url).await?;
    stream.send(Message::text(sentence)).await?;
    let mut heard = Vec::new();
    while heard.len() < lines
        && let Some(message) = stream.next().await
    {
        if let Message::Text(text) = message? {
            heard.push(text.to_string());
        }
    }
    stream.close(None).await?;
    heard.sort();
    Ok(heard)
}

#[asyncio::main(host = "tokio")]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    let clients = Clients::default();
    let server = spawn(serve(listener, clients.clone()));

    // The listener hears the sentences of all three.
    let (hearing, mut heard) = connect_async(&url)
        .await
        .map(|(stream, _)| stream.split())?;
    let one = |sentence| chat(url.clone(), sentence, 1);
    for said in gather([
        one("Ada: hello"),
        one("Bob: good morning"),
        one("Grace: hi"),
    ])
    .await
    {
        assert!(!said?.is_empty());
    }
    let mut lines = Vec::new();
    while lines.len() < 3
        && let Some(message) = heard.next().await
    {
        lines.push(message?.into_text()?.to_string());
    }
    lines.sort();
    lines.iter().for_each(|line| println!("{line}"));
    // The end of the server and of its connections, each of which says goodbye.
    server.cancel();
    let goodbye = heard.next().await.ok_or("no goodbye")??;
    println!("{goodbye}");
    drop(hearing);
    Ok(())
}
