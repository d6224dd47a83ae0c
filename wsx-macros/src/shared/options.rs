//! The options of `#[wsx(..)]`, and how generated code names wsx.
use super::Errors;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Path, meta::ParseNestedMeta};

/// Calls `option` for each option of each `#[wsx(..)]`, except for `crate`, which is read here.
pub(crate) fn options(
    attrs: &[Attribute],
    errors: &mut Errors,
    mut option: impl FnMut(&ParseNestedMeta<'_>) -> syn::Result<()>,
) -> Wsx {
    let mut wsx = Wsx::new(None);
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("wsx")) {
        errors.take(attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                wsx = Wsx::new(Some(&meta.value()?.call(Path::parse_mod_style)?));
                return Ok(());
            }
            option(&meta)
        }));
    }
    wsx
}

/// Returns an error if the option was given before.
pub(crate) fn once(given: bool, option: impl ToTokens) -> syn::Result<()> {
    if given {
        let name = option.to_token_stream();
        return Err(syn::Error::new_spanned(&option, format!("`{name}` is given twice: remove one of the two")));
    }
    Ok(())
}

/// The name of wsx in generated code: one import in each block, so that a wrong name is one error.
pub(crate) struct Wsx {
    /// Brings `path` into scope.
    pub(crate) import: TokenStream,
    /// The path to what generated code calls.
    pub(crate) path: TokenStream,
}

impl Wsx {
    pub(crate) fn new(krate: Option<&Path>) -> Self {
        let path = quote!(__wsx);
        let import = match krate {
            Some(krate) => quote!(use #krate::__private as #path;),
            // A macro cannot see the name that a program gives wsx. If `::wsx` does not exist,
            // rustc names the macro that wrote the import, whose name says what to write.
            None => quote! {
                macro_rules! if_wsx_is_renamed_write_crate_equals_its_name {
                    () => { use ::wsx::__private as #path; };
                }
                if_wsx_is_renamed_write_crate_equals_its_name! {}
            },
        };
        Self { import, path }
    }
}
