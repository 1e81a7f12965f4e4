//! A server's part in a connection, which ends with the connection and can abort it.

use std::rc::Weak;

/// A stream that can be closed although another task uses it.
pub(crate) trait Aborts {
    /// Closes the stream now. Bytes that were not sent are dropped.
    fn abort(&self);
}

/// A value that a writer keeps until its stream is closed. An upgrade of the stream passes it to the new writer.
pub(crate) trait Guest {
    /// Is called by the writer that keeps it from now on.
    fn enters(&self, writer: Weak<dyn Aborts>);
}
