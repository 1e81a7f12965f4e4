//! Pipes: between processes, and FIFOs in the file system.
//!
//! ```
//! # mod asyncio { pub use asyncio_os::*; }
//! use asyncio::pipe::pipe;
//!
//! # asyncio_loop::run(async {
//! let (reader, writer) = pipe()?;
//! writer.write_all(b"hello").await?;
//! drop(writer);
//! let mut all = Vec::new();
//! reader.read_to_end(&mut all).await?;
//! assert_eq!(all, b"hello");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```

mod end;
mod fifo;
mod reader;
mod writer;

use std::io;

pub use fifo::{make_fifo, open_fifo_reader, open_fifo_writer};
pub use reader::{PipeReader, connect_read_pipe};
pub use writer::{PipeWriter, connect_write_pipe};

/// Creates a pipe with both ends on the running loop. A child process inherits neither.
///
/// # Errors
///
/// The system's error, and an error if no loop runs on this thread.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((
        PipeReader::new(reader.into())?,
        PipeWriter::new(writer.into())?,
    ))
}
