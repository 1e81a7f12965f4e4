//! The cases of the Autobahn test suite, which kosoku runs: what a websocket has to answer to each fault of its peer.
//!
//! Left out are the cases of compression (12 and 13), which is not spoken, and those of large messages (9), which take
//! minutes.

use super::python::{has_peers, python};
use super::*;

use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};

/// The cases that are left out.
const LEFT_OUT: [&str; 3] = ["9.*", "12.*", "13.*"];

/// Sends back each message, until the peer or a fault of the peer ends the websocket.
async fn echo(socket: WebSocket) {
    while let Ok(Some(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

#[asyncio::test(clock = "real")]
async fn as_a_client() -> Outcome {
    if !has_peers() {
        return Ok(());
    }
    let server = start(
        async |mut request: Request| match WebSocketUpgrade::of(&mut request) {
            Ok(upgrade) => upgrade.answer(echo),
            Err(refusal) => refusal,
        },
    )
    .await;
    let mut program = python(include_str!("autobahn_client.py"));
    program.arg(format!("ws://{}", server.addresses()[0]));
    let output = run(program.args(LEFT_OUT)).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(printed, "247 cases\n", "{errors}");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn as_a_server() -> Outcome {
    if !has_peers() {
        return Ok(());
    }
    let program = include_str!("autobahn_server.py");
    let mut program = Running::start(python(program).args(LEFT_OUT)).unwrap();
    let port = program.line().await?;
    let session = Session::new();
    let at = |path: &str| session.get(format!("ws://127.0.0.1:{port}{path}"));
    let counting = at("/getCaseCount").websocket().await?;
    let count: usize = counting.recv().await?.unwrap().to_text()?.parse()?;
    drop(counting);
    let run = async |case| {
        let socket = at(&format!("/runCase?case={case}&agent=asyncio")).websocket();
        echo(socket.await?).await;
        Ok::<_, asyncio::http::FetchError>(())
    };
    for some in Vec::from_iter(1..=count).chunks(16) {
        asyncio::try_gather_iter(some.iter().map(|case| run(*case))).await?;
    }
    let reporting = at("/updateReports?agent=asyncio").websocket().await?;
    // It may close the connection without a word.
    while let Ok(Some(_)) = reporting.recv().await {}
    assert_eq!(program.line().await?, "247 cases");
    program.end().await
}
