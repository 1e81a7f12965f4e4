//! The connections of a server: their number, and the wait for their end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use crate::waker_list::WakerList;

/// The connections of a server of your own, each with a value `C` by which the server ends it. A clone is the same
/// list.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; pub use asyncio_net as net; }
/// use asyncio::net::{Connections, TcpListener, TcpStream};
/// use asyncio::{TaskRef, spawn};
///
/// # asyncio_loop::run(async {
/// let connections = Connections::<TaskRef>::new();
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let client = TcpStream::connect(listener.local_addr()?).await?;
/// let (stream, _) = listener.accept().await?;
///
/// let connection = connections.begin();
/// let counted = connection.clone();
/// let task = spawn(async move {
///     let _counted = counted; // until the task ends
///     stream.read(&mut [0; 16]).await
/// });
/// connection.set(task.as_ref());
/// task.detach();
/// drop(connection);
///
/// connections.close();
/// for task in connections.list() {
///     task.cancel_once();
/// }
/// connections.wait_closed().await;
/// assert!(connections.is_empty());
/// # drop(client);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct Connections<C>(Rc<Inner<C>>);

struct Inner<C> {
    open: RefCell<BTreeMap<u64, Option<C>>>,
    /// The number of connections so far.
    started: Cell<u64>,
    is_closed: Cell<bool>,
    /// The number of listeners that have not been dropped.
    listening: Cell<usize>,
    /// The tasks that wait for a change.
    waiting: WakerList,
}

/// A listener from [`Connections::listen`], which [`Connections::wait_closed`] waits for.
pub struct Listening<L, C> {
    // Dropped first: the waiters find its port free.
    listener: L,
    _counted: CountedListener<C>,
}

struct CountedListener<C>(Connections<C>);

/// A connection that counts, from [`Connections::begin`], until its last clone is dropped.
pub struct Connection<C>(Rc<Counted<C>>);

struct Counted<C> {
    list: Connections<C>,
    number: u64,
}

impl<C> Connections<C> {
    /// A list without connections.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            open: RefCell::default(),
            started: Cell::new(0),
            is_closed: Cell::new(false),
            listening: Cell::new(0),
            waiting: WakerList::default(),
        }))
    }

    /// Keeps a listener of the server: [`wait_closed`](Self::wait_closed) waits for its drop as well.
    #[must_use = "the listener is closed when it is dropped"]
    pub fn listen<L>(&self, listener: L) -> Listening<L, C> {
        self.0.listening.set(self.0.listening.get() + 1);
        Listening {
            listener,
            _counted: CountedListener(self.clone()),
        }
    }

    /// Counts a connection.
    #[must_use = "the connection counts until it is dropped"]
    pub fn begin(&self) -> Connection<C> {
        let number = self.0.started.get();
        self.0.started.set(number + 1);
        self.0.open.borrow_mut().insert(number, None);
        Connection(Rc::new(Counted {
            list: self.clone(),
            number,
        }))
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.open.borrow().len()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Declares that no connection begins any more, for [`wait_closed`](Self::wait_closed).
    pub fn close(&self) {
        self.0.is_closed.set(true);
        self.wake_all();
    }

    /// Whether the list was [closed](Self::close).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.get()
    }

    /// The values that the connections were [given](Connection::set), the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<C>
    where
        C: Clone,
    {
        self.0.open.borrow().values().flatten().cloned().collect()
    }

    /// Waits until there are fewer connections than `most`.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_for_room(&self, most: usize) {
        self.wait_until(|| self.len() < most).await;
    }

    /// Waits until the list is [closed](Self::close), the last [listener](Self::listen) is dropped, and the last
    /// connection has ended.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_closed(&self) {
        let is_over = || self.is_closed() && self.is_empty() && self.0.listening.get() == 0;
        self.wait_until(is_over).await;
    }

    /// Waits until `is_so` returns true. It is called again when a connection ends, and after
    /// [`wake_all`](Self::wake_all).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_until(&self, is_so: impl Fn() -> bool) {
        self.0.waiting.wait_until(|| is_so().then_some(())).await;
    }

    /// Wakes all tasks that wait for a change of the list.
    pub fn wake_all(&self) {
        self.0.waiting.wake_all();
    }
}

impl<C> Connection<C> {
    /// Stores the value by which the connection is ended, for [`Connections::list`].
    pub fn set(&self, client: C) {
        let Counted { list, number } = &*self.0;
        let old = list.0.open.borrow_mut().insert(*number, Some(client));
        drop(old);
    }
}

impl<L, C> Deref for Listening<L, C> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.listener
    }
}

impl<C> Drop for CountedListener<C> {
    fn drop(&mut self) {
        let Inner { listening, .. } = &*self.0.0;
        listening.set(listening.get() - 1);
        self.0.wake_all();
    }
}

impl<L: fmt::Debug, C> fmt::Debug for Listening<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.listener).finish()
    }
}

impl<C> Drop for Counted<C> {
    fn drop(&mut self) {
        let client = self.list.0.open.borrow_mut().remove(&self.number);
        drop(client);
        self.list.wake_all();
    }
}

impl<C> Clone for Connections<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Clone for Connection<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Connections<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("open", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl<C> fmt::Debug for Connection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.0.number).finish()
    }
}
