//! Streams with buffers: asyncio's `StreamReader` and `StreamWriter`, over any byte stream.

pub(crate) mod error;
pub(crate) mod guest;
pub(crate) mod open;
pub(crate) mod reader;
pub(crate) mod separator;
pub(crate) mod writer;
