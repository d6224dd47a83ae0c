//! `#[derive(Message)]`: a Rust type and its type string.
use crate::attr::{self, Errors};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, GenericParam, LitStr};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let mut given: Option<LitStr> = None;
    let private = attr::options(&input.attrs, &mut errors, |meta| {
        if !meta.path.is_ident("type") {
            return Err(meta.error("a message has the options `#[wsx(type = \"…\", crate = path)]`"));
        }
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
    let errors = errors.finish();
    // Made even beside an error, so that what uses the type does not fail too.
    quote! {
        #errors
        #[automatically_derived]
        impl #generics #private::Message for #name #arguments #bounds {
            const TYPE: &'static str = #message_type;
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

/// `ChargeState` becomes `charge_state`, `HTTPStatus` becomes `http_status`.
fn snake_case(name: &str) -> String {
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
    use super::snake_case;

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
