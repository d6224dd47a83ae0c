//! A type string as a type.
use proc_macro2::TokenStream;
use quote::quote;

/// Number of letters of a type string that its key spells; the same as in `wsx::__private`.
const LETTERS: usize = 12;

/// A string as a type. The macro spells it, so the compiler need not compute it.
pub(crate) fn key_of(private: &TokenStream, text: &str) -> TokenStream {
    let letter = |at: usize| text.as_bytes().get(at).map_or('\0', |byte| char::from(*byte));
    if text.len() <= LETTERS {
        let letters = (0..text.len()).map(letter);
        return quote!(#private::MessageType<#(#letters),*>);
    }
    let letters = (0..LETTERS).map(letter);
    quote!(#private::MessageType<#(#letters,)* { #private::rest(#text) }>)
}
