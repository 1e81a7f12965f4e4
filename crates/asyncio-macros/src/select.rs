//! The expansion of `select!`.
//!
//! ```text
//! let guards = …;
//! let chosen = match (futures, …) { … => pin them; await the engine over a closure that polls one of them };
//! match chosen { arm's pattern => handler, … }
//! ```
//!
//! The futures are the scrutinee of a `match`, so their temporaries live as long as they do. They are gone before a
//! handler begins. The engine is in asyncio-executors. The facade's `select!` puts its own path in front of the arms.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, Pat, PatIdent, Path, Token};

/// Expands `facade; arms`.
pub(crate) fn select(input: TokenStream) -> TokenStream {
    match syn::parse2::<Select>(input) {
        Ok(select) => select.expand(),
        Err(error) => error.into_compile_error(),
    }
}

struct Select {
    facade: Path,
    arms: Vec<Arm>,
    otherwise: Option<Expr>,
}

/// `pattern = future, if guard => handler`
struct Arm {
    pattern: Pat,
    future: Expr,
    guard: Option<Expr>,
    handler: Expr,
}

impl Parse for Select {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let facade = input.call(Path::parse_mod_style)?;
        input.parse::<Token![;]>()?;
        refuse_biased(input)?;
        let mut arms = Vec::new();
        let mut otherwise = None;
        while !input.is_empty() {
            if let Some(last) = &otherwise {
                return Err(Error::new_spanned(
                    last,
                    "`else` is the last arm of `select!`",
                ));
            }
            let handler = if input.peek(Token![else]) {
                input.parse::<Token![else]>()?;
                input.parse::<Token![=>]>()?;
                let handler = Expr::parse_with_earlier_boundary_rule(input)?;
                &*otherwise.insert(handler)
            } else {
                arms.push(input.parse::<Arm>()?);
                &arms[arms.len() - 1].handler
            };
            if input.is_empty() {
                break;
            }
            if is_block_like(handler) {
                input.parse::<Option<Token![,]>>()?;
            } else {
                input.parse::<Token![,]>()?;
            }
        }
        if arms.is_empty() {
            let problem = "`select!` needs an arm: `pattern = future => handler`";
            return Err(Error::new(Span::call_site(), problem));
        }
        Ok(Self {
            facade,
            arms,
            otherwise,
        })
    }
}

/// tokio's `biased;` asks for what is the rule here.
fn refuse_biased(input: ParseStream<'_>) -> syn::Result<()> {
    let ahead = input.fork();
    match ahead.parse::<Ident>() {
        Ok(word) if word == "biased" && ahead.peek(Token![;]) => Err(Error::new_spanned(
            word,
            "`select!` polls its arms in their order: remove `biased;`",
        )),
        _ => Ok(()),
    }
}

/// A handler that ends without a comma.
fn is_block_like(handler: &Expr) -> bool {
    matches!(
        handler,
        Expr::Block(_)
            | Expr::If(_)
            | Expr::Match(_)
            | Expr::While(_)
            | Expr::Loop(_)
            | Expr::ForLoop(_)
            | Expr::Unsafe(_)
    )
}

impl Parse for Arm {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let pattern = Pat::parse_multi_with_leading_vert(input)?;
        input.parse::<Token![=]>()?;
        let future = input.parse::<Expr>()?;
        let guard = if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            input.parse::<Token![if]>()?;
            Some(input.parse::<Expr>()?)
        } else {
            None
        };
        input.parse::<Token![=>]>()?;
        let handler = Expr::parse_with_earlier_boundary_rule(input)?;
        Ok(Self {
            pattern,
            future,
            guard,
            handler,
        })
    }
}

impl Select {
    fn expand(&self) -> TokenStream {
        let Self { facade, arms, .. } = self;
        let private = quote!(#facade::__private::select);
        let count = arms.len();
        let named = |what: &str| -> Vec<Ident> {
            let name = |n| Ident::new(&format!("__{what}_{n}"), Span::mixed_site());
            (0..count).map(name).collect()
        };
        let (futures, guards) = (named("future"), named("guard"));
        let variants: Vec<Ident> = (0..count).map(|n| format_ident!("Arm{n}")).collect();

        let guarded = arms.iter().zip(&guards).filter_map(|(arm, name)| {
            let guard = arm.guard.as_ref()?;
            Some(quote!(let #name: bool = #guard;))
        });
        let made = arms.iter().zip(&guards).map(|(arm, guard)| {
            let future = &arm.future;
            match arm.guard {
                Some(_) => quote!(match #guard {
                    true => ::core::option::Option::Some(#future),
                    false => ::core::option::Option::None,
                }),
                None => quote!(#future),
            }
        });
        let pinned = arms.iter().zip(&futures).map(|(arm, future)| {
            let span = arm.future.span();
            let into = quote_spanned!(span => ::core::future::IntoFuture::into_future);
            match arm.guard {
                Some(_) => quote!(
                    let mut #future = ::core::pin::pin!(::core::option::Option::map(#future, #into));
                ),
                None => quote!(let mut #future = ::core::pin::pin!(#into(#future));),
            }
        });
        let polls = arms.iter().enumerate().map(|(n, arm)| {
            let (future, variant) = (&futures[n], &variants[n]);
            let chosen = quote!(#private::ArmPoll::Chosen(__Chosen::#variant(value)));
            let value = match matches_all(&arm.pattern) {
                true => chosen,
                false => {
                    let pattern = without_binding_modes(&arm.pattern);
                    quote!(
                        #[allow(unreachable_patterns, unused_variables, clippy::all, clippy::pedantic)]
                        let matches = match &value {
                            #pattern => true,
                            _ => false,
                        };
                        match matches {
                            true => #chosen,
                            false => #private::ArmPoll::Disabled,
                        }
                    )
                }
            };
            let poll = quote!(match ::core::future::Future::poll(future, cx) {
                ::core::task::Poll::Ready(value) => { #value }
                ::core::task::Poll::Pending => #private::ArmPoll::Pending,
            });
            match arm.guard {
                Some(_) => quote!(#n => match ::core::pin::Pin::as_mut(&mut #future).as_pin_mut() {
                    ::core::option::Option::Some(future) => #poll,
                    ::core::option::Option::None => #private::ArmPoll::Disabled,
                },),
                None => quote!(#n => {
                    let future = ::core::pin::Pin::as_mut(&mut #future);
                    #poll
                }),
            }
        });
        let handled = arms.iter().zip(&variants).map(|(arm, variant)| {
            let Arm {
                pattern, handler, ..
            } = arm;
            quote!(::core::option::Option::Some(__Chosen::#variant(#pattern)) => #handler,)
        });
        let otherwise = match &self.otherwise {
            Some(otherwise) => quote!(#otherwise),
            None => quote!(#private::all_disabled()),
        };
        let chosen = Ident::new("chosen", Span::mixed_site());
        quote!({
            #[allow(dead_code)]
            enum __Chosen<#(#variants),*> {
                #(#variants(#variants)),*
            }
            #(#guarded)*
            let #chosen = match (#(#made,)*) {
                (#(#futures,)*) => {
                    #(#pinned)*
                    #private::select::<#count, _, _>(|n: usize, cx: &mut ::core::task::Context<'_>| match n {
                        #(#polls)*
                        _ => #private::ArmPoll::Disabled,
                    })
                    .await
                }
            };
            #[allow(unreachable_patterns)]
            match #chosen {
                #(#handled)*
                _ => #otherwise,
            }
        })
    }
}

/// Whether a pattern matches whatever comes, as far as its tokens tell: a lower-case name, `_`, or a tuple of those.
fn matches_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        Pat::Ident(PatIdent {
            ident,
            subpat: None,
            ..
        }) => ident
            .to_string()
            .starts_with(|first: char| first.is_lowercase() || first == '_'),
        Pat::Tuple(tuple) => all_match(&tuple.elems),
        _ => false,
    }
}

fn all_match(patterns: &Punctuated<Pat, Token![,]>) -> bool {
    patterns.iter().all(matches_all)
}

/// The pattern as it matches a reference: `mut x` and `ref x` are `x`.
fn without_binding_modes(pattern: &Pat) -> TokenStream {
    strip(pattern.to_token_stream())
}

fn strip(tokens: TokenStream) -> TokenStream {
    let mut after_ampersand = false;
    let keep = |token: TokenTree| {
        let after = std::mem::replace(
            &mut after_ampersand,
            matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '&'),
        );
        match token {
            TokenTree::Ident(word) if word == "ref" || (word == "mut" && !after) => None,
            TokenTree::Group(group) => {
                let mut stripped = Group::new(group.delimiter(), strip(group.stream()));
                stripped.set_span(group.span());
                Some(TokenTree::Group(stripped))
            }
            token => Some(token),
        }
    };
    tokens.into_iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser;

    use super::*;

    fn pattern(text: &str) -> Pat {
        Pat::parse_multi.parse_str(text).expect("it is a pattern")
    }

    #[test]
    fn binding_modes_go_and_references_stay() {
        let stripped = |text| without_binding_modes(&pattern(text)).to_string();
        let expected = |text: &str| pattern(text).to_token_stream().to_string();
        assert_eq!(stripped("Some((mut a, ref b))"), expected("Some((a, b))"));
        assert_eq!(stripped("Ok(&mut x)"), expected("Ok(&mut x)"));
        assert_eq!(stripped("ref mut x"), expected("x"));
    }

    #[test]
    fn names_and_tuples_of_names_match_all() {
        for text in ["x", "mut x", "_", "_line", "(a, (b, _))", "()"] {
            assert!(matches_all(&pattern(text)), "{text}");
        }
        for text in ["None", "Some(x)", "(a, Ok(b))", "x @ 1..2", "3", "MAX"] {
            assert!(!matches_all(&pattern(text)), "{text}");
        }
    }

    #[test]
    fn mistakes_have_messages() {
        let says = |text: &str, what: &str| {
            let tokens = format!("::asyncio; {text}");
            let expansion = select(tokens.parse().expect("these are tokens")).to_string();
            assert!(expansion.contains(what), "{text}: {expansion}");
        };
        says("", "needs an arm");
        says("biased; x = a => b", "remove `biased;`");
        says("else => a, x = b => c", "`else` is the last arm");
    }
}
