//! The part of a server that all its parts share: its options, its listeners and its connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use asyncio_loop::{Task, TaskRef};
use asyncio_sync::Event;

use super::connection::Connection;
use super::options::ServerBuilder;
use super::ticks::Ticks;
use crate::hyper_io::Scratch;

/// The state that the parts of a server share.
pub(super) struct Shared {
    pub(super) options: ServerBuilder,
    pub(super) scratch: Scratch,
    /// The accept loops. Dropped, they end.
    pub(super) accepting: RefCell<Vec<Task<()>>>,
    pub(super) connections: RefCell<BTreeMap<u64, Open>>,
    /// The number of connections so far.
    pub(super) started: Cell<u64>,
    pub(super) is_closed: Cell<bool>,
    pub(super) failure: Cell<Option<io::Error>>,
    /// Set at the end of a connection and of the server.
    pub(super) changed: Event,
    pub(super) ticks: Ticks,
    /// The task that ends slow connections, while there are connections.
    pub(super) sweeper: Cell<Option<Task<()>>>,
}

/// A connection that is open.
pub(super) struct Open {
    pub(super) task: TaskRef,
    pub(super) connection: Rc<Connection>,
}

impl Shared {
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        let accepting = self.accepting.take();
        drop(accepting);
        self.changed.set();
    }

    pub(super) fn open(&self) -> Vec<(TaskRef, Rc<Connection>)> {
        let connections = self.connections.borrow();
        let open = connections.values();
        open.map(|open| (open.task.clone(), open.connection.clone()))
            .collect()
    }

    pub(super) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        while !is_so() {
            self.changed.clear();
            self.changed.wait().await;
        }
    }

    pub(super) async fn wait_for_room(&self) {
        let most = self.options.max_connections;
        self.wait_until(|| self.connections.borrow().len() < most)
            .await;
    }
}
