//! The `wsx` attribute, and the path to wsx.
use super::Errors;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Path, meta::ParseNestedMeta};

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
        None => quote!(::wsx::__private),
    }
}
