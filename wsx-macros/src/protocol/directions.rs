//! Which side may send, ask and receive which message, as implementations of wsx's traits.
use super::{
    expand::{is_message, known, type_string},
    parse::{Answer, Flow, Message, Named, Protocol},
};
use crate::shared::respan;
use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use std::collections::BTreeSet;
use syn::Ident;

/// The directions of a flow's messages.
pub(super) fn directions(flow: &Flow, p: &TokenStream) -> TokenStream {
    let Flow { from, to, messages, .. } = flow;
    let mut seen = BTreeSet::new();
    let each = messages.iter().filter(|message| seen.insert(&message.named.alias)).map(|message| {
        let (sent, received) = (sent_by(p, message, from, to), received_by(p, message, to, from));
        quote!(#sent #received)
    });
    quote!(#(#each)*)
}

/// The replies and refusals, between each two sides.
pub(super) fn answers(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let mut checked = BTreeSet::new();
    let sides = protocol.sides();
    let each = sides.iter().flat_map(|from| protocol.peers(from).into_iter().map(move |to| (from, to)));
    let replies = each.flat_map(|(from, to)| {
        let replies = protocol.replies(from, Some(&to)).into_iter();
        replies.map(|reply| sent_as_reply(p, reply, from, &to)).collect::<Vec<_>>()
    });
    let messages = protocol.flows.iter().flat_map(|flow| &flow.messages);
    let refusals = messages.filter_map(|message| message.checked_answer()?.refusal.as_ref());
    let codes = refusals.filter(|refusal| checked.insert(&refusal.alias)).map(|refusal| {
        let (span, type_string) = (refusal.span(), type_string(p, refusal));
        let p = respan(p, span);
        quote_spanned!(span=> const _: () = #p::ensure_refusal(#type_string);)
    });
    quote!(#(#replies)* #(#codes)*)
}

/// The directions of a side with several peers, for an endpoint that does not name its peer.
pub(super) fn union(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let any = quote!(#p::AnyPeer);
    let sends = protocol.outbound(side).into_iter().map(|message| sent_by(p, message, side, &any));
    let receives = protocol.inbound(side).into_iter().map(|message| received_by(p, message, side, &any));
    let replies = protocol.replies(side, None).into_iter().map(|reply| sent_as_reply(p, reply, side, &any));
    quote!(#(#sends)* #(#receives)* #(#replies)*)
}

/// A message that one side may send to another. The compiler rejects a type here that is not a
/// message or does not serialize.
fn sent_by(p: &TokenStream, message: &Message, from: &Ident, to: impl ToTokens) -> TokenStream {
    let (span, lifetime, sent) = (message.named.span(), quote!('f), message.named.anywhere());
    if message.answer.is_none() {
        return quote_spanned!(span=> impl<#lifetime> #p::SentBy<#from, #to> for #sent {});
    }
    // If the answer has a mistake, that is reported.
    let Some(answer) = message.checked_answer() else { return TokenStream::new() };
    let asked = asked_by(p, message, answer, from, &to);
    let p = respan(p, span);
    // No side fulfills the second condition, and the compiler's error about it says that the
    // message is a request.
    quote_spanned! {span=>
        #asked
        impl<#lifetime> #p::SentBy<#from, #to> for #sent
        where
            #sent: #p::Sendable<#lifetime>,
            #from: #p::SendsWithoutReply<#lifetime, #sent>,
        {}
    }
}

/// A request with which one side may ask another. The compiler rejects a reply here that is not
/// decoded from a text.
fn asked_by(p: &TokenStream, message: &Message, answer: &Answer, from: &Ident, to: impl ToTokens) -> TokenStream {
    let (span, lifetime, asked) = (message.named.span(), quote!('f), message.named.anywhere());
    let Answer { reply, refusal } = answer;
    let known = |named: &Named| respan(&known(named).to_token_stream(), named.span());
    let reply = known(reply);
    let refusal = refusal.as_ref().map_or_else(|| quote!(#p::Infallible), known);
    let body = quote! {
        type Reply = #reply;
        type Refusal = #refusal;
    };
    let p = respan(p, span);
    quote_spanned! {span=>
        impl<#lifetime> #p::AskedBy<#from, #to> for #asked
        where
            #asked: #p::Sendable<#lifetime>,
        {
            #body
        }
    }
}

/// A message that one side may send to another only as a reply.
fn sent_as_reply(p: &TokenStream, reply: &Named, from: &Ident, to: impl ToTokens) -> TokenStream {
    let (span, lifetime, sent) = (reply.span(), quote!('f), reply.anywhere());
    let p = respan(p, span);
    quote_spanned! {span=>
        impl<#lifetime> #p::SentBy<#from, #to> for #sent
        where
            #from: #p::SendsUnasked<#lifetime, #sent>,
        {}
    }
}

/// A message that one side may receive from another.
fn received_by(p: &TokenStream, message: &Message, to: &Ident, from: impl ToTokens) -> TokenStream {
    let (lifetime, received) = (quote!('f), message.named.anywhere());
    let answer = expected_answer(p, message);
    quote_spanned! {message.named.span()=>
        impl<#lifetime> #p::Receives<#received, #from> for #to {
            type Answer = #answer;
        }
    }
}

/// The answer that the protocol expects from the handler of a message.
fn expected_answer(p: &TokenStream, message: &Message) -> TokenStream {
    let request = message.named.anywhere();
    match (&message.answer, message.checked_answer()) {
        (None, _) => quote!(#p::Anything),
        (Some(_), None) => quote!(#p::Mistaken),
        (Some(_), Some(answer)) => {
            let messages = answer.types().map(|named| is_message(p, named));
            let types = answer.types().map(Named::fixed);
            let expected = match answer.refusal {
                None => quote!(Replies),
                Some(_) => quote!(RepliesOrRefuses),
            };
            quote!(<() as #p::If<{ #(#messages)&&* }, #p::#expected<#request, #(#types),*>, #p::Mistaken>>::Type)
        }
    }
}
