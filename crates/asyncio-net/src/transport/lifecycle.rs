//! The lifecycle of a transport, from `connection_made` to `connection_lost`: of a byte stream's transport, and of a
//! datagram socket's.
//!
//! - **L1** No callback begins while another one runs. One that is due then comes when the protocol is back
//!   ([`settle`](BaseTransport::settle)).
//! - **L2** `connection_lost` is called once, after `connection_made`, by the driver or by its drop. The protocol is
//!   dropped then, so a protocol that keeps its transport is no leak.
//! - **L3** The protocol was told of a pause as often as of its end, or once more.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::thread;

use super::driving::Driving;
use super::slot::{Slot, drop_quietly, report};
use crate::failure::Failure;
use crate::send_queue::WaterMarks;
use crate::waker_list::WakerList;

/// How far a transport has been closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    /// The end of a stream is sent after the queue.
    EndRequested,
    /// The end of a stream is sent. The peer may continue to send.
    EndSent,
    /// Nothing more is received. The transport is closed after the queue.
    Closing,
    /// The driver has to call `connection_lost`.
    Failed,
    /// `connection_lost` is called.
    Lost,
}

/// The part of a transport's state that its lifecycle needs.
pub(super) struct Lifecycle<P: ?Sized> {
    pub(super) protocol: Slot<P>,
    pub(super) stage: Cell<Stage>,
    /// The error for `connection_lost`.
    error: RefCell<Option<Rc<io::Error>>>,
    is_made: Cell<bool>,
    pub(super) marks: WaterMarks,
    /// Whether the last call to the protocol was `pause_writing`, and not `resume_writing`.
    told_paused: Cell<bool>,
    pub(super) driver: Driving,
    /// Tasks that wait for the end, or for room.
    pub(super) waiting: WakerList,
}

impl<P: ?Sized> Lifecycle<P> {
    pub(super) fn new(protocol: Box<P>) -> Self {
        Self {
            protocol: Slot::new(protocol),
            stage: Cell::new(Stage::Open),
            error: RefCell::new(None),
            is_made: Cell::new(false),
            marks: WaterMarks::default(),
            told_paused: Cell::new(false),
            driver: Driving::default(),
            waiting: WakerList::default(),
        }
    }

    /// A copy of the error with which the transport has failed.
    pub(super) fn why_lost(&self) -> Option<io::Error> {
        let error = self.error.borrow();
        error.as_ref().map(|error| Failure::from(&**error).error())
    }

    /// Waits until `connection_lost` was called. Returns its error.
    pub(super) async fn wait_lost(&self) -> io::Result<()> {
        let is_lost = || (self.stage.get() == Stage::Lost).then_some(());
        self.waiting.wait_until(is_lost).await;
        self.why_lost().map_or(Ok(()), Err)
    }
}

/// The callbacks that the lifecycle calls, and the parts of a transport that it drops.
pub(super) trait BaseTransport: Sized {
    type Protocol: ?Sized;

    /// The report of a callback that panicked.
    const PANICKED: &'static str;

    fn lifecycle(&self) -> &Lifecycle<Self::Protocol>;

    fn made(&self, protocol: &mut Self::Protocol);
    fn lost(&self, protocol: &mut Self::Protocol, error: Option<&io::Error>);
    fn paused(&self, protocol: &mut Self::Protocol);
    fn resumed(&self, protocol: &mut Self::Protocol);

    /// Whether another callback is due, which [`call_due`](Self::call_due) calls.
    #[inline]
    fn is_due(&self) -> bool {
        false
    }

    /// Calls the callback that is due.
    fn call_due(&self) {}

    /// Drops the bytes or datagrams that wait to be sent.
    fn drop_unsent(&self);

    /// Drops the other parts of the transport.
    fn drop_rest(&self) {}

    /// Calls `connection_made`.
    fn begin(&self) {
        self.lifecycle().is_made.set(true);
        self.call(|protocol, transport| transport.made(protocol));
    }

    /// Closes the transport as far as this stage.
    fn advance(&self, stage: Stage) {
        self.enter(stage);
        self.settle();
    }

    /// Closes the transport as far as this stage, and calls nothing yet.
    fn enter(&self, stage: Stage) {
        let lifecycle = self.lifecycle();
        if lifecycle.stage.get() < stage {
            lifecycle.stage.set(stage);
            lifecycle.driver.wake();
        }
    }

    /// Drops what waits to be sent, and wakes the driver, which calls `connection_lost`.
    fn cut(&self) {
        self.break_off(None);
        self.settle();
    }

    /// The transport has failed.
    fn fail(&self, error: io::Error) {
        self.break_off(Some(error));
        self.settle();
    }

    /// The part of [`cut`](Self::cut) and [`fail`](Self::fail) that calls nothing.
    fn break_off(&self, error: Option<io::Error>) {
        let lifecycle = self.lifecycle();
        if error.is_some() && lifecycle.stage.get() < Stage::Failed {
            let before = lifecycle.error.replace(error.map(Rc::new));
            drop(before);
        }
        self.drop_unsent();
        self.enter(Stage::Failed);
    }

    /// The driver is dropped. Unless the transport was closed, its loop has ended.
    fn driver_is_gone(&self, message: &'static str) {
        let lifecycle = self.lifecycle();
        lifecycle.driver.end();
        if lifecycle.stage.get() < Stage::Failed {
            self.fail(io::Error::new(io::ErrorKind::NotConnected, message));
        }
        self.finish();
    }

    /// Lends the protocol to user code, whose panic is its own.
    fn lend<R>(&self, f: impl FnOnce(&mut Self::Protocol) -> R) -> Option<R> {
        let lent = self.lifecycle().protocol.lend(f);
        self.settle();
        lent.map(|outcome: thread::Result<R>| {
            outcome.unwrap_or_else(|payload| resume_unwind(payload))
        })
    }

    /// Calls a callback, and those that it has caused. `None` if the protocol is lent or gone, or if it panicked, which
    /// ends the transport.
    #[inline]
    fn call<R>(&self, f: impl FnOnce(&mut Self::Protocol, &Self) -> R) -> Option<R> {
        let outcome = self.call_once(f);
        self.settle();
        outcome
    }

    #[inline]
    fn call_once<R>(&self, f: impl FnOnce(&mut Self::Protocol, &Self) -> R) -> Option<R> {
        let lent = &self.lifecycle().protocol;
        match lent.lend(|protocol| f(protocol, self))? {
            Ok(result) => Some(result),
            Err(payload) => {
                report(Self::PANICKED, payload);
                let message = "a callback of the protocol panicked";
                self.break_off(Some(io::Error::other(message)));
                None
            }
        }
    }

    /// Makes the callbacks that are due, once the protocol is not lent.
    #[inline]
    fn settle(&self) {
        let lifecycle = self.lifecycle();
        let is_told = lifecycle.told_paused.get() == lifecycle.marks.is_paused();
        if !is_told || self.is_due() || lifecycle.driver.is_gone() {
            self.make_up();
        }
    }

    #[cold]
    fn make_up(&self) {
        let lifecycle = self.lifecycle();
        while lifecycle.stage.get() < Stage::Failed && !lifecycle.protocol.is_lent() {
            if self.is_due() {
                self.call_due();
                continue;
            }
            let is_paused = lifecycle.marks.is_paused();
            if lifecycle.told_paused.replace(is_paused) == is_paused {
                break;
            }
            self.call_once(|protocol, transport| match is_paused {
                true => transport.paused(protocol),
                false => transport.resumed(protocol),
            });
        }
        if lifecycle.driver.is_gone() && lifecycle.stage.get() == Stage::Failed {
            self.finish();
        }
    }

    /// Calls `connection_lost`, and drops the protocol and the rest (L2). If the protocol is lent, it is called again
    /// when the protocol is back.
    fn finish(&self) {
        let lifecycle = self.lifecycle();
        if lifecycle.stage.get() == Stage::Lost || lifecycle.protocol.is_lent() {
            return;
        }
        lifecycle.stage.set(Stage::Lost);
        self.drop_unsent();
        let error = lifecycle.error.borrow().clone();
        if lifecycle.is_made.get() {
            self.call_once(|protocol, transport| transport.lost(protocol, error.as_deref()));
        }
        drop_quietly(lifecycle.protocol.remove());
        self.drop_rest();
        lifecycle.waiting.wake_all();
    }
}
