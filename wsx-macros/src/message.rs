//! `#[derive(Message)]`: a Rust type and its type string.
use crate::attr::{self, Errors, key_of, once, respan, type_span, with_lifetimes};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Field, Fields, GenericParam, LitStr, parse_quote};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let mut given: Option<LitStr> = None;
    let private = attr::options(&input.attrs, &mut errors, |meta| {
        if !meta.path.is_ident("type") {
            return Err(meta.error("a message has the options `#[wsx(type = \"…\", crate = path)]`"));
        }
        once(given.is_some(), &meta.path)?;
        let literal: LitStr = meta.value()?.parse()?;
        if literal.value().is_empty() || literal.value().starts_with("__") {
            return Err(syn::Error::new(literal.span(), "a message's type is not empty and does not begin with `__`"));
        }
        given = Some(literal);
        Ok(())
    });
    check(input, &mut errors);
    let name = &input.ident;
    let message_type = given.unwrap_or_else(|| LitStr::new(&snake_case(&name.to_string()), name.span()));
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let mut keyed = input.generics.clone();
    keyed.params.push(parse_quote!(__Here));
    let keyed = keyed.split_for_impl().0;
    let borrowed = borrowed_text(input, &private, &mut errors);
    let key = key_of(&private, &message_type.value());
    let fingerprint = fingerprint(input, &private, &message_type);
    let errors = errors.finish();
    // Made even beside an error, so that what uses the type does not fail too.
    quote! {
        #errors
        #borrowed
        #[automatically_derived]
        impl #generics #private::Message for #name #arguments #bounds {
            const TYPE: &'static str = #message_type;
            const FINGERPRINT: u64 = #fingerprint;
        }
        #[automatically_derived]
        impl #keyed #private::Keyed<__Here> for #name #arguments #bounds {
            type Key = #key;
        }
    }
}

fn check(input: &DeriveInput, errors: &mut Errors) {
    if let Some(parameter) =
        input.generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        errors.at(
            parameter,
            "a message has one type string, so it has no type parameters; derive `Message` for a type without them",
        );
    }
    if let Data::Union(data) = &input.data {
        errors.at(data.union_token, "a union cannot be a message");
    }
}

fn fields(data: &Data) -> Vec<&Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// What is borrowed from a JSON string cannot hold one with an escape in it, such as a quote or a line end, and a program
/// would learn it in the field. Refused where the message is decoded at all, unless the field says that it is never escaped.
/// Only what the field's type spells is seen: not inside of another type, nor behind an alias.
fn borrowed_text(input: &DeriveInput, private: &TokenStream, errors: &mut Errors) -> TokenStream {
    let name = &input.ident;
    let arguments = with_lifetimes(input.generics.split_for_impl().1.into_token_stream(), "'static");
    let mut checks = TokenStream::new();
    for field in fields(&input.data) {
        let mut never_escaped = false;
        attr::options(&field.attrs, errors, |meta| {
            if !meta.path.is_ident("never_escaped") {
                return Err(meta.error("a field of a message has the option `#[wsx(never_escaped)]`"));
            }
            never_escaped = true;
            Ok(())
        });
        let why = match borrowed(field.ty.to_token_stream()) {
            Some(_) if never_escaped => continue,
            Some(Borrowed::Text) => {
                "a `&str` cannot hold a JSON string that has an escape in it, and fails when one comes: make it \
                 `Cow<'a, str>` with `#[serde(borrow)]`, or say that none comes with `#[wsx(never_escaped)]`"
            }
            Some(Borrowed::Bytes) => {
                "a `&[u8]` is decoded from a JSON string alone, though it is written as an array, and fails when an escape \
                 comes: make it `Vec<u8>` for an array of numbers, or `Cow<'a, str>` with `#[serde(borrow)]` for text, or \
                 say that no escape comes with `#[wsx(never_escaped)]`"
            }
            None => continue,
        };
        let span = type_span(&field.ty);
        let p = respan(private, span);
        checks.extend(quote_spanned! {span=>
            #[allow(dead_code, unused_imports, reason = "it is there to be evaluated; its name is shown with the error")]
            const _: () = {
                use #p::Plain as _;
                const BORROWED_TEXT: () = #p::ensure(!#p::Probe::<#name #arguments>::PAYLOAD, #why.as_bytes());
            };
        });
    }
    checks
}

/// What is borrowed from a JSON string.
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
            // The name of a lifetime, which may stand between the two.
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

/// A hash of what a peer must agree on: type string, field names, field types, serde's attributes.
fn fingerprint(input: &DeriveInput, p: &TokenStream, message_type: &LitStr) -> TokenStream {
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
        #[allow(unused_imports, reason = "a message may have no fields")]
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

/// `ChargeState` becomes `charge_state`, `HTTPStatus` becomes `http_status`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.trim_start_matches("r#").chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && at > 0 && letters[at - 1] != '_' && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Borrowed, borrowed, snake_case};

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

    #[test]
    fn names_become_type_strings() {
        for (name, expected) in [
            ("Telemetry", "telemetry"),
            ("ChargeState", "charge_state"),
            ("HTTPStatus", "http_status"),
            ("Sensor2Value", "sensor2_value"),
            ("r#Type", "type"),
            ("Already_Snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
