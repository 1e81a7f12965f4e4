//! Promises that threads set.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use asyncio_sync::{PromiseError, SetError, thread_promise};
use futures::executor::block_on;

#[test]
fn a_task_waits_for_the_value_of_a_thread() {
    let (promise, answer) = thread_promise();
    let thread = thread::spawn(move || promise.set_result(7));
    assert_eq!(block_on(answer), Ok(7));
    thread.join().unwrap().unwrap();
}

#[test]
fn a_thread_waits_again_after_a_timeout() {
    let (promise, answer) = thread_promise();
    let mut answer = answer.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(!answer.is_done() && answer.try_take().is_none());
    let thread = thread::spawn(move || promise.set_result("done"));
    assert_eq!(answer.wait(), Ok("done"));
    thread.join().unwrap().unwrap();
}

#[test]
fn a_value_that_is_set_can_be_taken_at_once() {
    let (promise, mut answer) = thread_promise();
    promise.set_result(7).unwrap();
    assert!(answer.is_done());
    assert_eq!(answer.try_take(), Some(Ok(7)));
    assert_eq!(answer.try_take(), None);
}

#[test]
fn a_dropped_promise_is_broken() {
    let (promise, answer) = thread_promise::<u8>();
    let thread = thread::spawn(move || drop(promise));
    assert_eq!(block_on(answer), Err(PromiseError::Broken));
    thread.join().unwrap();
}

#[test]
fn the_error_of_a_cancelled_promise_contains_the_value() {
    let (promise, answer) = thread_promise();
    assert!(!promise.is_cancelled());
    drop(answer);
    assert!(promise.is_cancelled());
    assert_eq!(promise.set_result(7), Err(SetError::Cancelled(7)));
}

#[test]
fn a_value_that_is_not_taken_is_dropped_with_the_answer() {
    let value = Arc::new(());
    let (promise, answer) = thread_promise();
    promise.set_result(value.clone()).unwrap();
    drop(answer);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn on_one_thread_the_value_need_not_be_send() {
    let (promise, answer) = thread_promise();
    promise.set_result(Rc::new(7)).unwrap();
    assert_eq!(block_on(answer), Ok(Rc::new(7)));
}

#[test]
#[should_panic(expected = "awaited again after it had returned its value")]
fn an_answer_is_awaited_once() {
    let (promise, answer) = thread_promise();
    promise.set_result(()).unwrap();
    let mut answer = pin!(answer);
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || Pin::new(&mut answer).poll(&mut cx);
    assert!(poll().is_ready());
    let _ = poll();
}
