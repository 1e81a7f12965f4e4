//! The attributes through the facade, as a user uses them.
//!
//! The unit tests check the expansion token by token. The project's `tests/compile_fail` checks
//! mistakes and their messages.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {}

#[test]
fn main_returns_what_the_function_returns() {
    #[asyncio::main]
    async fn seven() -> u8 {
        asyncio::spawn(async { 7 }).await.unwrap()
    }
    assert_eq!(seven(), 7);
}

#[test]
fn errors_coerce_to_the_return_type() {
    #[asyncio::main]
    async fn boxed() -> Result<u8, Box<dyn Error>> {
        asyncio::yield_now().await;
        if "7".parse::<u8>()? == 7 {
            return Err(Box::new(Refused));
        }
        Ok(0)
    }
    assert_eq!(boxed().unwrap_err().to_string(), "refused");
}

#[test]
fn a_return_type_may_be_opaque() {
    #[asyncio::main]
    async fn words() -> impl Iterator<Item = &'static str> {
        ["a", "b"].into_iter()
    }
    assert_eq!(words().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn main_runs_on_the_given_clock() {
    #[asyncio::main(clock = "virtual", debug = true, budget = 3)]
    async fn an_hour() -> Duration {
        let start = asyncio::time();
        asyncio::sleep(Duration::from_secs(3600)).await;
        asyncio::time() - start
    }
    #[asyncio::main]
    async fn a_moment() {
        asyncio::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(an_hour(), Duration::from_secs(3600));
    let start = Instant::now();
    a_moment();
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[test]
fn lints_allowed_outside_are_allowed_inside() {
    #[deny(unused_variables)]
    mod strict {
        #[asyncio::main]
        #[allow(unused_variables)]
        pub(super) async fn careless() {
            let forgotten = 1;
        }
    }
    strict::careless();
}

#[test]
fn the_path_to_asyncio_can_be_given() {
    mod elsewhere {
        pub(super) use ::asyncio::*;
    }
    #[asyncio::main(crate = "elsewhere")]
    async fn seven() -> u8 {
        7
    }
    assert_eq!(seven(), 7);
}

#[asyncio::test]
async fn a_test_has_virtual_time() {
    let start = Instant::now();
    asyncio::sleep(Duration::from_secs(86_400)).await;
    assert!(start.elapsed() < Duration::from_secs(3600));
}

#[asyncio::test(clock = "real")]
async fn a_test_may_have_real_time() {
    let start = Instant::now();
    asyncio::sleep(Duration::from_millis(5)).await;
    assert!(start.elapsed() >= Duration::from_millis(5));
}

#[asyncio::test]
async fn a_test_may_return_a_result() -> Result<(), std::num::ParseIntError> {
    assert_eq!("7".parse::<u8>()?, 7);
    Ok(())
}

#[asyncio::test]
#[should_panic(expected = "boom")]
async fn a_test_may_be_expected_to_panic() {
    asyncio::yield_now().await;
    panic!("boom");
}

#[asyncio::test(timeout = "5 min", virtual_timeout = "never")]
async fn a_test_may_take_as_long_as_its_limit() {
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    asyncio::sleep(century).await;
}

#[asyncio::test(virtual_timeout = "1 h")]
#[should_panic(expected = "the test is not over after 3600s of virtual time")]
async fn a_test_that_exceeds_its_virtual_limit_fails() {
    loop {
        asyncio::sleep(Duration::from_secs(60)).await;
    }
}

#[asyncio::test(clock = "real", timeout = "20 ms")]
#[should_panic(expected = "the test is not over after 20ms")]
async fn a_test_that_exceeds_its_real_limit_fails() {
    std::future::pending().await
}

#[asyncio::test]
#[should_panic(expected = "waits for something that is neither a task nor a timer")]
async fn a_test_whose_virtual_time_stands_still_fails() {
    std::future::pending().await
}

thread_local! {
    /// The order in which the tasks ran, for each run of `shuffled`.
    static RUNS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[asyncio::test(order = [1, 2, 1])]
async fn shuffled() {
    let order = Rc::new(RefCell::new(String::new()));
    let tasks: Vec<_> = ('a'..='h')
        .map(|name| {
            let order = order.clone();
            asyncio::spawn(async move { order.borrow_mut().push(name) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    RUNS.with_borrow_mut(|runs| runs.push(order.take()));
}

#[test]
fn a_seed_is_an_order() {
    shuffled();
    let runs = RUNS.take();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0], runs[2]);
    assert_ne!(runs[0], runs[1]);
}

/// Imports the attribute as `test`, which is also the name of the plain test attribute.
mod imported {
    use asyncio::test;

    #[test]
    async fn an_imported_test_expands_once() {
        asyncio::yield_now().await;
    }
}
