//! The types that a protocol makes.
use super::parse::{Flow, Message, Protocol};
use crate::shared::{respan, with_lifetimes};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::BTreeSet;
use syn::Ident;

/// The alias of each message, and the check that it is one.
pub(super) fn aliases(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let each = protocol.messages().into_iter().map(|message| {
        let (span, fixed) = (message.span(), message.fixed());
        let alias = Ident::new(&message.alias, span);
        let ty = with_lifetimes(message.ty.to_token_stream(), "'frame");
        let door = respan(p, span);
        quote_spanned! {span=>
            // Private, so that documentation shows the type itself. All have the lifetime, so that the compiler's advice on one
            // that was left out fits.
            #[allow(non_camel_case_types, unused_lifetimes, reason = "generated code")]
            type #alias<'frame> = #ty;
            const _: () = #door::is_message::<#fixed>();
        }
    });
    quote!(#(#each)*)
}

/// The protocol itself: version, fingerprint, description.
pub(super) fn head(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let Protocol { attrs, visibility, name, version, flows } = protocol;
    let docs = attrs.iter().filter(|attr| !attr.path().is_ident("wsx"));
    let has_docs = attrs.iter().any(|attr| attr.path().is_ident("doc"));
    let name_text = name.to_string();
    let default_doc = (!has_docs).then(|| format!("The protocol `{name_text}`."));
    let default_doc = default_doc.map(|doc| quote!(#[doc = #doc]));
    let travels: Vec<TokenStream> = flows
        .iter()
        .flat_map(|flow| {
            let (from, to) = (flow.from.to_string(), flow.to.to_string());
            flow.messages.iter().map(move |message| {
                let type_string = type_string(p, message);
                let message = message.fixed();
                quote!(#p::Travel::new(#from, #to, #type_string, #p::field(#p::Probe::<#message>::FINGERPRINT, "")))
            })
        })
        .collect();
    quote! {
        #(#docs)*
        #default_doc
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
        #visibility struct #name;
        impl #name {
            /// The protocol's version.
            pub const VERSION: u32 = #version;
            /// Changes whenever a message, its fields or its direction does, or the version.
            pub const FINGERPRINT: u64 = {
                #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
                let travels: &[#p::Travel] = &[#(#travels),*];
                let mut fingerprint = #p::mix(#p::hash(#name_text), #version as u64);
                let mut at = 0;
                while at < travels.len() {
                    fingerprint = #p::mix(fingerprint, travels[at].fingerprint);
                    fingerprint = #p::mix(#p::mix(fingerprint, #p::hash(travels[at].from)), #p::hash(travels[at].to));
                    at += 1;
                }
                fingerprint
            };
            /// What the protocol says, to print or to serialize.
            pub const DESCRIPTION: #p::Description = {
                #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
                #p::Description::new(#name_text, #version, Self::FINGERPRINT, &[#(#travels),*])
            };
        }
    }
}

/// A side's own type.
pub(super) fn marker(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let Protocol { visibility, name, .. } = protocol;
    let (name_text, side_text) = (name.to_string(), side.to_string());
    let doc = format!("The side `{side_text}` of [`{name_text}`].");
    let inbound: Vec<TokenStream> = protocol.inbound(side).into_iter().map(|message| type_string(p, message)).collect();
    let peers = protocol.peers(side);
    let peer = match &*peers {
        [peer] => quote!(#peer),
        _ => quote!(#p::AnyPeer),
    };
    let speaks = peers.iter().map(|peer| {
        let name = peer.to_string();
        quote!(impl #p::SpeaksWith<#peer> for #side { const NAME: &'static str = #name; })
    });
    let twice = protocol.inbound(side).into_iter().enumerate().map(|(at, message)| {
        let span = message.span();
        let p = respan(p, span);
        quote_spanned!(span=> const TYPE_STRING: () = #p::ensure_unique(#side_text, TYPES, #at);)
    });
    // Spanned at the side: this is the line that an error about a side shows.
    let visibility = respan(&visibility.to_token_stream(), side.span());
    let declared = quote_spanned!(side.span()=> #visibility struct #side;);
    let at_side = respan(p, side.span());
    let body = quote! {
        const NAME: &'static str = #side_text;
        const PROTOCOL: &'static str = #name_text;
        const INBOUND: &'static [&'static str] = {
            #[allow(unused_imports, reason = "the probes of messages do without")]
            use #p::Plain as _;
            &[#(#inbound,)* "__raw__", "__open__", "__close__", "__unknown__"]
        };
        type Peer = #peer;
    };
    let implemented = quote_spanned!(side.span()=> impl #at_side::Side for #side { #body });
    quote! {
        #[doc = #doc]
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
        #declared
        #implemented
        #(#speaks)*
        #[allow(dead_code, reason = "it is there to be evaluated; its name is shown with the error")]
        const _: () = {
            #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
            const TYPES: &[&str] = &[#(#inbound),*];
            #(const _: () = { #twice };)*
        };
    }
}

/// The enum of all that a side receives, for programs that match on it themselves.
pub(super) fn inbound(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let visibility = &protocol.visibility;
    let messages = protocol.inbound(side);
    let name = format_ident!("{side}Inbound");
    let doc = format!("Any message that [`{side}`] receives.");
    let borrows = messages.iter().any(|message| message.borrows());
    let (on_enum, on_decode) = if borrows { (Some(quote!(<'f>)), None) } else { (None, Some(quote!(<'f>))) };
    let variants: Vec<&Ident> = messages.iter().filter_map(|message| message.short_name()).collect();
    let docs = messages.iter().zip(&variants).map(|(message, variant)| {
        let (docs, plain) = (&message.docs, format!("A `{variant}`."));
        if docs.is_empty() { quote!(#[doc = #plain]) } else { quote!(#(#docs)*) }
    });
    let payloads = messages.iter().map(|message| message.generic());
    // What is said of the lines that arrive here.
    let lines = protocol.flows.iter().filter(|flow| flow.to == *side && !flow.docs.is_empty()).map(|flow| {
        let (from, docs) = (format!("From [`{}`]:", flow.from), &flow.docs);
        quote!(#[doc = ""] #[doc = #from] #(#docs)*)
    });
    // One identifier for all its uses: under `macro_rules`, a name that is spanned at the user's token is another name.
    let [message_type, data] = ["message_type", "data"].map(|name| Ident::new(name, Span::call_site()));
    let decodes = messages.iter().zip(&variants).map(|(message, variant)| {
        let type_string = type_string(p, message);
        // Spanned at the message: this is where one that cannot be decoded shows.
        let span = message.span();
        let door = respan(p, span);
        quote_spanned! {span=>
            if #message_type == #type_string {
                return #p::Option::Some(#door::serde_json::from_str(#data).map(Self::#variant));
            }
        }
    });
    let decode_doc = format!("The message of this type with this data; `None` when [`{side}`] receives no such type.");
    quote! {
        #[doc = #doc]
        #(#lines)*
        #[allow(dead_code, missing_debug_implementations, reason = "not every program uses it, and a message need not be `Debug`")]
        #visibility enum #name #on_enum {
            #(#docs #variants(#payloads),)*
        }
        impl #on_enum #name #on_enum {
            #[doc = #decode_doc]
            #[allow(unused_variables, reason = "a side may receive nothing")]
            pub fn decode #on_decode (#message_type: &str, #data: &'f str) -> #p::Option<#p::Result<Self, #p::serde_json::Error>> {
                #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
                #(#decodes)*
                #p::Option::None
            }
        }
    }
}

/// The lists that a complete endpoint's table is made from: one of all messages, one for each peer. Each is a function of its
/// own, since its bounds are what the compiler checks.
pub(super) fn lists(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let list = |function: Ident, messages: Vec<&Message>| {
        // Spanned at the message: this is the line that an error about a missing handler shows.
        let bounds = messages.iter().map(|message| {
            let (span, message) = (message.span(), message.fixed());
            let p = respan(p, span);
            quote_spanned!(span=> #side: #p::Covers<__E, #message>)
        });
        let messages = messages.iter().map(|message| message.fixed());
        quote! {
            #[doc(hidden)]
            pub fn #function<__E: #p::Endpoint>() -> #p::Vec<#p::Box<dyn #p::Any>>
            where
                #(#bounds,)*
            {
                #p::Vec::from([#(#p::listed(<#side as #p::Covers<__E, #messages>>::ENTRY)),*])
            }
        }
    };
    let all = list(format_ident!("__wsx_entries"), protocol.inbound(side));
    let each = protocol.peers(side).into_iter().map(|peer| {
        let flow = protocol.flows.iter().find(|flow| flow.to == *side && flow.from == peer);
        let messages = flow.map_or_else(Vec::new, |flow| flow.messages.iter().collect());
        list(format_ident!("__wsx_entries_from_{peer}"), messages)
    });
    let covers = protocol.inbound(side).into_iter().map(|message| {
        let message = message.fixed();
        // What is no message has no key, and is reported once, by the check made for it.
        let known =
            quote!(<() as #p::If<{ #p::is_some(#p::Probe::<#message>::MESSAGE) }, #message, #p::Nothing>>::Type);
        let key = quote!(<#known as #p::Keyed>::Key);
        quote! {
            #[diagnostic::do_not_recommend]
            impl<__E> #p::Covers<__E, #message> for #side
            where
                #key: #p::HandledOnceBy<__E>,
            {
                const ENTRY: #p::HandlerEntry<__E> = <#key as #p::HandledOnceBy<__E>>::ENTRY;
            }
        }
    });
    quote! {
        #[allow(non_snake_case, reason = "the name of a side is part of it")]
        impl #side {
            #all
            #(#each)*
        }
        const _: () = {
            #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
            #(#covers)*
        };
    }
}

/// Who sends and who receives the messages of a flow.
pub(super) fn directions(flow: &Flow, p: &TokenStream) -> TokenStream {
    let Flow { from, to, messages, .. } = flow;
    let mut seen = BTreeSet::new();
    let each = messages.iter().filter(|message| seen.insert(&message.alias)).map(|message| {
        let lifetime = message.borrows().then(|| quote!(<'f>));
        let generic = message.generic();
        quote_spanned! {message.span()=>
            impl #lifetime #p::Sends<#generic, #to> for #from {}
            impl #lifetime #p::Receives<#generic, #from> for #to {}
        }
    });
    let envelopes = envelopes(p, to, &from.to_token_stream());
    quote!(#(#each)* #envelopes)
}

/// A side with several peers, where an endpoint does not say which one it speaks to: any of them.
pub(super) fn union(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let any = quote!(#p::AnyPeer);
    let sends = protocol.outbound(side).into_iter().map(|message| {
        let lifetime = message.borrows().then(|| quote!(<'f>));
        let generic = message.generic();
        quote_spanned!(message.span()=> impl #lifetime #p::Sends<#generic, #any> for #side {})
    });
    let inbound = protocol.inbound(side);
    let receives = inbound.iter().map(|message| {
        let lifetime = message.borrows().then(|| quote!(<'f>));
        let generic = message.generic();
        quote_spanned!(message.span()=> impl #lifetime #p::Receives<#generic, #any> for #side {})
    });
    let envelopes = (!inbound.is_empty()).then(|| envelopes(p, side, &any));
    quote!(#(#sends)* #(#receives)* #envelopes)
}

/// Who receives a message may take it with its envelope.
fn envelopes(p: &TokenStream, to: &Ident, from: &TokenStream) -> TokenStream {
    quote! {
        #[diagnostic::do_not_recommend]
        impl<__Message> #p::Receives<#p::Envelope<__Message>, #from> for #to
        where
            #to: #p::Receives<__Message, #from>,
        {
        }
    }
}

/// A message's type string, by a probe: what is no message is reported once, by the check made for it.
fn type_string(p: &TokenStream, message: &Message) -> TokenStream {
    let message = message.fixed();
    quote!(#p::found(#p::Probe::<#message>::MESSAGE))
}
