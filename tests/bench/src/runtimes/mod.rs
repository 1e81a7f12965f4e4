//! The runtimes, each behind the trait the workloads are written against.

mod certificate;
mod compio;
mod cpython;
mod floor;
mod library;
mod monoio;
mod ours;
mod pool;
mod smol;
mod system;
mod tokio;
mod tools;
mod web;

pub(crate) use self::web::serve_for_clients;

use ::monoio::{IoUringDriver, LegacyDriver};

use crate::effort::Effort;
use crate::figures::Figures;
use crate::primitives::Lacking;
use crate::workloads;

/// A runtime as the command line and the tables know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    pub(crate) name: &'static str,
    /// The column of its family in the summary, which has the best of the family.
    pub(crate) family: &'static str,
    pub(crate) what: &'static str,
    /// The measured packages, for their versions.
    pub(crate) packages: &'static [&'static str],
}

macro_rules! runtimes {
    (
        $($name:literal, $family:literal, $what:literal, $packages:expr => $runtime:ty;)+
        libraries:
        $($library:literal, $lib_family:literal, $lib_what:literal, $lib_packages:expr => $on:ty;)+
        pools:
        $($pool:literal, $pool_family:literal, $pool_what:literal, $pool_packages:expr => $with:ty;)+
        programs:
        $($program:literal, $program_family:literal, $program_what:literal => $start:path;)+
    ) => {
        /// All runtimes, in the order in which they take their turns.
        pub(crate) const ALL: &[Description] = &[
            $(Description {
                name: $name,
                family: $family,
                what: $what,
                packages: $packages,
            },)+
            $(Description {
                name: $library,
                family: $lib_family,
                what: $lib_what,
                packages: $lib_packages,
            },)+
            $(Description {
                name: $pool,
                family: $pool_family,
                what: $pool_what,
                packages: $pool_packages,
            },)+
            $(Description {
                name: $program,
                family: $program_family,
                what: $program_what,
                packages: &[],
            },)+
        ];

        /// Gives the work called `workload` to the runtime called `runtime`. `None` if the runtime cannot do it.
        ///
        /// # Panics
        ///
        /// When there is no runtime, or no workload, of that name.
        pub(crate) fn run(runtime: &str, workload: &str, effort: Effort) -> Option<Figures> {
            match runtime {
                $($name => workloads::run::<$runtime>(workload, effort),)+
                $($library => workloads::run_with_library::<$on>(workload, effort),)+
                $($pool => workloads::run_with_pool::<$with>(workload, effort),)+
                $($program => $start(workload, effort),)+
                _ => panic!("there is no runtime called {runtime}"),
            }
        }
    };
}

/// The family of this project.
pub(crate) const OURS: &str = "ours";
/// The family of this project's runtime as a guest of tokio's.
pub(crate) const GUEST: &str = "guest";
/// The family of the floor, which has no duties and is no peer.
pub(crate) const FLOOR: &str = "floor";

runtimes! {
    "ours", "ours", "asyncio", &[] => ours::Ours;
    "tokio-local", "tokio", "LocalRuntime", &["tokio"] => tokio::Tokio<tokio::LocalRuntime>;
    "guest", "guest", "asyncio in tokio, with tokio's I/O", &["tokio"] => tokio::Tokio<tokio::Guest>;
    "bridge", "bridge", "asyncio, and tokio's I/O on another thread of the same core", &["tokio"] => tokio::Tokio<tokio::Bridge>;
    "tokio-set", "tokio", "LocalSet", &["tokio"] => tokio::Tokio<tokio::InLocalSet>;
    "tokio-current", "tokio", "current_thread, plain spawn", &["tokio"] => tokio::Tokio<tokio::CurrentThread>;
    "smol", "smol", "LocalExecutor, async-io's block_on", &["async-executor", "async-io", "async-channel", "async-broadcast", "async-lock", "blocking", "async-fs", "async-process"] => smol::Smol<smol::OneThread>;
    "smol-lite", "smol", "LocalExecutor, futures-lite's block_on", &["futures-lite"] => smol::Smol<smol::TwoThreads>;
    "monoio", "monoio", "epoll", &["monoio", "local-sync"] => monoio::Monoio<LegacyDriver>;
    "monoio-uring", "monoio", "io_uring", &["monoio", "local-sync"] => monoio::Monoio<IoUringDriver>;
    "compio", "compio", "io_uring", &["compio", "cyper-core"] => compio::Compio;
    "floor", "floor", "a bare executor, a bare epoll loop", &[] => floor::Floor;
    libraries:
    "futures", "libraries", "futures on the floor", &["futures"] => library::Library<tools::groups::Unordered, tools::futures::Futures>;
    "futures-on-ours", "libraries", "futures on our loop", &["futures"] => library::Library<tools::groups::Unordered, Lacking, ours::Ours>;
    "futures-buffered", "libraries", "futures-buffered on the floor", &["futures-buffered"] => library::Library<tools::groups::Buffered, Lacking>;
    "futures-concurrency", "libraries", "futures-concurrency on the floor", &["futures-concurrency"] => library::Library<tools::groups::Concurrency, Lacking>;
    "moro-local", "libraries", "moro-local on the floor", &["moro-local"] => library::Library<tools::groups::Moro, Lacking>;
    pools:
    "rayon", "rayon", "rayon's spawn and a oneshot, on our loop", &["rayon"] => pool::OnOurLoop<tools::rayon::Pool>;
    programs:
    "cpython", "cpython", "CPython's asyncio, its pools, aiofiles" => cpython::run;
}
