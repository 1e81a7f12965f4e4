//! The options of an attribute: `key = value`, each at most once.
//!
//! A mistake is reported at its place in the source, and the option keeps its default. So all
//! mistakes are reported at once. The loop implements the options; this file only reads them.

use proc_macro2::TokenStream;
use quote::quote;
use std::time::Duration;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Ident, Lit, Path, Token};

/// The clock of the loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clock {
    Real,
    Virtual,
}

/// The program's other loop, which turns this one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Host {
    Tokio,
}

/// The limit on the time of a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    For(Duration),
    Never,
}

/// The orders of ready steps in which a test runs, one run for each order.
#[derive(Debug, PartialEq)]
pub(crate) enum Orders {
    /// A number of random seeds.
    Random(u64),
    /// The given seeds.
    Seeds(Vec<u64>),
}

/// The options in the parentheses of an attribute; `None` for an option that is not given.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) budget: Option<u32>,
    pub(crate) clock: Option<Clock>,
    pub(crate) debug: Option<bool>,
    pub(crate) host: Option<Host>,
    pub(crate) orders: Option<Orders>,
    pub(crate) sigterm: Option<bool>,
    pub(crate) timeout: Option<Limit>,
    pub(crate) virtual_timeout: Option<Limit>,
    krate: Option<Path>,
}

impl Options {
    /// Reads the options of `attribute`, which accepts the options in `allowed`.
    ///
    /// Returns the options also if there are mistakes: a wrong option has its default.
    pub(crate) fn parse(
        written: TokenStream,
        attribute: &str,
        allowed: &[&str],
    ) -> (Options, syn::Result<()>) {
        let settings = Punctuated::<Setting, Token![,]>::parse_terminated;
        let settings = match settings.parse2(written) {
            Ok(settings) => settings,
            Err(error) => return (Options::default(), Err(error)),
        };
        let mut options = Options::default();
        let mut seen = Vec::new();
        let mut mistakes = Mistakes::default();
        for Setting { key, value } in settings {
            let name = key.to_string();
            if !allowed.contains(&name.as_str()) {
                let known = allowed.join("`, `");
                let problem =
                    format!("`{attribute}` has no option `{name}`; its options are `{known}`");
                mistakes.add(Error::new(key.span(), problem));
            } else if seen.contains(&name) {
                let problem = format!("`{name}` is given twice");
                mistakes.add(Error::new(key.span(), problem));
            } else if let Err(mistake) = options.set(&name, &value) {
                mistakes.add(mistake);
            }
            seen.push(name);
        }
        (options, mistakes.into_result())
    }

    fn set(&mut self, name: &str, value: &Expr) -> syn::Result<()> {
        match name {
            "budget" => self.budget = Some(budget(value)?),
            "clock" => self.clock = Some(clock(value)?),
            "debug" => self.debug = Some(switch(name, value)?),
            "host" => self.host = Some(host(value)?),
            "order" => self.orders = Some(orders(value)?),
            "sigterm" => self.sigterm = Some(switch(name, value)?),
            "timeout" => self.timeout = Some(limit(name, value)?),
            "virtual_timeout" => self.virtual_timeout = Some(limit(name, value)?),
            "crate" => self.krate = Some(krate(value)?),
            _ => unreachable!("an allowed option has an arm here: {name}"),
        }
        Ok(())
    }

    /// The path to the facade.
    pub(crate) fn facade(&self) -> TokenStream {
        match &self.krate {
            Some(path) => quote!(#path),
            None => quote!(::asyncio),
        }
    }
}

/// One `key = value`.
struct Setting {
    key: Ident,
    value: Expr,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // `crate` is a keyword, which the usual parser does not accept as an `Ident`.
        let Ok(key) = input.call(Ident::parse_any) else {
            return Err(input.error("write an option as `key = value`, such as `debug = true`"));
        };
        if !input.peek(Token![=]) {
            let problem = format!("option `{key}` has no value; write `{key} = …`");
            return Err(Error::new(key.span(), problem));
        }
        input.parse::<Token![=]>()?;
        let value = input.parse()?;
        Ok(Setting { key, value })
    }
}

/// Every mistake found so far, as one error.
#[derive(Default)]
struct Mistakes(Option<Error>);

impl Mistakes {
    fn add(&mut self, mistake: Error) {
        match &mut self.0 {
            Some(earlier) => earlier.combine(mistake),
            None => self.0 = Some(mistake),
        }
    }

    fn into_result(self) -> syn::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

fn budget(value: &Expr) -> syn::Result<u32> {
    let problem = "`budget` must be a number of steps, at least 1, such as `budget = 64`";
    let number = whole_number(value, problem)?;
    match u32::try_from(number) {
        Ok(steps) if steps > 0 => Ok(steps),
        _ => Err(Error::new(value.span(), problem)),
    }
}

fn clock(value: &Expr) -> syn::Result<Clock> {
    match literal(value) {
        Some(Lit::Str(name)) if name.value() == "real" => Ok(Clock::Real),
        Some(Lit::Str(name)) if name.value() == "virtual" => Ok(Clock::Virtual),
        _ => {
            let problem = "`clock` must be `\"real\"` or `\"virtual\"`";
            Err(Error::new(value.span(), problem))
        }
    }
}

fn switch(name: &str, value: &Expr) -> syn::Result<bool> {
    match literal(value) {
        Some(Lit::Bool(on)) => Ok(on.value),
        _ => {
            let problem = format!("`{name}` must be `true` or `false`");
            Err(Error::new(value.span(), problem))
        }
    }
}

fn host(value: &Expr) -> syn::Result<Host> {
    match literal(value) {
        Some(Lit::Str(name)) if name.value() == "tokio" => Ok(Host::Tokio),
        _ => {
            let problem = "`host` must be `\"tokio\"`";
            Err(Error::new(value.span(), problem))
        }
    }
}

fn orders(value: &Expr) -> syn::Result<Orders> {
    let problem = "`order` must be a number of random orders, such as `order = 10`, \
                   or a list of seeds, such as `order = [7]`";
    let orders = match value {
        Expr::Array(seeds) => {
            let seeds = seeds.elems.iter().map(|seed| whole_number(seed, problem));
            Orders::Seeds(seeds.collect::<syn::Result<_>>()?)
        }
        count => Orders::Random(whole_number(count, problem)?),
    };
    if orders == Orders::Random(0) || orders == Orders::Seeds(Vec::new()) {
        let problem = "`order` must give at least one order, or the test never runs";
        return Err(Error::new(value.span(), problem));
    }
    Ok(orders)
}

fn limit(name: &str, value: &Expr) -> syn::Result<Limit> {
    let written = match literal(value) {
        Some(Lit::Str(text)) => text.value(),
        _ => String::new(),
    };
    read_limit(&written).ok_or_else(|| {
        let problem = format!(
            "`{name}` must be a number and a unit (ms, s, min, h, days or years), \
             such as `{name} = \"30 s\"`, or `\"never\"`"
        );
        Error::new(value.span(), problem)
    })
}

/// Reads a limit; `None` unless it is `never` or a length of time above zero.
fn read_limit(written: &str) -> Option<Limit> {
    if written == "never" {
        return Some(Limit::Never);
    }
    let unit_at = written.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = written.split_at(unit_at);
    let milliseconds: u64 = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "day" | "days" => 86_400_000,
        "year" | "years" => 365 * 86_400_000,
        _ => return None,
    };
    let limit = number.parse::<u64>().ok()?.checked_mul(milliseconds)?;
    (limit > 0).then(|| Limit::For(Duration::from_millis(limit)))
}

fn krate(value: &Expr) -> syn::Result<Path> {
    let problem = "`crate` must be the path to asyncio, such as `crate = \"my_crate::asyncio\"`";
    match literal(value) {
        Some(Lit::Str(path)) => path
            .parse_with(Path::parse_mod_style)
            .map_err(|_| Error::new(value.span(), problem)),
        _ => Err(Error::new(value.span(), problem)),
    }
}

fn whole_number(value: &Expr, problem: &str) -> syn::Result<u64> {
    match literal(value) {
        Some(Lit::Int(number)) => number
            .base10_parse()
            .map_err(|_| Error::new(value.span(), problem)),
        _ => Err(Error::new(value.span(), problem)),
    }
}

fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        // A value from a `macro_rules!` variable is wrapped in an invisible group.
        Expr::Group(group) => literal(&group.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::TEST_OPTIONS as ALL;

    fn read(written: TokenStream) -> Options {
        let (options, mistakes) = Options::parse(written, "#[asyncio::test]", ALL);
        mistakes.expect("no mistake");
        options
    }

    fn mistakes(written: TokenStream) -> Vec<String> {
        let (_, mistakes) = Options::parse(written, "#[asyncio::test]", ALL);
        let mistakes = mistakes.expect_err("a mistake");
        mistakes
            .into_iter()
            .map(|mistake| mistake.to_string())
            .collect()
    }

    #[test]
    fn options_are_unset_by_default() {
        let options = read(quote!());
        assert_eq!(options.budget, None);
        assert_eq!(options.clock, None);
        assert_eq!(options.debug, None);
        assert_eq!(options.orders, None);
        assert_eq!(options.facade().to_string(), quote!(::asyncio).to_string());
    }

    #[test]
    fn every_option_is_read() {
        let options = read(quote!(
            budget = 64,
            clock = "virtual",
            crate = "crate::facade",
            debug = true,
            order = [1, 2],
            timeout = "90 s",
            virtual_timeout = "never",
        ));
        assert_eq!(options.timeout, Some(Limit::For(Duration::from_secs(90))));
        assert_eq!(options.virtual_timeout, Some(Limit::Never));
        assert_eq!(options.budget, Some(64));
        assert_eq!(options.clock, Some(Clock::Virtual));
        assert_eq!(options.debug, Some(true));
        assert_eq!(options.orders, Some(Orders::Seeds(vec![1, 2])));
        assert_eq!(
            options.facade().to_string(),
            quote!(crate::facade).to_string()
        );
        assert_eq!(read(quote!(clock = "real")).clock, Some(Clock::Real));
        assert_eq!(read(quote!(order = 10)).orders, Some(Orders::Random(10)));
    }

    #[test]
    fn a_limit_has_a_unit() {
        const SECOND: u64 = 1000;
        for (written, milliseconds) in [
            ("5 ms", 5),
            ("5ms", 5),
            ("30 s", 30 * SECOND),
            ("2 min", 120 * SECOND),
            ("2 h", 7200 * SECOND),
            ("1 day", 86_400 * SECOND),
            ("2 years", 730 * 86_400 * SECOND),
        ] {
            let limit = Limit::For(Duration::from_millis(milliseconds));
            assert_eq!(read_limit(written), Some(limit), "{written}");
        }
    }

    #[test]
    fn an_unknown_option_is_answered_with_the_known_options() {
        let (_, mistakes) =
            Options::parse(quote!(flavor = 1), "#[asyncio::main]", &["clock", "debug"]);
        assert_eq!(
            mistakes.expect_err("a mistake").to_string(),
            "`#[asyncio::main]` has no option `flavor`; its options are `clock`, `debug`"
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let written = quote!(debug = 1, order = 0, clock = "real", clock = "real");
        let (options, mistakes) = Options::parse(written, "#[asyncio::test]", ALL);
        let mistakes = mistakes.expect_err("mistakes").into_iter();
        assert_eq!(
            mistakes
                .map(|mistake| mistake.to_string())
                .collect::<Vec<_>>(),
            [
                "`debug` must be `true` or `false`",
                "`order` must give at least one order, or the test never runs",
                "`clock` is given twice",
            ]
        );
        assert_eq!(options.clock, Some(Clock::Real));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_answered_with_the_right_kind() {
        let budget = "`budget` must be a number of steps, at least 1, such as `budget = 64`";
        assert_eq!(mistakes(quote!(budget = "64")), [budget]);
        assert_eq!(mistakes(quote!(budget = 0)), [budget]);
        assert_eq!(mistakes(quote!(budget = -1)), [budget]);
        assert_eq!(mistakes(quote!(budget = 5_000_000_000)), [budget]);
        let clock = "`clock` must be `\"real\"` or `\"virtual\"`";
        assert_eq!(mistakes(quote!(clock = "wall")), [clock]);
        assert_eq!(mistakes(quote!(clock = real)), [clock]);
        assert_eq!(
            mistakes(quote!(order = [])),
            ["`order` must give at least one order, or the test never runs"]
        );
        assert!(mistakes(quote!(order = "7"))[0].starts_with("`order` must be a number"));
        assert!(mistakes(quote!(order = [1, "2"]))[0].starts_with("`order` must be a number"));
        assert!(mistakes(quote!(crate = asyncio))[0].starts_with("`crate` must be the path"));
        assert!(mistakes(quote!(crate = "not a path"))[0].starts_with("`crate` must be the path"));
        assert_eq!(
            mistakes(quote!(debug)),
            ["option `debug` has no value; write `debug = …`"]
        );
        for wrong in [
            quote!(30),
            quote!("30"),
            quote!("s"),
            quote!("0 s"),
            quote!("1.5 s"),
            quote!(""),
        ] {
            assert_eq!(
                mistakes(quote!(timeout = #wrong)),
                [
                    "`timeout` must be a number and a unit (ms, s, min, h, days or years), \
                  such as `timeout = \"30 s\"`, or `\"never\"`"
                ]
            );
        }
        let written = "write an option as `key = value`, such as `debug = true`";
        assert_eq!(mistakes(quote!("real")), [written]);
    }
}
