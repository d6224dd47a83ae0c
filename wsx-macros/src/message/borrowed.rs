//! Fields that borrow text, which cannot hold a JSON string with an escape.
use super::fields;
use crate::shared::{self, Errors, respan, type_span, with_lifetimes};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::DeriveInput;

/// Rejects fields that borrow text from a JSON string, unless the field says that the text is never
/// escaped. Such a field cannot hold a string with an escape, and the program would find out in
/// production. A message that is never decoded may have them. The check sees the field's own type,
/// not the inside of another type or of an alias.
pub(super) fn borrowed_text(input: &DeriveInput, private: &TokenStream, errors: &mut Errors) -> TokenStream {
    let name = &input.ident;
    let arguments = with_lifetimes(input.generics.split_for_impl().1.into_token_stream(), "'static");
    let mut checks = TokenStream::new();
    for field in fields(&input.data) {
        let mut never_escaped = false;
        shared::options(&field.attrs, errors, |meta| {
            if !meta.path.is_ident("never_escaped") {
                return Err(meta.error("the only option of a field is `#[wsx(never_escaped)]`"));
            }
            never_escaped = true;
            Ok(())
        });
        let why = match borrowed(field.ty.to_token_stream()) {
            Some(_) if never_escaped => continue,
            Some(Borrowed::Text) => {
                "a `&str` cannot hold a JSON string with an escape, such as a quote or a line end: write `Cow<'a, str>` with \
                 `#[serde(borrow)]`, or `#[wsx(never_escaped)]` if no peer sends an escape"
            }
            Some(Borrowed::Bytes) => {
                "a `&[u8]` is written as an array and decoded only from a string without escapes: write `Vec<u8>` for an \
                 array of numbers, `Cow<'a, str>` with `#[serde(borrow)]` for text, or `#[wsx(never_escaped)]` if peers send \
                 such a string"
            }
            None => continue,
        };
        let span = type_span(&field.ty);
        let p = respan(private, span);
        let check = quote_spanned!(span=> #p::ensure(!#p::Probe::<#name #arguments>::PAYLOAD, #why););
        checks.extend(quote! {
            const _: () = {
                use #private::Plain as _;
                #check
            };
        });
    }
    checks
}

/// What a field borrows from a JSON string.
#[derive(Debug, PartialEq)]
enum Borrowed {
    Text,
    Bytes,
}

/// Whether a `&str` or a `&[u8]` is somewhere in the type.
fn borrowed(tokens: TokenStream) -> Option<Borrowed> {
    let mut after_reference = false;
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => after_reference = true,
            // A lifetime may stand between the two.
            TokenTree::Punct(punct) if punct.as_char() == '\'' => drop(tokens.next()),
            TokenTree::Ident(ident) if after_reference && ident == "str" => return Some(Borrowed::Text),
            TokenTree::Group(group) => {
                if after_reference && group.delimiter() == Delimiter::Bracket && group.stream().to_string() == "u8" {
                    return Some(Borrowed::Bytes);
                }
                if let Some(inside) = borrowed(group.stream()) {
                    return Some(inside);
                }
                after_reference = false;
            }
            _ => after_reference = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Borrowed, borrowed};

    #[test]
    fn a_borrowed_part_is_seen_wherever_the_type_spells_it() {
        for (ty, expected) in [
            ("&'a str", Some(Borrowed::Text)),
            ("&str", Some(Borrowed::Text)),
            ("Option<&'a str>", Some(Borrowed::Text)),
            ("Vec<Option<&'a str>>", Some(Borrowed::Text)),
            ("(u8, &'a str)", Some(Borrowed::Text)),
            ("[&'a str; 2]", Some(Borrowed::Text)),
            ("&'a [&'a str]", Some(Borrowed::Text)),
            ("std::collections::HashMap<&'a str, u8>", Some(Borrowed::Text)),
            ("&'a [u8]", Some(Borrowed::Bytes)),
            ("Option<&'a [u8]>", Some(Borrowed::Bytes)),
            ("Cow<'a, str>", None),
            ("Box<str>", None),
            ("Vec<u8>", None),
            ("&'a RawValue", None),
            ("&'a [u8; 4]", None),
        ] {
            assert_eq!(borrowed(ty.parse().unwrap()), expected, "{ty}");
        }
    }
}
