//! Types that belong to a thread are not `Send`, and types that cross threads are.

use asyncio::{
    EventLoop, Handle, Interval, JoinError, LoopHandle, OutsideWork, Runner, Sleep, Task, TaskInfo,
    TaskRef, ThreadFuture, ThreadHandle, TimerHandle,
};

/// Ambiguous for what is `Send`, so `stays::<T>()` compiles only for what is not.
trait Stays<Why> {
    fn stays() {}
}
impl<T: ?Sized> Stays<()> for T {}
impl<T: ?Sized + Send> Stays<u8> for T {}

fn crosses<T: Send + Sync + 'static>() {}

#[test]
fn loops_tasks_and_what_waits_stay() {
    <EventLoop as Stays<_>>::stays();
    <Runner as Stays<_>>::stays();
    <Task<()> as Stays<_>>::stays();
    <TaskRef as Stays<_>>::stays();
    <Handle as Stays<_>>::stays();
    <TimerHandle as Stays<_>>::stays();
    <Sleep as Stays<_>>::stays();
    <Interval as Stays<_>>::stays();
    <asyncio::Context as Stays<_>>::stays();
}

#[test]
fn handles_for_other_threads_and_plain_facts_cross() {
    crosses::<LoopHandle>();
    crosses::<ThreadHandle>();
    crosses::<ThreadFuture<u8>>();
    crosses::<OutsideWork>();
    crosses::<JoinError>();
    crosses::<TaskInfo>();
}
