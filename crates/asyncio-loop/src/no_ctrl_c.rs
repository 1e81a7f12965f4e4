//! Ctrl-C on systems where it is not handled: it ends the process as usual.

use asyncio_reactor::Reactor;

#[derive(Clone, Copy, Debug)]
pub(crate) struct StopSignals {
    pub(crate) interrupt: bool,
    pub(crate) terminate: bool,
}

#[derive(Debug)]
pub(crate) enum CtrlC {}

impl CtrlC {
    pub(crate) fn listen(_: &Reactor, signals: StopSignals) -> Option<Self> {
        let StopSignals {
            interrupt,
            terminate,
        } = signals;
        let _neither = (interrupt, terminate);
        None
    }

    pub(crate) fn arrived(&self) -> Option<i32> {
        match *self {}
    }
}

pub(crate) fn end_process(signal: i32) -> ! {
    std::process::exit(128 + signal)
}
