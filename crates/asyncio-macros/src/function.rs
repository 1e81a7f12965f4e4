//! The `async fn` under an attribute.
//!
//! The body stays an unparsed group of tokens. So half-written code still expands, and an editor
//! can complete inside it.

use proc_macro2::{Group, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Safety, Signature, Visibility};

/// An `async fn` as the user wrote it.
pub(crate) struct AsyncFn {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    body: Group,
}

impl Parse for AsyncFn {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(AsyncFn {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse()?,
            body: input.parse()?,
        })
    }
}

impl AsyncFn {
    /// Refuses a function that an event loop cannot call, such as one with arguments or type
    /// parameters.
    pub(crate) fn check(&self, attribute: &str) -> syn::Result<()> {
        let signature = &self.signature;
        if signature.asyncness.is_none() {
            let problem = format!("`{attribute}` goes on an `async fn`; add `async` here");
            return Err(Error::new_spanned(signature.fn_token, problem));
        }
        if !signature.inputs.is_empty() || signature.variadic.is_some() {
            let arguments = (&signature.inputs, &signature.variadic);
            let arguments = [arguments.0.to_token_stream(), arguments.1.to_token_stream()];
            let problem = format!("the function under `{attribute}` takes no arguments");
            return Err(Error::new_spanned(
                TokenStream::from_iter(arguments),
                problem,
            ));
        }
        if !signature.generics.params.is_empty() {
            let problem = format!("the function under `{attribute}` cannot be generic");
            return Err(Error::new_spanned(&signature.generics.params, problem));
        }
        let unusual = [
            signature.generics.where_clause.to_token_stream(),
            signature.constness.to_token_stream(),
            signature.abi.to_token_stream(),
            match &signature.safety {
                Safety::Default => TokenStream::new(),
                marked => marked.to_token_stream(),
            },
        ];
        match unusual.into_iter().find(|tokens| !tokens.is_empty()) {
            Some(tokens) => {
                let problem = format!("the function under `{attribute}` is a plain `async fn`");
                Err(Error::new_spanned(tokens, problem))
            }
            None => Ok(()),
        }
    }

    /// The attribute whose last path segment is `name`, such as `#[should_panic]`.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        let is_named = |attribute: &&Attribute| {
            let last = attribute.path().segments.last();
            last.is_some_and(|segment| segment.ident == name)
        };
        self.attributes.iter().find(is_named)
    }

    /// The function that replaces the user's function: it contains the user's function, and `call`.
    ///
    /// It has the user's name, visibility and return type, but is not `async`. The inner function
    /// keeps the whole signature and is not turned into an `async` block. So its body is checked
    /// against the return type, and `Err(Box::new(error))` coerces as usual.
    pub(crate) fn wrap(&self, call: &TokenStream) -> TokenStream {
        let AsyncFn {
            attributes,
            visibility,
            signature,
            body,
        } = self;
        let (name, output) = (&signature.ident, &signature.output);
        quote! {
            #(#attributes)*
            #visibility fn #name() #output {
                #signature #body
                #call
            }
        }
    }

    /// The replacement for a function that `check` refused.
    ///
    /// It has the same name, so that the compiler reports only our error, and no missing `main`.
    pub(crate) fn placeholder(&self) -> TokenStream {
        let AsyncFn {
            visibility,
            signature,
            body,
            ..
        } = self;
        let name = &signature.ident;
        quote! {
            #visibility fn #name() {
                #[allow(dead_code)]
                #signature #body
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(written: TokenStream) -> String {
        let function: AsyncFn = syn::parse2(written).expect("a function");
        function
            .check("#[asyncio::main]")
            .expect_err("a refusal")
            .to_string()
    }

    #[test]
    fn a_plain_async_fn_is_fine() {
        let function: AsyncFn = syn::parse2(quote!(
            pub(crate) async fn main() -> u8 {
                1
            }
        ))
        .unwrap();
        assert!(function.check("#[asyncio::main]").is_ok());
    }

    #[test]
    fn a_body_is_not_parsed() {
        let half_written = quote!(async fn main() { let x = foo. });
        assert!(syn::parse2::<AsyncFn>(half_written).is_ok());
    }

    #[test]
    fn a_function_that_a_loop_cannot_call_is_refused() {
        assert_eq!(
            refusal(quote!(
                fn main() {}
            )),
            "`#[asyncio::main]` goes on an `async fn`; add `async` here"
        );
        assert_eq!(
            refusal(quote!(
                async fn main(port: u16) {}
            )),
            "the function under `#[asyncio::main]` takes no arguments"
        );
        assert_eq!(
            refusal(quote!(
                async fn main(&self) {}
            )),
            "the function under `#[asyncio::main]` takes no arguments"
        );
        assert_eq!(
            refusal(quote!(
                async fn main<T>() {}
            )),
            "the function under `#[asyncio::main]` cannot be generic"
        );
        for unusual in [
            quote!(
                async fn main()
                where
                    u8: Copy,
                {
                }
            ),
            quote!(
                async unsafe fn main() {}
            ),
            quote!(
                async extern "C" fn main() {}
            ),
        ] {
            assert_eq!(
                refusal(unusual),
                "the function under `#[asyncio::main]` is a plain `async fn`"
            );
        }
    }

    #[test]
    fn a_refused_function_is_replaced_by_one_with_its_name() {
        let function: AsyncFn = syn::parse2(quote!(
            async fn main(port: u16) {
                port;
            }
        ))
        .unwrap();
        let expected = quote! {
            fn main() {
                #[allow(dead_code)]
                async fn main(port: u16) { port; }
            }
        };
        assert_eq!(function.placeholder().to_string(), expected.to_string());
    }
}
