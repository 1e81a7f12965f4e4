//! The expansion of `#[asyncio::remote]`: beside the function, an entry in the list of the program.
//!
//! The function stays as it is.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ReturnType, Safety, Type};

use crate::function::AsyncFn;
use crate::options::Options;

const REMOTE: &str = "#[asyncio::remote]";
const OPTIONS: &[&str] = &["crate"];

/// `#[asyncio::remote(options)] item`.
pub(crate) fn remote(options: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(function) = syn::parse2::<AsyncFn>(item.clone()) else {
        let problem = format!("`{REMOTE}` goes on a function with a body");
        let error = Error::new_spanned(&item, problem).into_compile_error();
        return quote!(#error #item);
    };
    let (options, mistakes) = Options::parse(options, REMOTE, OPTIONS);
    let types = match check(&function) {
        Ok(types) => types,
        Err(error) => {
            let error = error.into_compile_error();
            // Only an `impl` or a `trait` takes a method.
            let rest = match function.signature.receiver() {
                Some(_self) => item,
                None => function.placeholder(),
            };
            return quote!(#error #rest);
        }
    };
    let errors = mistakes.err().map(Error::into_compile_error);
    let entry = entry(&function, &types, &options.facade());
    quote!(#errors #item #entry)
}

fn entry(function: &AsyncFn, types: &[Type], facade: &TokenStream) -> TokenStream {
    let signature = &function.signature;
    let private = quote!(#facade::__private);
    let name = &signature.ident;
    let names: Vec<Ident> = (0..types.len())
        .map(|n| format_ident!("argument_{n}"))
        .collect();
    // One argument is sent as it is, several as a tuple.
    let (pattern, arguments) = match (&names[..], types) {
        ([name], [only]) => (quote!(#name), quote!(#only)),
        (names, types) => (quote!((#(#names),*)), quote!((#(#types),*))),
    };
    // The compiler shows a type that serde cannot read or write where it is named.
    let inputs = match signature.inputs.is_empty() {
        true => name.span(),
        false => signature.inputs.span(),
    };
    let output = match &signature.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, output) => output.span(),
    };
    let private_at = |span| respanned(&private, span);
    let (reads, writes) = (private_at(inputs), private_at(output));
    let read = quote_spanned!(inputs=> #reads::read::<#arguments>);
    let write = quote_spanned!(output=> #writes::write);
    let call = match signature.asyncness {
        None => quote!(call),
        Some(_) => quote!(call_async),
    };
    let is_condition = |attribute: &&syn::Attribute| {
        let path = attribute.path();
        path.is_ident("cfg") || path.is_ident("cfg_attr")
    };
    let conditions: Vec<_> = function.attributes.iter().filter(is_condition).collect();
    // In an `impl` or a `trait` these constants are associated ones. There the items of the second constant do not see
    // the first one, and the error of the compiler has its name.
    let path = format_ident!(
        "__remote_function_{name}_must_stand_outside_of_impl_and_trait",
        span = name.span()
    );
    let entry = format_ident!("__asyncio_remote_{name}");
    quote! {
        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        const #path: &::core::primitive::str =
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name));
        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_upper_case_globals)]
        const #entry: () = {
            fn __asyncio_call(arguments: &[u8], limit: usize) -> ::std::vec::Vec<u8> {
                #private::#call(
                    arguments,
                    limit,
                    #read,
                    |#pattern: #arguments| #name(#(#names),*),
                    #write,
                )
            }
            #private::inventory::submit! {
                #private::Registered::new(
                    #path,
                    ::core::concat!(::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
                    || #private::type_of(#name),
                    __asyncio_call,
                )
            }
        };
    }
}

/// A path of one span: the compiler shows a path that begins in the attribute at the attribute.
fn respanned(path: &TokenStream, span: Span) -> TokenStream {
    let tokens = path.clone().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    tokens.collect()
}

/// The types of the arguments. Refuses what cannot be called in another process.
fn check(function: &AsyncFn) -> syn::Result<Vec<Type>> {
    let signature = &function.signature;
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        let problem = format!(
            "the function under `{REMOTE}` cannot be generic: another process calls it by its name"
        );
        return Err(Error::new_spanned(&signature.generics, problem));
    }
    let unusual = [
        signature.abi.to_token_stream(),
        signature.variadic.to_token_stream(),
        match &signature.safety {
            Safety::Default => TokenStream::new(),
            marked => marked.to_token_stream(),
        },
    ];
    if let Some(tokens) = unusual.into_iter().find(|tokens| !tokens.is_empty()) {
        let problem = format!("the function under `{REMOTE}` is a plain `fn` or `async fn`");
        return Err(Error::new_spanned(tokens, problem));
    }
    let types = signature.inputs.iter().map(|argument| match argument {
        FnArg::Receiver(this) => {
            let problem = format!("the function under `{REMOTE}` is no method");
            Err(Error::new_spanned(this, problem))
        }
        FnArg::Typed(argument) => owned(&argument.ty, "takes").map(|()| (*argument.ty).clone()),
    });
    let types = types.collect::<syn::Result<Vec<Type>>>()?;
    if types.len() > 12 {
        let problem = format!("the function under `{REMOTE}` has twelve arguments at most");
        return Err(Error::new_spanned(&signature.inputs, problem));
    }
    if let ReturnType::Type(_, output) = &signature.output {
        owned(output, "returns")?;
    }
    Ok(types)
}

/// Refuses types that borrow, or that have no name.
fn owned(of: &Type, verb: &str) -> syn::Result<()> {
    let problem = if matches!(of, Type::ImplTrait(_)) {
        "a type that it names"
    } else if borrows(of.to_token_stream()) {
        "owned values"
    } else {
        return Ok(());
    };
    let problem = format!(
        "the function under `{REMOTE}` {verb} {problem}: they are written here and read in another process"
    );
    Err(Error::new_spanned(of, problem))
}

fn borrows(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(mark) => matches!(mark.as_char(), '&' | '\''),
        TokenTree::Group(group) => borrows(group.stream()),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        let expansion = remote(quote!(), item).to_string();
        let start = expansion.find('"').expect("it is refused") + 1;
        let end = expansion[start..].find('"').expect("a string ends");
        expansion[start..start + end].to_owned()
    }

    #[test]
    fn a_function_stays_as_it_is_and_is_listed() {
        let function = quote!(
            /// Adds.
            #[cfg(unix)]
            pub fn add(a: u32, (b, c): (u32, u32)) -> u32 {
                a + b + c
            }
        );
        let expected = quote! {
            #function
            #[cfg(unix)]
            #[doc(hidden)]
            #[allow(non_upper_case_globals)]
            const __remote_function_add_must_stand_outside_of_impl_and_trait: &::core::primitive::str =
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(add));
            #[cfg(unix)]
            #[doc(hidden)]
            #[allow(non_upper_case_globals)]
            const __asyncio_remote_add: () = {
                fn __asyncio_call(arguments: &[u8], limit: usize) -> ::std::vec::Vec<u8> {
                    ::asyncio::__private::call(
                        arguments,
                        limit,
                        ::asyncio::__private::read::<(u32, (u32, u32))>,
                        |(argument_0, argument_1): (u32, (u32, u32))| add(argument_0, argument_1),
                        ::asyncio::__private::write,
                    )
                }
                ::asyncio::__private::inventory::submit! {
                    ::asyncio::__private::Registered::new(
                        __remote_function_add_must_stand_outside_of_impl_and_trait,
                        ::core::concat!(
                            ::core::file!(), ":", ::core::line!(), ":", ::core::column!()),
                        || ::asyncio::__private::type_of(add),
                        __asyncio_call,
                    )
                }
            };
        };
        assert_eq!(remote(quote!(), function).to_string(), expected.to_string());
    }

    #[test]
    fn an_async_function_is_called_on_a_loop() {
        let function = quote!(
            async fn wait(seconds: u64) {}
        );
        let expansion = remote(quote!(crate = "facade"), function).to_string();
        let call = quote!(facade::__private::call_async(
            arguments,
            limit,
            facade::__private::read::<u64>,
            |argument_0: u64| wait(argument_0),
            facade::__private::write,
        ));
        assert!(expansion.contains(&call.to_string()), "{expansion}");
    }

    #[test]
    fn what_another_process_cannot_call_is_refused() {
        let reason = "they are written here and read in another process";
        for (item, expected) in [
            (
                quote!(
                    fn f<T>(x: T) {}
                ),
                "cannot be generic: another process calls it by its name",
            ),
            (
                quote!(
                    fn f(&self) {}
                ),
                "is no method",
            ),
            (
                quote!(
                    unsafe fn f() {}
                ),
                "is a plain `fn` or `async fn`",
            ),
            (
                quote!(
                    fn f(x: &str) {}
                ),
                &format!("takes owned values: {reason}"),
            ),
            (
                quote!(
                    fn f(x: Vec<Cow<'static, str>>) {}
                ),
                &format!("takes owned values: {reason}"),
            ),
            (
                quote!(
                    fn f(x: impl Copy) {}
                ),
                &format!("takes a type that it names: {reason}"),
            ),
            (
                quote!(
                    fn f() -> &'static str {
                        ""
                    }
                ),
                &format!("returns owned values: {reason}"),
            ),
        ] {
            let refusal = refusal(item);
            assert_eq!(
                refusal,
                format!("the function under `#[asyncio::remote]` {expected}")
            );
        }
        let expansion = remote(
            quote!(),
            quote!(
                struct Thing;
            ),
        )
        .to_string();
        assert!(expansion.contains("goes on a function with a body"));
    }
}
