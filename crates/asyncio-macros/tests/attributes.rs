//! The attributes as the compiler expands them, on a stand-in for the facade.
//!
//! Most of what is tested here is that it compiles: return types, `?`, attributes, options.

mod stand_in;

use std::cell::Cell;
use std::error::Error;
use std::future::ready;

use stand_in::__private::{LAST, Orders};
use stand_in::Builder;

thread_local! {
    static RUNS: Cell<u32> = const { Cell::new(0) };
}

fn last() -> (Builder, Orders) {
    LAST.take().expect("the attribute ran something")
}

#[test]
fn main_returns_what_the_function_returns() {
    #[asyncio_macros::main(crate = "crate::stand_in")]
    async fn seven() -> u8 {
        ready(7).await
    }
    assert_eq!(seven(), 7);
    assert_eq!(last().0, Builder::default());
}

#[test]
fn main_passes_its_options_to_the_builder() {
    #[asyncio_macros::main(crate = "stand_in", debug = true, clock = "virtual", budget = 3)]
    async fn nothing() {}
    nothing();
    let expected = Builder {
        debug: true,
        virtual_time: true,
        task_budget: Some(3),
    };
    assert_eq!(last().0, expected);
}

#[test]
fn errors_coerce_to_the_return_type() {
    #[derive(Debug)]
    struct Refused;
    impl std::fmt::Display for Refused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("refused")
        }
    }
    impl Error for Refused {}

    #[asyncio_macros::main(crate = "stand_in")]
    async fn boxed() -> Result<u8, Box<dyn Error>> {
        if ready(true).await {
            return Err(Box::new(Refused));
        }
        Ok("7".parse::<u8>()?)
    }
    assert_eq!(boxed().unwrap_err().to_string(), "refused");
}

#[test]
fn a_return_type_may_be_opaque() {
    #[asyncio_macros::main(crate = "stand_in")]
    async fn words() -> impl Iterator<Item = &'static str> {
        ["a", "b"].into_iter()
    }
    assert_eq!(words().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn lints_allowed_outside_are_allowed_inside() {
    #[deny(unused_variables)]
    mod strict {
        #[asyncio_macros::main(crate = "crate::stand_in")]
        #[allow(unused_variables)]
        pub(super) async fn careless() {
            let forgotten = 1;
        }
    }
    strict::careless();
}

#[asyncio_macros::test(crate = "stand_in")]
async fn a_test_runs_as_a_test() -> Result<(), std::num::ParseIntError> {
    assert_eq!("7".parse::<u8>()?, ready(7).await);
    Ok(())
}

#[asyncio_macros::test(crate = "stand_in")]
#[should_panic(expected = "boom")]
async fn a_test_may_panic() {
    ready(()).await;
    panic!("boom");
}

#[asyncio_macros::test(crate = "stand_in", order = [7, 8, 9])]
async fn counted() {
    RUNS.set(RUNS.get() + 1);
}

#[test]
fn a_test_runs_once_for_each_order() {
    counted();
    assert_eq!(RUNS.take(), 3);
    assert_eq!(last().1, Orders::Seeds(&[7, 8, 9]));
}

/// A call of a function that `test` made is a run, so what it passed on can be looked at.
mod called {
    use super::{Builder, Orders, last};

    #[asyncio_macros::test(crate = "crate::stand_in")]
    async fn plain() {}

    #[asyncio_macros::test(crate = "crate::stand_in", clock = "real", debug = true, order = 10)]
    async fn of_sockets() {}

    #[test]
    fn time_is_virtual_unless_said_otherwise() {
        plain();
        let virtual_time = Builder {
            virtual_time: true,
            ..Builder::default()
        };
        assert_eq!(last(), (virtual_time, Orders::AsQueued));

        of_sockets();
        let debug = Builder {
            debug: true,
            ..Builder::default()
        };
        assert_eq!(last(), (debug, Orders::Random(10)));
    }
}

/// With the attribute in scope under the name `test`, as `use asyncio::test` does.
mod imported {
    use asyncio_macros::test;

    #[test(crate = "crate::stand_in")]
    async fn an_imported_test_expands_once() {}
}
