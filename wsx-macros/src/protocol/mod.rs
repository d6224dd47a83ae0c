//! `protocol!`: who may say what to whom, as types.
use crate::shared::{self, Errors};
use check::check;
use expand::{aliases, directions, head, inbound, lists, marker, union};
use parse::Protocol;
use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser as _};

mod check;
mod expand;
mod parse;

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parser = |input: ParseStream<'_>| Protocol::parse(input, &mut errors);
    let parsed = parser.parse2(input);
    let Some(mut protocol) = errors.take(parsed) else {
        return errors.finish().unwrap_or_default();
    };
    let p = shared::options(&protocol.attrs, &mut errors, |meta| {
        Err(meta.error("a protocol has the option `#[wsx(crate = path)]`"))
    });
    check(&protocol, &mut errors);
    protocol.flows.iter_mut().for_each(|flow| flow.messages.retain(|message| message.short_name().is_some()));
    let sides = protocol.sides();
    let aliases = aliases(&protocol, &p);
    let head = head(&protocol, &p);
    let items = sides.iter().map(|side| {
        let marker = marker(&protocol, &p, side);
        let inbound = inbound(&protocol, &p, side);
        let lists = lists(&protocol, &p, side);
        quote!(#marker #inbound #lists)
    });
    let directions = protocol.flows.iter().map(|flow| directions(flow, &p));
    let unions = sides.iter().filter(|side| protocol.peers(side).len() > 1).map(|side| union(&protocol, &p, side));
    let errors = errors.finish();
    quote!(#errors #aliases #head #(#items)* #(#directions)* #(#unions)*)
}
