//! The expansion of the attributes.
//!
//! The expansion is small: the builder calls for the given options, and one call into the facade.
//! So the behaviour of a program is in the loop's code and not in an expansion. `run_main` and
//! `run_test` are in the facade's `__private` module.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use syn::Error;

use crate::function::AsyncFn;
use crate::options::{Clock, Host, Limit, Options, Orders};

const MAIN: &str = "#[asyncio::main]";
const MAIN_OPTIONS: &[&str] = &["budget", "clock", "crate", "debug", "host", "sigterm"];
const TEST: &str = "#[asyncio::test]";
pub(crate) const TEST_OPTIONS: &[&str] = &[
    "budget",
    "clock",
    "crate",
    "debug",
    "host",
    "order",
    "timeout",
    "virtual_timeout",
];

/// Expands `#[asyncio::main(options)] item`.
pub(crate) fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = match parse(&item, MAIN) {
        Ok(function) => function,
        Err(refused) => return refused,
    };
    let (options, mistakes) = Options::parse(options, MAIN, MAIN_OPTIONS);
    let facade = options.facade();
    let builder = builder(&options, Clock::Real);
    let name = &function.signature.ident;
    let host = host(&options);
    let wrapped = function.wrap(&quote!(#facade::__private::#host run_main(#builder, #name())));
    report(wrapped, mistakes)
}

/// Expands `#[asyncio::test(options)] item`.
pub(crate) fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = match parse(&item, TEST) {
        Ok(function) => function,
        Err(refused) => return refused,
    };
    let (options, mistakes) = Options::parse(options, TEST, TEST_OPTIONS);
    let mistakes = mistakes.and_then(|()| check_test(&function, &options));
    let facade = options.facade();
    // The timers and sockets of a host know nothing of a virtual clock.
    let clock = match options.host {
        None => Clock::Virtual,
        Some(Host::Tokio) => Clock::Real,
    };
    let builder = builder(&options, clock);
    let host = host(&options);
    let orders = match &options.orders {
        None => quote!(AsQueued),
        Some(Orders::Random(count)) => quote!(Random(#count)),
        Some(Orders::Seeds(seeds)) => quote!(Seeds(&[#(#seeds),*])),
    };
    let name = &function.signature.ident;
    let run = match limits(&options) {
        None => quote!(run_test),
        Some(_) => quote!(run_test_within),
    };
    let limits = limits(&options).map(|limits| quote!(#limits,));
    let wrapped = function.wrap(&quote! {
        #facade::__private::#host #run(
            #limits || #builder, #facade::__private::Orders::#orders, #name
        )
    });
    // The full path, because after `use asyncio::test` a plain `test` would name this attribute
    // again.
    report(quote!(#[::core::prelude::v1::test] #wrapped), mistakes)
}

/// The function in `item`, or the expansion with an error if a loop cannot run `item`.
fn parse(item: &TokenStream, attribute: &str) -> Result<AsyncFn, TokenStream> {
    let function: AsyncFn = syn::parse2(item.clone()).map_err(|_| {
        let problem = format!("`{attribute}` goes on an `async fn` with a body");
        let error = Error::new_spanned(item, problem).into_compile_error();
        quote!(#error #item)
    })?;
    match function.check(attribute) {
        Ok(()) => Ok(function),
        Err(error) => Err(report(function.placeholder(), Err(error))),
    }
}

/// Refuses a test that would check less than it seems to.
fn check_test(function: &AsyncFn, options: &Options) -> syn::Result<()> {
    if let Some(second) = function.attribute("test") {
        let problem = format!(
            "`{TEST}` already makes this function a test; remove the second test attribute, \
             or the test runs twice"
        );
        return Err(Error::new_spanned(second, problem));
    }
    let several = match &options.orders {
        None => false,
        Some(Orders::Random(count)) => *count > 1,
        Some(Orders::Seeds(seeds)) => seeds.len() > 1,
    };
    match function.attribute("should_panic") {
        Some(attribute) if several => {
            let problem = "a `#[should_panic]` test ends with its first order; give one order, \
                           such as `order = [7]`";
            Err(Error::new_spanned(attribute, problem))
        }
        _ => Ok(()),
    }
}

/// The calls that build the runner, one for each given option.
///
/// A runner has real time by default, so only a virtual clock needs a call.
fn builder(options: &Options, default_clock: Clock) -> TokenStream {
    let facade = options.facade();
    let clock = match options.clock.unwrap_or(default_clock) {
        Clock::Real => None,
        Clock::Virtual => Some(quote!(.virtual_time(true))),
    };
    let debug = options.debug.map(|on| quote!(.debug(#on)));
    // Without a suffix, so that the builder determines the integer type.
    let budget = options.budget.map(Literal::u32_unsuffixed);
    let budget = budget.map(|steps| quote!(.task_budget(#steps)));
    let sigterm = options.sigterm.map(|on| quote!(.sigterm(#on)));
    quote!(#facade::Runner::builder() #clock #debug #budget #sigterm)
}

/// The module with the functions of the host.
fn host(options: &Options) -> Option<TokenStream> {
    options.host.map(|Host::Tokio| quote!(tokio::))
}

/// The limits of a test, or `None` if the options give no limit.
fn limits(options: &Options) -> Option<TokenStream> {
    let facade = options.facade();
    let of = |limit: Limit| match limit {
        Limit::Never => quote!(::core::option::Option::None),
        Limit::For(limit) => {
            let (seconds, nanos) = (limit.as_secs(), limit.subsec_nanos());
            quote!(::core::option::Option::Some(::core::time::Duration::new(#seconds, #nanos)))
        }
    };
    let real = options.timeout.map(of);
    let virtual_time = options.virtual_timeout.map(of);
    if real.is_none() && virtual_time.is_none() {
        return None;
    }
    let real = real.map(|limit| quote!(.real(#limit)));
    let virtual_time = virtual_time.map(|limit| quote!(.virtual_time(#limit)));
    Some(quote!(#facade::__private::Limits::DEFAULT #real #virtual_time))
}

fn report(expansion: TokenStream, mistakes: syn::Result<()>) -> TokenStream {
    let errors = mistakes.err().map(Error::into_compile_error);
    quote!(#errors #expansion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_same(expansion: TokenStream, expected: TokenStream) {
        assert_eq!(expansion.to_string(), expected.to_string());
    }

    #[test]
    fn main_runs_the_function() {
        assert_same(
            main(
                quote!(),
                quote!(
                    async fn main() {
                        work().await;
                    }
                ),
            ),
            quote! {
                fn main() {
                    async fn main() { work().await; }
                    ::asyncio::__private::run_main(::asyncio::Runner::builder(), main())
                }
            },
        );
    }

    #[test]
    fn main_keeps_attributes_visibility_and_return_type() {
        assert_same(
            main(
                quote!(),
                quote! {
                    /// Serves.
                    #[allow(unused)]
                    pub(crate) async fn serve() -> io::Result<()> { Ok(()) }
                },
            ),
            quote! {
                /// Serves.
                #[allow(unused)]
                pub(crate) fn serve() -> io::Result<()> {
                    async fn serve() -> io::Result<()> { Ok(()) }
                    ::asyncio::__private::run_main(::asyncio::Runner::builder(), serve())
                }
            },
        );
    }

    #[test]
    fn main_passes_its_options_on() {
        assert_same(
            main(
                quote!(
                    debug = true,
                    clock = "virtual",
                    budget = 64,
                    sigterm = true,
                    crate = "facade"
                ),
                quote!(
                    async fn main() {}
                ),
            ),
            quote! {
                fn main() {
                    async fn main() {}
                    facade::__private::run_main(
                        facade::Runner::builder()
                            .virtual_time(true)
                            .debug(true)
                            .task_budget(64)
                            .sigterm(true),
                        main()
                    )
                }
            },
        );
    }

    #[test]
    fn a_host_runs_the_function() {
        assert_same(
            main(
                quote!(host = "tokio"),
                quote!(
                    async fn main() {}
                ),
            ),
            quote! {
                fn main() {
                    async fn main() {}
                    ::asyncio::__private::tokio::run_main(::asyncio::Runner::builder(), main())
                }
            },
        );
    }

    #[test]
    fn a_test_on_a_host_has_real_time() {
        let item = quote!(
            async fn t() {}
        );
        let real = test(quote!(host = "tokio"), item.clone()).to_string();
        assert!(!real.contains("virtual_time"), "{real}");
        assert!(real.contains(&quote!(::asyncio::__private::tokio::run_test).to_string()));
        let asked = test(quote!(host = "tokio", clock = "virtual"), item).to_string();
        assert!(asked.contains("virtual_time"), "{asked}");
    }

    #[test]
    fn an_unknown_host_is_refused() {
        let expansion = main(
            quote!(host = "smol"),
            quote!(
                async fn main() {}
            ),
        );
        assert!(
            expansion
                .to_string()
                .contains("`host` must be `\\\"tokio\\\"`"),
            "{expansion}"
        );
    }

    #[test]
    fn a_test_has_virtual_time_and_runs_in_queue_order() {
        assert_same(
            test(
                quote!(),
                quote!(
                    #[cfg(unix)]
                    async fn sleeps() {}
                ),
            ),
            quote! {
                #[::core::prelude::v1::test]
                #[cfg(unix)]
                fn sleeps() {
                    async fn sleeps() {}
                    ::asyncio::__private::run_test(
                        || ::asyncio::Runner::builder().virtual_time(true),
                        ::asyncio::__private::Orders::AsQueued,
                        sleeps
                    )
                }
            },
        );
    }

    #[test]
    fn a_test_can_have_real_time() {
        assert_same(
            test(
                quote!(clock = "real"),
                quote!(
                    async fn echoes() -> io::Result<()> {
                        Ok(())
                    }
                ),
            ),
            quote! {
                #[::core::prelude::v1::test]
                fn echoes() -> io::Result<()> {
                    async fn echoes() -> io::Result<()> { Ok(()) }
                    ::asyncio::__private::run_test(
                        || ::asyncio::Runner::builder(),
                        ::asyncio::__private::Orders::AsQueued,
                        echoes
                    )
                }
            },
        );
    }

    #[test]
    fn a_test_has_the_given_limits() {
        let expansion = test(
            quote!(timeout = "1500 ms", virtual_timeout = "never"),
            quote!(
                async fn t() {}
            ),
        );
        let limits = quote! {
            ::asyncio::__private::Limits::DEFAULT
                .real(::core::option::Option::Some(::core::time::Duration::new(1u64, 500000000u32)))
                .virtual_time(::core::option::Option::None)
        };
        assert!(
            expansion.to_string().contains(&limits.to_string()),
            "{expansion}"
        );
    }

    #[test]
    fn a_test_runs_in_the_given_orders() {
        let random = test(
            quote!(order = 10),
            quote!(
                async fn t() {}
            ),
        )
        .to_string();
        assert!(random.contains(&quote!(::asyncio::__private::Orders::Random(10u64)).to_string()));
        let seeds = test(
            quote!(order = [1, 2]),
            quote!(
                async fn t() {}
            ),
        )
        .to_string();
        let expected = quote!(::asyncio::__private::Orders::Seeds(&[1u64, 2u64]));
        assert!(seeds.contains(&expected.to_string()));
    }

    #[test]
    fn a_mistake_in_the_options_is_the_only_error() {
        // The expansion still has the function, without `async`, so nothing else fails to compile.
        assert_same(
            main(
                quote!(debug = 1),
                quote!(
                    async fn main() {}
                ),
            ),
            quote! {
                ::core::compile_error! { "`debug` must be `true` or `false`" }
                fn main() {
                    async fn main() {}
                    ::asyncio::__private::run_main(::asyncio::Runner::builder(), main())
                }
            },
        );
    }

    #[test]
    fn main_has_no_option_order() {
        let expansion = main(
            quote!(order = 10),
            quote!(
                async fn main() {}
            ),
        )
        .to_string();
        assert!(expansion.contains("`#[asyncio::main]` has no option `order`"));
    }

    #[test]
    fn an_item_that_is_no_function_is_kept() {
        assert_same(
            test(
                quote!(),
                quote!(
                    struct Thing;
                ),
            ),
            quote! {
                ::core::compile_error! { "`#[asyncio::test]` goes on an `async fn` with a body" }
                struct Thing;
            },
        );
    }

    #[test]
    fn a_second_test_attribute_is_refused() {
        let expansion = test(
            quote!(),
            quote!(
                #[test]
                async fn t() {}
            ),
        )
        .to_string();
        assert!(expansion.contains("remove the second test attribute"));
    }

    #[test]
    fn a_should_panic_test_takes_one_order() {
        let item = quote!(
            #[should_panic(expected = "boom")]
            async fn t() {
                panic!("boom")
            }
        );
        let several = test(quote!(order = 2), item.clone()).to_string();
        assert!(several.contains("ends with its first order"));
        let one = test(quote!(order = [7]), item).to_string();
        assert!(!one.contains("compile_error"));
    }
}
