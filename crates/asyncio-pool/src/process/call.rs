//! One call: the frame to send, the task that waits for the outcome, and the worker that runs it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::error::ProcessError;
use super::frame::Frame;

/// The end of a call: a frame of the worker, or an error.
pub(crate) type Outcome = Result<Frame, ProcessError>;

/// Receives the outcome of a call without a handle.
pub(crate) type Heir = Box<dyn FnOnce(Outcome)>;

/// A call, from its start until its outcome is taken.
pub(crate) struct Call {
    stage: RefCell<Stage>,
    /// Gets the outcome of a call without a handle.
    heir: Cell<Option<Heir>>,
    /// The waker of the task that awaits the outcome.
    waiting: Waiting,
    /// The feeder of the worker that runs it.
    feeder: Waiting,
    /// Whether the worker is to be killed.
    unwanted: Cell<bool>,
    /// The number of workers that ended before they had the call.
    pub(crate) unsent: Cell<u32>,
}

enum Stage {
    /// The frame that is to be sent.
    Waiting(Vec<u8>),
    Running,
    Ended(Outcome),
    Taken,
}

/// A waker that is exchanged with nothing borrowed: wakers are foreign code.
#[derive(Debug, Default)]
pub(crate) struct Waiting(RefCell<Option<Waker>>);

impl Waiting {
    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let old = self.0.replace(Some(waker));
        drop(old);
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Call {
    pub(crate) fn new(frame: Vec<u8>) -> Rc<Self> {
        Self::at(Stage::Waiting(frame))
    }

    /// A call that has failed before it was sent.
    pub(crate) fn failed(error: ProcessError) -> Rc<Self> {
        Self::at(Stage::Ended(Err(error)))
    }

    fn at(stage: Stage) -> Rc<Self> {
        Rc::new(Self {
            stage: RefCell::new(stage),
            heir: Cell::new(None),
            waiting: Waiting::default(),
            feeder: Waiting::default(),
            unwanted: Cell::new(false),
            unsent: Cell::new(0),
        })
    }

    /// Begins the call, and returns the frame to be sent. `None` if the call was cancelled.
    pub(crate) fn begin(&self) -> Option<Vec<u8>> {
        let mut stage = self.stage.borrow_mut();
        let Stage::Waiting(frame) = &mut *stage else {
            return None;
        };
        let frame = std::mem::take(frame);
        *stage = Stage::Running;
        Some(frame)
    }

    /// Takes the frame back, so that the call can begin again. No worker has received it.
    pub(crate) fn take_back(&self, frame: Vec<u8>) {
        let mut stage = self.stage.borrow_mut();
        if matches!(*stage, Stage::Running) {
            *stage = Stage::Waiting(frame);
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Waiting(_))
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Running)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Ended(_) | Stage::Taken)
    }

    /// Ends the call, once.
    pub(crate) fn settle(&self, outcome: Outcome) {
        if self.has_ended() {
            return;
        }
        if let Some(heir) = self.heir.take() {
            *self.stage.borrow_mut() = Stage::Taken;
            return heir(outcome);
        }
        *self.stage.borrow_mut() = Stage::Ended(outcome);
        self.waiting.wake();
    }

    /// The outcome, once. Ready with nothing if it was taken before.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Outcome>> {
        if !self.has_ended() {
            self.waiting.wait(cx);
            return Poll::Pending;
        }
        match self.stage.replace(Stage::Taken) {
            Stage::Ended(outcome) => Poll::Ready(Some(outcome)),
            _ => Poll::Ready(None),
        }
    }

    /// Asks the feeder to kill the worker.
    pub(crate) fn kill(&self) {
        self.unwanted.set(true);
        self.feeder.wake();
    }

    /// Whether the worker is to be killed. A later request wakes the feeder.
    pub(crate) fn is_unwanted(&self, cx: &Context<'_>) -> bool {
        if !self.unwanted.get() {
            self.feeder.wait(cx);
        }
        self.unwanted.get()
    }

    /// Sets the receiver of the outcome, in place of a handle.
    pub(crate) fn leave(&self, heir: Heir) {
        if !self.has_ended() {
            return self.heir.set(Some(heir));
        }
        if let Stage::Ended(outcome) = self.stage.replace(Stage::Taken) {
            heir(outcome);
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "waiting",
            Self::Running => "running",
            Self::Ended(_) => "ended",
            Self::Taken => "taken",
        })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.stage.borrow()).finish()
    }
}
