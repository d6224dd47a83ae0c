//! What the macros share: gathering errors, the `wsx` attribute, paths, spans, lifetimes.
use crate::manifest;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Lifetime, Path, Type, meta::ParseNestedMeta, spanned::Spanned};

/// Gathers every error, so that one build shows them all.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// An error about these tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: &str) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn finish(self) -> Option<TokenStream> {
        self.0.map(syn::Error::into_compile_error)
    }
}

/// Calls `option` for each option of each `#[wsx(…)]`; the option `crate` is seen to here. Returns the private door.
pub(crate) fn options(
    attrs: &[Attribute],
    errors: &mut Errors,
    mut option: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>,
) -> TokenStream {
    let mut door = private(None);
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("wsx")) {
        errors.take(attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                door = private(Some(&meta.value()?.call(Path::parse_mod_style)?));
                return Ok(());
            }
            option(&meta)
        }));
    }
    door
}

/// An option of which there was one already would be lost without a word.
pub(crate) fn once(given: bool, option: impl ToTokens) -> syn::Result<()> {
    if given {
        let name = option.to_token_stream();
        return Err(syn::Error::new_spanned(&option, format!("`{name}` is given twice")));
    }
    Ok(())
}

/// The path to what generated code may call.
pub(crate) fn private(krate: Option<&Path>) -> TokenStream {
    match krate {
        Some(path) => quote!(#path::__private),
        None => {
            let wsx = Ident::new(&manifest::name_of_wsx(), Span::call_site());
            quote!(::#wsx::__private)
        }
    }
}

/// The same tokens, blamed on `span`. An expression's span begins at its first token, so a path that was interpolated as
/// it is would drag the error back to the attribute.
pub(crate) fn respan(tokens: &TokenStream, span: Span) -> TokenStream {
    tokens
        .clone()
        .into_iter()
        .map(|mut token| {
            if let TokenTree::Group(group) = &mut token {
                let mut spanned = Group::new(group.delimiter(), respan(&group.stream(), span));
                spanned.set_span(span);
                *group = spanned;
            } else {
                token.set_span(span);
            }
            token
        })
        .collect()
}

/// A path's last part, which is the name of what it stands for.
pub(crate) fn last(path: &Path) -> Option<&Ident> {
    path.segments.last().map(|segment| &segment.ident)
}

/// Where an error about a path points: its last part.
pub(crate) fn path_span(path: &Path) -> Span {
    last(path).map_or_else(|| path.span(), Ident::span)
}

/// Where an error about a type points: as of its path.
pub(crate) fn type_span(ty: &Type) -> Span {
    match ty {
        Type::Path(path) => path_span(&path.path),
        Type::Reference(reference) => type_span(&reference.elem),
        other => other.span(),
    }
}

/// How many letters of a string its key spells; as in `wsx::__private`.
const LETTERS: usize = 12;

/// A string as a type, spelled out: what the compiler need not compute costs it nothing.
pub(crate) fn key_of(private: &TokenStream, text: &str) -> TokenStream {
    let letter = |at: usize| text.as_bytes().get(at).map_or('\0', |byte| char::from(*byte));
    if text.len() <= LETTERS {
        let letters = (0..text.len()).map(letter);
        return quote!(#private::MessageType<#(#letters),*>);
    }
    let letters = (0..LETTERS).map(letter);
    quote!(#private::MessageType<#(#letters,)* { #private::rest(#text) }>)
}

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
