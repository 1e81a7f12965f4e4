//! Tasks that have not ended, and the way in from other threads.

pub(crate) mod inbox;
pub(crate) mod registry;
