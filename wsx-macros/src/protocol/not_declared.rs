//! Requests, replies and refusals, which cannot declare how they are delivered. It does not know
//! the options of a message: the compiler does.
use super::{
    expand::{policy, type_string},
    parse::{Answer, Named, Protocol},
};
use crate::shared::respan;
use proc_macro2::TokenStream;
use quote::quote_spanned;
use std::collections::BTreeSet;

/// The form that may be sent `always`.
const REQUEST: &str = "a request";

/// Checks each of them once, at its token.
pub(super) fn not_declared(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let mut checked = BTreeSet::new();
    let requests = protocol.flows.iter().flat_map(|flow| &flow.messages);
    let forms = requests.filter_map(|message| Some((&message.named, message.checked_answer()?)));
    let forms = forms.flat_map(|(request, Answer { reply, refusal })| {
        let refusal = refusal.as_ref().map(|refusal| (refusal, "a refusal"));
        [(request, REQUEST), (reply, "a reply")].into_iter().chain(refusal)
    });
    forms.filter(|(named, _)| checked.insert(&*named.alias)).map(|(named, form)| check(named, form, p)).collect()
}

fn check(named: &Named, form: &str, p: &TokenStream) -> TokenStream {
    let (span, type_string, policy) = (named.span(), type_string(p, named), policy(p, named));
    let p = respan(p, span);
    let is_request = form == REQUEST;
    quote_spanned!(span=> const _: () = #p::ensure_not_declared(#type_string, #policy, #form, #is_request);)
}
