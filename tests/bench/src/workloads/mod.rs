//! The workloads, each written once for all runtimes.

mod calls;
pub(crate) mod echo;
mod files;
mod foreign;
mod groups;
mod http;
mod in_place;
mod memory;
mod network;
mod ping_pong;
mod primitives;
mod processes;
mod sleeps;
mod spawn;
mod subprocesses;
mod timeouts;
mod yields;

use crate::effort::Effort;
use crate::figures::Figures;
use crate::runtime::Runtime;
use crate::workload::Workload;

/// Work for any runtime.
pub(crate) trait Work {
    const WORKLOAD: Workload;

    /// Does the work. `None` if the runtime cannot.
    fn run<R: Runtime>(effort: Effort) -> Option<Figures>;
}

macro_rules! workloads {
    (of runtimes: $($work:ty),+; of pools: $($call:ty),+; of libraries: $($tool:ty),+ $(;)?) => {
        /// All workloads, in the order of the table.
        pub(crate) const ALL: &[Workload] = &[
            $(<$work as Work>::WORKLOAD,)+
            $(<$call as Work>::WORKLOAD,)+
            $(<$tool as Work>::WORKLOAD,)+
        ];

        /// Does the work called `name` on `R`. `None` if `R` cannot.
        ///
        /// # Panics
        ///
        /// When there is no workload of that name.
        pub(crate) fn run<R: Runtime>(name: &str, effort: Effort) -> Option<Figures> {
            if !R::takes_part(name) {
                return must_be_known(name);
            }
            $(if <$work as Work>::WORKLOAD.name == name {
                return <$work as Work>::run::<R>(effort);
            })+
            $(if <$call as Work>::WORKLOAD.name == name {
                return <$call as Work>::run::<R>(effort);
            })+
            run_with_library::<R>(name, effort)
        }

        /// The same for a pool of threads on a borrowed loop, without the work that would measure that loop.
        ///
        /// # Panics
        ///
        /// When there is no workload of that name.
        pub(crate) fn run_with_pool<R: Runtime>(name: &str, effort: Effort) -> Option<Figures> {
            $(if <$call as Work>::WORKLOAD.name == name {
                return <$call as Work>::run::<R>(effort);
            })+
            must_be_known(name)
        }

        /// The same for a library on a borrowed executor, without the work that would measure that executor.
        ///
        /// # Panics
        ///
        /// When there is no workload of that name.
        pub(crate) fn run_with_library<R: Runtime>(name: &str, effort: Effort) -> Option<Figures> {
            $(if <$tool as Work>::WORKLOAD.name == name {
                return <$tool as Work>::run::<R>(effort);
            })+
            must_be_known(name)
        }
    };
}

/// `None`, for work that is not done.
///
/// # Panics
///
/// When there is no workload of that name.
fn must_be_known(name: &str) -> Option<Figures> {
    let mut all = ALL.iter();
    assert!(
        all.any(|workload| workload.name == name),
        "there is no workload called {name}"
    );
    None
}

workloads![
    of runtimes:
    spawn::SpawnJoin,
    spawn::SpawnJoinInTask,
    spawn::SpawnAwait,
    yields::YieldMain,
    yields::Yields<1>,
    yields::Yields<100>,
    yields::Yields<1_000>,
    yields::Yields<20_000>,
    yields::OwnYield,
    ping_pong::Wakers,
    ping_pong::OwnChannel,
    ping_pong::TaskOfTokio,
    sleeps::Sleeps<100_000>,
    sleeps::Sleeps<1_000_000>,
    sleeps::ShortSleep,
    sleeps::DroppedSleep,
    timeouts::TimeoutReady,
    timeouts::TimeoutYield,
    memory::Parked,
    memory::Sleeping,
    foreign::BurstOne,
    foreign::BurstMany,
    foreign::RoundTrip,
    foreign::Lockstep,
    calls::Callbacks<1>,
    calls::Callbacks<4>,
    files::RandomReads,
    files::SequentialRead,
    files::SequentialWrite,
    files::Lines,
    files::SmallFiles,
    subprocesses::ShortProcess,
    subprocesses::ThroughCat,
    echo::Echo<1, 64>,
    echo::Echo<100, 64>,
    echo::Echo<1_000, 64>,
    echo::Echo<1, 16_384>,
    echo::Echo<100, 16_384>,
    echo::Echo<1_000, 16_384>,
    echo::EchoThrough<false>,
    echo::EchoThrough<true>,
    network::Datagrams,
    network::Tls<true>,
    network::Tls<false>,
    echo::Paced<0>,
    echo::Paced<10_000>,
    echo::Idle,
    http::Hello,
    http::Http2,
    http::Json,
    http::Fetches;
    of pools:
    calls::Call<false>,
    calls::Call<true>,
    calls::Calls<1_000>,
    calls::Calls<1_000_000>,
    processes::ProcessCall<0>,
    processes::ProcessCall<1_048_576>,
    processes::PoolStart;
    of libraries:
    groups::GroupJoin,
    groups::GroupOutputs,
    groups::Gather,
    groups::GatherYield,
    groups::GroupYields,
    groups::CancellableYield,
    groups::Nested,
    groups::Bounded,
    in_place::Race<2>,
    in_place::Race<3>,
    in_place::Select<2>,
    in_place::Select<3>,
    in_place::Gather<2>,
    in_place::Gather<3>,
    in_place::TryGather<2>,
    in_place::TryGather<3>,
    primitives::LockAlone,
    primitives::LockAmongTasks,
    primitives::SemaphoreAlone,
    primitives::SemaphoreAmongTasks,
    primitives::EventAlone,
    primitives::EventPingPong,
    primitives::Queues<1, 1>,
    primitives::Queues<1, 16>,
    primitives::Queues<1, 1_024>,
    primitives::Queues<100, 16>,
    primitives::SortedMany,
    primitives::RequestAnswer,
    primitives::Watches<1>,
    primitives::Watches<100>,
    primitives::Broadcasts<1>,
    primitives::Broadcasts<100>;
];

// A workload is found by its name.
const _: () = {
    let mut one = 0;
    while one < ALL.len() {
        let mut other = 0;
        while other < one {
            assert!(
                !is_same(ALL[one].name.as_bytes(), ALL[other].name.as_bytes()),
                "two workloads have one name"
            );
            other += 1;
        }
        one += 1;
    }
};

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
