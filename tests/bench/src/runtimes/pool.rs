//! A pool of threads of another library, on our loop.

use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::ours::Ours;
use crate::runtime::{Abilities, Runtime};
use crate::system::NoSystem;
use crate::threads::Threads;
use crate::workloads::echo::Progress;

/// The pool of `P`.
#[derive(Debug)]
pub(crate) struct OnOurLoop<P>(PhantomData<P>);

impl<P: Threads> Runtime for OnOurLoop<P> {
    type Task<T: 'static> = <Ours as Runtime>::Task<T>;
    type Channel = <Ours as Runtime>::Channel;
    type Group = <Ours as Runtime>::Group;
    type Primitives = <Ours as Runtime>::Primitives;
    type Threads = P;
    type Web = <Ours as Runtime>::Web;
    type System = NoSystem;

    const CAN: Abilities = Ours::CAN;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        Ours::block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Self::Task<F::Output> {
        Ours::spawn(future)
    }

    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T> + 'static {
        Ours::join(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Ours::sleep(duration)
    }

    fn serve(
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) -> impl Future<Output = ()> + 'static {
        Ours::serve(listener, buffer, progress)
    }
}
