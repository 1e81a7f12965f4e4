//! The scenes of the tour: their input, their progress and their report.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{Task, interval, spawn};

use crate::threads::ThreadCosts;
use crate::words::grouped;

/// One scene of the tour.
pub(crate) struct Scene {
    pub(crate) title: &'static str,
    pub(crate) play: fn(Stage) -> Playing,
}

/// A running scene. It fails if something is not as promised.
pub(crate) type Playing = Pin<Box<dyn Future<Output = io::Result<Report>>>>;

/// The input of a scene.
#[derive(Clone)]
pub(crate) struct Stage {
    short: bool,
    pub(crate) threads: Rc<ThreadCosts>,
}

impl Stage {
    pub(crate) fn new(short: bool, threads: ThreadCosts) -> Self {
        Self {
            short,
            threads: Rc::new(threads),
        }
    }

    /// `full`, or `short` if the tour is to be short.
    pub(crate) fn size<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// Shows `progress` until the result is dropped.
    pub(crate) fn show(&self, progress: &Progress) -> Task<()> {
        let progress = progress.clone();
        spawn(async move {
            let mut beats = interval(Duration::from_millis(50));
            loop {
                beats.tick().await;
                progress.print();
            }
        })
    }
}

/// The progress of a scene.
#[derive(Clone)]
pub(crate) struct Progress {
    done: Rc<Cell<u64>>,
    total: u64,
    what: &'static str,
}

impl Progress {
    pub(crate) fn new(total: u64, what: &'static str) -> Self {
        Self {
            done: Rc::default(),
            total,
            what,
        }
    }

    pub(crate) fn step(&self) {
        self.done.set(self.done.get() + 1);
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }

    /// Draws the bar over the last one, on a terminal only. A file gets the results alone.
    fn print(&self) {
        let mut out = io::stdout();
        if !out.is_terminal() {
            return;
        }
        const WIDTH: u64 = 30;
        let filled = self.done() * WIDTH / self.total.max(1);
        let bar: String = (0..WIDTH)
            .map(|n| if n < filled { '█' } else { '·' })
            .collect();
        // If nobody can see it, nobody misses it.
        let (done, total) = (grouped(self.done()), grouped(self.total));
        let _ = write!(out, "\r   {bar} {done} of {total} {}\x1b[K\r", self.what);
        let _ = out.flush();
    }
}

/// The report of a scene.
pub(crate) struct Report {
    lines: Vec<(&'static str, String)>,
    pub(crate) took: Duration,
}

impl Report {
    pub(crate) fn new(took: Duration) -> Self {
        Self {
            lines: Vec::new(),
            took,
        }
    }

    /// Adds a line about what happened.
    pub(crate) fn happened(self, what: impl Into<String>) -> Self {
        self.line("what", what)
    }

    /// Adds the time that the scene took.
    pub(crate) fn took(self, how_long: impl Into<String>) -> Self {
        self.line("took", how_long)
    }

    /// Adds the cost of the same work with a thread for each thing that waits.
    pub(crate) fn in_threads(self, cost: impl Into<String>) -> Self {
        self.line("in threads", cost)
    }

    pub(crate) fn line(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.lines.push((label, text.into()));
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if io::stdout().is_terminal() {
            f.write_str("\r\x1b[K")?; // erases the rest of a progress bar
        }
        let mut last = "";
        for (label, text) in &self.lines {
            let shown = if *label == last { "" } else { label };
            last = label;
            writeln!(f, "   {shown:<11} {text}")?;
        }
        Ok(())
    }
}

/// Fails with the words of `what` unless `kept`.
pub(crate) fn promise(kept: bool, what: impl FnOnce() -> String) -> io::Result<()> {
    if kept {
        return Ok(());
    }
    Err(io::Error::other(what()))
}
