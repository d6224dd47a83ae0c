//! The lifetimes in a type's tokens.
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Lifetime;

/// Whether a type names a lifetime, or has one left out.
pub(crate) fn has_lifetime(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => has_lifetime(group.stream()),
        TokenTree::Punct(punct) => matches!(punct.as_char(), '\'' | '&'),
        _ => false,
    })
}

/// A type's tokens with every lifetime replaced by `to`, those left out behind `&` included.
pub(crate) fn with_lifetimes(tokens: TokenStream, to: &str) -> TokenStream {
    let mut out = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    let lifetime = |span: Span| Lifetime::new(to, span).into_token_stream();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let mut replaced = Group::new(group.delimiter(), with_lifetimes(group.stream(), to));
                replaced.set_span(group.span());
                out.extend([TokenTree::Group(replaced)]);
            }
            TokenTree::Punct(quote) if quote.as_char() == '\'' => {
                tokens.next();
                out.extend(lifetime(quote.span()));
            }
            TokenTree::Punct(and) if and.as_char() == '&' => {
                let span = and.span();
                out.extend([TokenTree::Punct(and)]);
                if !matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'') {
                    out.extend(lifetime(span));
                }
            }
            token => out.extend([token]),
        }
    }
    out
}
