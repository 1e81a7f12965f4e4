//! A promise is set once, and each waiting task gets the outcome.

use asyncio_sync::{PromiseError, SetError, SharedAnswer, promise_or};
use proptest::prelude::*;

use crate::{Waiting, pick};

#[derive(Debug, Clone)]
enum Step {
    Await,
    Poll(usize),
    DropWait(usize),
    SetResult,
    SetError,
    Cancel,
    DropPromise,
    /// Drops the clone that is not awaited.
    DropFuture,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => Just(Step::Await),
        20 => any::<usize>().prop_map(Step::Poll),
        10 => any::<usize>().prop_map(Step::DropWait),
        2 => Just(Step::SetResult),
        2 => Just(Step::SetError),
        1 => Just(Step::Cancel),
        1 => Just(Step::DropPromise),
        2 => Just(Step::DropFuture),
    ];
    proptest::collection::vec(step, 0..60)
}

type Outcome = Result<u32, PromiseError<std::rc::Rc<&'static str>>>;

proptest! {
    #[test]
    fn a_promise_is_set_once_and_reaches_all(steps in steps()) {
        let (promise, future) = promise_or::<u32, &'static str>();
        let (mut promise, mut future) = (Some(promise), Some(future.shared()));
        let mut waiting: Vec<Waiting<Outcome>> = Vec::new();
        let mut outcome: Option<Outcome> = None;

        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::Await => {
                    let Some(future) = &future else { continue };
                    match Waiting::begin(id, SharedAnswer::clone(future)) {
                        Ok(received) => prop_assert_eq!(Some(received), outcome.clone()),
                        Err(wait) => {
                            prop_assert_eq!(&outcome, &None);
                            waiting.push(wait);
                        }
                    }
                }
                Step::Poll(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    let received = waiting[at].poll();
                    prop_assert_eq!(&received, &outcome);
                    if received.is_some() {
                        waiting.remove(at);
                    }
                }
                Step::DropWait(choice) => {
                    let Some(at) = pick(&waiting, choice) else { continue };
                    waiting.remove(at);
                }
                Step::DropFuture => future = None,
                Step::SetResult => {
                    let Some(promise) = &promise else { continue };
                    let set = promise.set_result(id);
                    match set {
                        Ok(()) => {
                            prop_assert_eq!(&outcome, &None);
                            outcome = Some(Ok(id));
                        }
                        Err(SetError::Cancelled(back)) => {
                            prop_assert_eq!(&outcome, &Some(Err(PromiseError::Cancelled)));
                            prop_assert_eq!(back, id);
                        }
                        Err(SetError::AlreadySet(back)) => {
                            prop_assert!(outcome.is_some());
                            prop_assert_eq!(back, id);
                        }
                    }
                }
                Step::SetError => {
                    let Some(promise) = &promise else { continue };
                    if promise.set_error("failed").is_ok() {
                        prop_assert_eq!(&outcome, &None);
                        outcome = Some(Err(PromiseError::Failed("failed".into())));
                        // Retrieve the error, so that it is not reported.
                        prop_assert!(future.is_none() || future.as_ref().unwrap().try_result().is_some());
                        if future.is_none() {
                            waiting.drain(..).for_each(|mut wait| assert!(wait.poll().is_some()));
                        }
                    }
                }
                Step::Cancel => {
                    let Some(promise) = &promise else { continue };
                    if promise.cancel() {
                        prop_assert_eq!(&outcome, &None);
                        outcome = Some(Err(PromiseError::Cancelled));
                    }
                }
                Step::DropPromise => {
                    promise = None;
                    outcome.get_or_insert(Err(PromiseError::Broken));
                }
            }
            // All futures are dropped, which cancels the promise.
            if future.is_none() && waiting.is_empty() {
                outcome.get_or_insert(Err(PromiseError::Cancelled));
            }
            if let Some(promise) = &promise {
                prop_assert_eq!(promise.done(), outcome.is_some());
            }
            for wait in &waiting {
                prop_assert_eq!(wait.was_woken(), outcome.is_some());
            }
        }
    }
}
