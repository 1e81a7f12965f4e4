//! The client: sessions, requests and responses.

mod alarm;
mod connect;
mod cookies;
#[cfg(feature = "gzip")]
mod decode;
mod encode;
mod error;
mod failed;
#[cfg(feature = "http2")]
mod multiplex;
mod options;
mod origin;
mod pool;
mod proxy;
mod redirect;
mod request;
mod request_body;
mod response;
mod session;
#[cfg(feature = "http2")]
mod shared;
mod upload;

pub(crate) use self::connect::Stream;
pub use self::error::FetchError;
pub use self::proxy::Proxy;
pub use self::request::RequestBuilder;
pub use self::request_body::RequestBody;
pub use self::response::{FetchBody, FetchResponse};
pub use self::session::{Session, SessionBuilder};
