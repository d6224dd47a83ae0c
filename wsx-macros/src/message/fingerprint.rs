//! The hash of what both ends must agree on.
use crate::shared::with_lifetimes;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Data, DeriveInput, Fields, LitStr};

/// A hash of what a peer must agree on: type string, field names, field types, serde's attributes.
pub(super) fn fingerprint(input: &DeriveInput, p: &TokenStream, message_type: &LitStr) -> TokenStream {
    let mut parts = vec![serde_text(&input.attrs, p)];
    let mut add = |fields: &Fields| {
        for (at, field) in fields.iter().enumerate() {
            let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
            let ty = with_lifetimes(field.ty.to_token_stream(), "'static");
            let text = ty.to_string();
            parts.push(quote!(#p::hash(#name)));
            parts.push(serde_text(&field.attrs, p));
            parts.push(quote!(#p::field(#p::Probe::<#ty>::FINGERPRINT, #text)));
        }
    };
    match &input.data {
        Data::Struct(data) => add(&data.fields),
        Data::Enum(data) => data.variants.iter().for_each(|variant| add(&variant.fields)),
        Data::Union(_) => {}
    }
    if let Data::Enum(data) = &input.data {
        for variant in &data.variants {
            let name = variant.ident.to_string();
            parts.push(quote!(#p::hash(#name)));
            parts.push(serde_text(&variant.attrs, p));
        }
    }
    quote!({
        use #p::Plain as _;
        let mut fingerprint = #p::hash(#message_type);
        #(fingerprint = #p::mix(fingerprint, #parts);)*
        fingerprint
    })
}

fn serde_text(attrs: &[Attribute], p: &TokenStream) -> TokenStream {
    let serde = attrs.iter().filter(|attr| attr.path().is_ident("serde"));
    let text: String = serde.map(|attr| attr.meta.to_token_stream().to_string()).collect();
    quote!(#p::hash(#text))
}
