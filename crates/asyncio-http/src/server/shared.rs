//! The part of a server that all its parts share: its options, its listeners and its connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use asyncio_loop::{Task, TaskRef};
use asyncio_net::Connections;

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
    pub(super) connections: Connections<Open>,
    pub(super) failure: Cell<Option<io::Error>>,
    pub(super) ticks: Ticks,
    /// The task that ends slow connections, while there are connections.
    pub(super) sweeper: Cell<Option<Task<()>>>,
}

/// A connection that is open.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) task: TaskRef,
    pub(super) connection: Rc<Connection>,
}

impl Shared {
    /// Ends the accept loops.
    pub(super) fn close(&self) {
        let accepting = self.accepting.take();
        drop(accepting);
        self.connections.close();
    }

    /// Waits until there is room for another connection.
    pub(super) async fn wait_for_room(&self) {
        let most = self.options.max_connections;
        self.connections.wait_for_room(most).await;
    }
}
