//! A type string as a type.
use proc_macro2::TokenStream;
use quote::quote;

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
