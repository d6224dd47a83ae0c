//! `protocol!`: who may say what to whom, as types.
use crate::shared::{self, Errors};
use check::check;
use parse::Protocol;
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser as _};

mod check;
mod directions;
mod expand;
mod inbound;
mod not_declared;
mod parse;

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parser = |input: ParseStream<'_>| Protocol::parse(input, &mut errors);
    let parsed = parser.parse2(input);
    let Some(mut protocol) = errors.take(parsed) else {
        return errors.finish().unwrap_or_default();
    };
    let wsx = shared::options(&protocol.attrs, &mut errors, |meta| {
        Err(meta.error("the only option of a protocol is `#[wsx(crate = path)]`"))
    });
    check(&protocol, &mut errors);
    protocol.flows.iter_mut().for_each(|flow| flow.messages.retain(|message| message.named.short_name().is_some()));
    let expanded = expand::expand(&protocol, &wsx);
    let errors = errors.finish();
    quote!(#errors #expanded)
}
