//! `#[derive(Endpoint)]`: a type on which handlers register.
use crate::attr::{self, Errors};
use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let private = attr::options(&input.attrs, &mut errors, |meta| {
        Err(meta.error("an endpoint has the option `#[wsx(crate = path)]`"))
    });
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "an endpoint is one type, so it is not generic; put what varies into a field");
    }
    let name = &input.ident;
    let name_text = name.to_string();
    let errors = errors.finish();
    quote! {
        #errors
        #[automatically_derived]
        impl #private::Endpoint for #name {
            type Side = #private::AnySide;
            const NAME: &'static str = #name_text;
        }
    }
}
