//! The spans of errors.
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use syn::{Path, Type, spanned::Spanned};

/// The same tokens at another span. An expression's span begins at its first token, so a path at
/// the attribute's span would move the error to the attribute.
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

/// The last part of a path, which is the item's name.
pub(crate) fn last(path: &Path) -> Option<&Ident> {
    path.segments.last().map(|segment| &segment.ident)
}

/// The span of an error about a path: its last part.
pub(crate) fn path_span(path: &Path) -> Span {
    last(path).map_or_else(|| path.span(), Ident::span)
}

/// The span of an error about a type: the last part of its path.
pub(crate) fn type_span(ty: &Type) -> Span {
    match ty {
        Type::Path(path) => path_span(&path.path),
        Type::Reference(reference) => type_span(&reference.elem),
        other => other.span(),
    }
}
