//! A workload: its name, what it measures, and in which columns.

/// One kind of work for all runtimes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Its description in the table.
    pub(crate) what: &'static str,
    /// The figures of a run. The first column is the one for the summary and the chart.
    pub(crate) columns: &'static [Column],
    /// Whether it can run an exact number of operations, so that a tool can count.
    pub(crate) countable: Countable,
    /// The load from outside, for a server.
    pub(crate) traffic: Option<Traffic>,
}

/// The workloads of one kind: a value of its parameter, the name, and the description of each.
pub(crate) type Rows = [(u64, &'static str, &'static str)];

impl Workload {
    /// A workload whose name and description are in a row of `rows`. Does not compile without a row for `value`.
    pub(crate) const fn in_row(self, rows: &Rows, value: u64) -> Self {
        let mut n = 0;
        while rows[n].0 != value {
            n += 1;
        }
        let (_, name, what) = rows[n];
        Self { name, what, ..self }
    }
}

/// The requests of the load generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) connections: usize,
    /// The number of further connections that are used once and stay open.
    pub(crate) idle: usize,
    pub(crate) message: Message,
    pub(crate) requests: Requests,
}

/// A request, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// So many bytes, which come back.
    Echo(usize),
    /// `GET /` by HTTP/1, and a page.
    Http,
    /// The same by HTTP/2, [several](Self::STREAMS) at a time. All of them are answered before the next ones.
    Http2,
}

impl Message {
    /// The number of requests that are sent together by HTTP/2.
    pub(crate) const STREAMS: usize = 8;

    /// The number of requests that it stands for.
    pub(crate) const fn requests(self) -> usize {
        match self {
            Self::Http2 => Self::STREAMS,
            Self::Echo(_) | Self::Http => 1,
        }
    }
}

/// The times at which a connection sends its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    /// Once.
    Once,
    /// Each as soon as the answer of the one before it has come.
    Answered,
    /// Each at its own time, with this rate a second on all connections together.
    Paced(u64),
}

/// One figure of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its key in a worker's answer.
    pub(crate) key: &'static str,
    /// Its name with its unit.
    pub(crate) label: &'static str,
    pub(crate) better: Better,
    /// Whether it has a row in the summary.
    pub(crate) summary: bool,
}

/// The better direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

/// The two amounts of work of a counting run. In their difference, the costs of start and end cancel out.
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

    /// A figure where less is better.
    pub(crate) const fn less(key: &'static str, label: &'static str) -> Self {
        Self {
            key,
            label,
            better: Better::Less,
            summary: true,
        }
    }

    /// A figure where more is better.
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
