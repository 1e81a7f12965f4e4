//! A workload: its name, what it measures, and in which columns.

/// One kind of work that every runtime is given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// How the command line calls it.
    pub(crate) name: &'static str,
    /// What happens, for the table.
    pub(crate) what: &'static str,
    /// What a run of it finds out. The first column is the one for the summary and the chart.
    pub(crate) columns: &'static [Column],
    /// Whether a run of exactly so many operations makes sense, so that a tool can count.
    pub(crate) countable: Countable,
    /// The load from outside, for a server.
    pub(crate) traffic: Option<Traffic>,
}

/// What another process sends to a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    /// How many more connections are used once and left open.
    pub(crate) idle: usize,
    /// The size of a request.
    pub(crate) bytes: usize,
    pub(crate) requests: Requests,
}

/// When a connection sends its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    /// Once.
    Once,
    /// Each as soon as the one before it is answered.
    Answered,
    /// Each at its time, so many a second on all connections together.
    Paced(u64),
}

/// One figure of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its key in a worker's answer.
    pub(crate) key: &'static str,
    /// What it is, with its unit.
    pub(crate) label: &'static str,
    pub(crate) better: Better,
    /// Whether it has a row in the summary.
    pub(crate) summary: bool,
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// The two amounts of work whose difference a counting tool looks at, so that starting up and
/// shutting down cancel out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Countable {
    No,
    /// Passed to the worker as its exact effort.
    Worker(u64, u64),
    /// Passed to the load generator as the number of requests.
    Requests(u64, u64),
}

impl Column {
    pub(crate) const CPU: Self = Self {
        key: "cpu",
        label: "CPU ns",
        better: Better::Less,
        summary: true,
    };

    /// A figure of which less is better.
    pub(crate) const fn less(key: &'static str, label: &'static str) -> Self {
        Self {
            key,
            label,
            better: Better::Less,
            summary: true,
        }
    }

    /// A figure of which more is better.
    pub(crate) const fn more(key: &'static str, label: &'static str) -> Self {
        Self {
            better: Better::More,
            ..Self::less(key, label)
        }
    }

    /// The same column, left out of the summary.
    pub(crate) const fn aside(self) -> Self {
        Self {
            summary: false,
            ..self
        }
    }
}
