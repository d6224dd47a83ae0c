//! `#[derive(Message)]`: a Rust type and its type string.
use crate::shared::{self, Errors, key_of, once, snake_case};
use borrowed::borrowed_text;
use fingerprint::fingerprint;
use policy::Declared;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Field, GenericParam, LitStr, parse_quote};

mod borrowed;
mod fingerprint;
mod policy;
mod serde_options;
mod shape;

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let mut given: Option<LitStr> = None;
    let mut declared = Declared::default();
    let wsx = shared::options(&input.attrs, &mut errors, |meta| {
        if declared.read(meta)? {
            return Ok(());
        }
        if !meta.path.is_ident("type") {
            return Err(meta.error(
                "the options of a message are `#[wsx(type = \"..\", delivery = .., ttl = \"..\", key = .., full = .., always, compress = never, crate = path)]`",
            ));
        }
        once(given.is_some(), &meta.path)?;
        let literal: LitStr = meta.value()?.parse()?;
        if literal.value().is_empty() || literal.value().starts_with("__") {
            return Err(syn::Error::new(
                literal.span(),
                "a message type cannot be empty or begin with `__`: choose another",
            ));
        }
        given = Some(literal);
        Ok(())
    });
    check(input, &mut errors);
    declared.check(input, &mut errors);
    let name = &input.ident;
    let message_type = given.unwrap_or_else(|| LitStr::new(&snake_case(&name.to_string()), name.span()));
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let mut keyed = input.generics.clone();
    keyed.params.push(parse_quote!(__Here));
    let keyed = keyed.split_for_impl().0;
    let p = &wsx.path;
    let borrowed = borrowed_text(input, p, &mut errors);
    let key = key_of(p, &message_type.value());
    let shape = fingerprint(input, p, &message_type);
    let (policy, kept) = (declared.items(input, p), declared.traits(input, p));
    let (import, errors) = (&wsx.import, errors.finish());
    // Generated in spite of an error, so that the uses of the type do not fail too.
    quote! {
        #errors
        const _: () = {
            #import
            #[automatically_derived]
            impl #generics #p::Message for #name #arguments #bounds {
                const TYPE: &'static #p::str = #message_type;
                const FINGERPRINT: #p::u64 = <Self as #p::Shape<#p::Full>>::SHAPE;
                #policy
            }
            #kept
            #shape
            #[automatically_derived]
            impl #generics #p::Derived for #name #arguments #bounds {}
            #[automatically_derived]
            impl #keyed #p::Keyed<__Here> for #name #arguments #bounds {
                type Key = #key;
            }
            #borrowed
        };
    }
}

fn check(input: &DeriveInput, errors: &mut Errors) {
    if let Some(parameter) =
        input.generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        errors.at(
            parameter,
            "a message cannot have type parameters, because it has one type string: derive `Message` for a type without them",
        );
    }
    if let Data::Union(data) = &input.data {
        errors.at(data.union_token, "a union cannot be a message: use a struct or an enum");
    }
}

fn fields(data: &Data) -> Vec<&Field> {
    match data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}
