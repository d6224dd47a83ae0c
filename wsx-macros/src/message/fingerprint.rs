//! The hash of what both ends must agree on.
use super::shape::{self, Leaf};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, parse_quote};

/// Implements `Shape`: a hash of the type string and of the message's shape. A type of a field that
/// is a message counts with its own shape, which only the compiler knows.
pub(super) fn fingerprint(input: &DeriveInput, p: &TokenStream, message_type: &LitStr) -> TokenStream {
    let shape = shape::of(input);
    let own = hash(&format!("{}\n{}", message_type.value(), shape.text));
    let leaves = shape.leaves.iter().map(|Leaf { name, ty }| {
        let name = hash(name);
        quote!(shape = #p::mix(shape, #p::found_or(#p::Probe::<#p::Inside<#ty, __Depth>>::SHAPE, #name));)
    });
    let mut generics = input.generics.clone();
    generics.params.push(parse_quote!(__Depth: #p::Depth));
    let name = &input.ident;
    let arguments = input.generics.split_for_impl().1;
    let (generics, _, bounds) = generics.split_for_impl();
    let body = if shape.leaves.is_empty() {
        quote!(#own)
    } else {
        quote!({
            use #p::Plain as _;
            let mut shape = #own;
            #(#leaves)*
            shape
        })
    };
    quote! {
        #[automatically_derived]
        impl #generics #p::Shape<__Depth> for #name #arguments #bounds {
            const SHAPE: #p::u64 = #body;
        }
    }
}

/// Fowler–Noll–Vo, 64 bits. The macro computes it, because the compiler's interpreter is slow.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
