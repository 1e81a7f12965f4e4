//! Websockets (RFC 6455), for servers and clients.
//!
//! ```
//! use asyncio::http::websocket::{Message, WebSocket, WebSocketUpgrade};
//! use asyncio::http::{Request, Response, Server, Session};
//! use asyncio::net::TcpListener;
//!
//! async fn echo(mut request: Request) -> Response {
//!     match WebSocketUpgrade::of(&mut request) {
//!         Ok(upgrade) => upgrade.answer(async |socket: WebSocket| {
//!             while let Ok(Some(message)) = socket.recv().await {
//!                 if socket.send(message).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         }),
//!         Err(refusal) => refusal,
//!     }
//! }
//!
//! # asyncio::run(async {
//! let server = Server::builder().start(echo, [TcpListener::bind("127.0.0.1:0").await?]);
//! let url = format!("ws://{}/", server.addresses()[0]);
//!
//! let socket = Session::new().get(url).websocket().await?;
//! socket.send("hello").await?;
//! assert_eq!(socket.recv().await?, Some(Message::text("hello")));
//! socket.close().await?;
//! # Ok::<(), asyncio::BoxError>(())
//! # }).unwrap();
//! ```
//!
//! With axum, [`WebSocketUpgrade`] is an extractor.

mod connect;
mod socket;
mod upgrade;

pub use self::socket::{WebSocket, WebSocketError};
pub use self::upgrade::WebSocketUpgrade;
pub use tungstenite::protocol::Message;
pub use tungstenite::protocol::frame::coding::CloseCode;
