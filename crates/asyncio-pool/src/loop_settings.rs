//! The settings of a thread that runs a loop: of a `LoopThread`, and of each thread of a `LoopPool`.

use std::thread;
use std::time::Duration;

use asyncio_loop::{Builder, EventLoop};

/// The settings of a thread that runs a loop.
#[derive(Clone, Debug)]
pub(crate) struct LoopSettings {
    name: String,
    pub(crate) stack_size: Option<usize>,
    /// The time that tasks may take to end, unless the caller of `stop` gives another one.
    pub(crate) grace: Duration,
    pub(crate) event_loop: Builder,
}

impl LoopSettings {
    pub(crate) fn set_name(&mut self, name: impl Into<String>) {
        // The operating system takes no name with a zero byte in it.
        self.name = name.into().replace('\0', "");
    }

    /// The same for the thread of this number.
    pub(crate) fn numbered(&self, number: usize) -> Self {
        Self {
            name: format!("{}-{number}", self.name),
            ..self.clone()
        }
    }

    /// The builder of the thread.
    pub(crate) fn thread(&self) -> thread::Builder {
        let thread = thread::Builder::new().name(self.name.clone());
        match self.stack_size {
            None => thread,
            Some(bytes) => thread.stack_size(bytes),
        }
    }
}

impl Default for LoopSettings {
    fn default() -> Self {
        Self {
            name: "asyncio-loop".to_owned(),
            stack_size: None,
            grace: Duration::from_secs(10),
            event_loop: EventLoop::builder(),
        }
    }
}
