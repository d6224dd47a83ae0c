//! `#[handler]`: the function as it is written, and beside it an entry that takes its arguments
//! from the context and calls it.
use crate::shared::Errors;
use attribute::parse_args;
use concurrent::check_concurrent;
use expand::{entry, stand_in};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use signature::{Function, check};
use task::check_tasks;

mod argument;
mod attribute;
mod concurrent;
mod expand;
mod signature;
mod task;
mod typed;

pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = parse_args(args, &mut errors);
    let mut function = errors.take(syn::parse2::<Function>(item.clone()));
    let mut item = item.clone();
    if let Some(function) = &mut function {
        check(&function.signature, &mut errors);
        if let Some(concurrent) = &args.concurrent {
            check_concurrent(concurrent, &args, &function.signature, &mut errors);
        }
        if check_tasks(function, &mut errors) {
            item = function.to_token_stream();
        }
    }
    let entry = match &function {
        Some(function) if errors.is_empty() => Some(entry(&args, function)),
        function => stand_in(&args, function.as_ref()),
    };
    let errors = errors.finish();
    // The function survives as it is written, so that an error here causes no other. Its signature
    // follows from the message, so its author cannot follow these two lints.
    quote! {
        #[allow(clippy::needless_pass_by_value, clippy::unused_async, reason = "a handler's signature says what it takes")]
        #item
        #errors
        #entry
    }
}
