//! A library for any runtime, run on the floor's executor. That is the cheapest executor, so the figure is the
//! library's. On our loop it has the same costs around it as our own functions.

use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::floor::Floor;
use crate::group::Group;
use crate::primitives::Primitives;
use crate::runtime::{Abilities, Runtime};
use crate::system::NoSystem;
use crate::threads::NoThreads;
use crate::web::NoWeb;
use crate::workloads::echo::Progress;

/// The groups of `G` and the primitives of `P`, on the executor `E`.
#[derive(Debug)]
pub(crate) struct Library<G, P, E = Floor>(PhantomData<(G, P, E)>);

impl<G: Group, P: Primitives, E: Runtime> Runtime for Library<G, P, E> {
    type Task<T: 'static> = <E as Runtime>::Task<T>;
    type Channel = <E as Runtime>::Channel;
    type Group = G;
    type Primitives = P;
    type Threads = NoThreads;
    type Web = NoWeb;
    type System = NoSystem;

    const CAN: Abilities = E::CAN;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        E::block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Self::Task<F::Output> {
        E::spawn(future)
    }

    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T> + 'static {
        E::join(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        E::sleep(duration)
    }

    fn serve(
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) -> impl Future<Output = ()> + 'static {
        E::serve(listener, buffer, progress)
    }
}
