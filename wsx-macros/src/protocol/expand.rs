//! The types that a protocol makes.
use super::{
    directions::{answers, directions, union},
    inbound,
    not_declared::not_declared,
    parse::{Answer, Message, Named, Protocol},
};
use crate::shared::{Wsx, respan, with_lifetimes};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Expr, Ident, Meta};

/// The types go into the user's module. The rest goes into a block, which imports wsx once.
pub(super) fn expand(protocol: &Protocol, wsx: &Wsx) -> TokenStream {
    let Wsx { import, path: p } = wsx;
    let sides = protocol.sides();
    let aliases = aliases(protocol);
    let head = head(protocol);
    let markers = sides.iter().map(|side| marker(protocol, side));
    let inbound = sides.iter().map(|side| inbound::item(protocol, side));
    let known = known_messages(protocol, p);
    let description = description(protocol, p);
    let each = sides.iter().map(|side| {
        let speaks = side_impls(protocol, p, side);
        let decode = inbound::impls(protocol, p, side);
        let lists = lists(protocol, p, side);
        quote!(#speaks #decode #lists)
    });
    let directions = protocol.flows.iter().map(|flow| directions(flow, p));
    let answers = answers(protocol, p);
    let not_declared = not_declared(protocol, p);
    let unions = sides.iter().filter(|side| protocol.peers(side).len() > 1).map(|side| union(protocol, p, side));
    let (guard, guarded) =
        once_for_each_side(protocol, quote!(#(#each)* #(#directions)* #answers #not_declared #(#unions)*));
    quote! {
        #aliases
        #guard
        #head
        #(#markers)*
        #(#inbound)*
        const _: () = {
            #import
            use #p::{NotDecoding as _, NotShown as _, Plain as _};
            #known
            #description
            #guarded
        };
    }
}

/// The items, but only if no other protocol of the module has one of the sides. The compiler
/// reports such a side once, where it is defined; without this, it would report each item too.
///
/// Each side is also the name of a macro. A second protocol's macro of that name is an error at the
/// place of the side, so it is not reported again. The name stays the macro of the first protocol,
/// which drops the items of any other.
fn once_for_each_side(protocol: &Protocol, items: TokenStream) -> (TokenStream, TokenStream) {
    let (name, sides) = (&protocol.name, protocol.sides());
    let guards = sides.iter().map(|side| {
        let span = side.span();
        let only = format_ident!("__wsx_only_{name}_has_{side}", span = span);
        // The error about a struct and the one about an import are one if their spans are equal.
        let import = quote_spanned!(span=> use #only as #side;);
        quote! {
            macro_rules! #only {
                (#name $($items:tt)*) => { $($items)* };
                ($($items:tt)*) => {};
            }
            #import
        }
    });
    let guard = quote!(#(#guards)*);
    let guarded = sides.iter().fold(items, |items, side| quote!(#side! { #name #items }));
    (guard, guarded)
}

/// The name of each message in generated code. It is private, so documentation shows the type
/// itself.
fn aliases(protocol: &Protocol) -> TokenStream {
    let each = protocol.types().into_iter().map(|named| {
        let span = named.span();
        let alias = Ident::new(&named.alias, span);
        let ty = with_lifetimes(named.ty.to_token_stream(), "'frame");
        // Every alias has the lifetime, so that rustc's advice about one that was left out fits.
        quote_spanned!(span=> type #alias<'frame> = #ty;)
    });
    quote!(#(#each)*)
}

/// The type whose handler an endpoint needs: the message itself, or a stand-in for a type that is
/// not a message. The stand-in counts as handled, since `SentBy` reports the mistake.
fn known_messages(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let each = protocol.types().into_iter().map(|named| {
        let (known, fixed, is_message) = (known(named), named.fixed(), is_message(p, named));
        quote! {
            type #known = <() as #p::If<{ #is_message }, #fixed, #p::NotAMessage>>::Type;
        }
    });
    quote!(#(#each)*)
}

/// The alias that [`known_messages`] makes.
pub(super) fn known(named: &Named) -> Ident {
    format_ident!("{}Known", named.alias)
}

/// Whether the type is a message.
pub(super) fn is_message(p: &TokenStream, named: &Named) -> TokenStream {
    let fixed = named.fixed();
    quote!(#p::is_some(#p::Probe::<#fixed>::MESSAGE))
}

/// The protocol's own type.
fn head(protocol: &Protocol) -> TokenStream {
    let Protocol { attrs, visibility, name, .. } = protocol;
    let docs = attrs.iter().filter(|attr| !attr.path().is_ident("wsx"));
    let has_docs = attrs.iter().any(|attr| attr.path().is_ident("doc"));
    let default_doc = (!has_docs).then(|| format!("The protocol `{name}`."));
    let default_doc = default_doc.map(|doc| quote!(#[doc = #doc]));
    quote! {
        #(#docs)*
        #default_doc
        #visibility struct #name;
    }
}

/// Version, fingerprint, description.
fn description(protocol: &Protocol, p: &TokenStream) -> TokenStream {
    let Protocol { name, version, flows, .. } = protocol;
    let name_text = name.to_string();
    let travels: Vec<TokenStream> = flows
        .iter()
        .flat_map(|flow| {
            let (from, to) = (flow.from.to_string(), flow.to.to_string());
            flow.messages.iter().map(move |message| {
                let described = described(p, &message.named);
                let policy = policy(p, &message.named);
                let travel = quote!(#p::Travel::new(#from, #to, #described).delivered(#policy));
                let Some(Answer { reply, refusal }) = message.checked_answer() else { return travel };
                let reply = described_answer(p, reply);
                let refusal = match refusal {
                    Some(refusal) => {
                        let refusal = described_answer(p, refusal);
                        quote!(#p::Option::Some(#refusal))
                    }
                    None => quote!(#p::Option::None),
                };
                quote!(#travel.answered(#reply, #refusal))
            })
        })
        .collect();
    let unit = unit_impls(p, name);
    let docs = protocol.attrs.iter().filter_map(doc_line);
    let schemas = flows.iter().flat_map(|flow| &flow.messages).map(|message| {
        let schema = |named: Option<&Named>| match named {
            Some(named) => {
                let fixed = named.fixed();
                quote!(#p::Probe::<#fixed>::SCHEMA)
            }
            None => quote!(#p::Option::None),
        };
        let answer = message.checked_answer();
        let own = schema(Some(&message.named));
        let reply = schema(answer.map(|answer| &answer.reply));
        let refusal = schema(answer.and_then(|answer| answer.refusal.as_ref()));
        quote!(#own, #reply, #refusal;)
    });
    quote! {
        #unit
        // Not a side that an endpoint may have. If a program names the protocol in place of a side,
        // as in `Connection<Fleet>`, this makes one error of the many that rustc has about the
        // type.
        #[doc(hidden)]
        impl #p::Side for #name {
            const NAME: &'static #p::str = #name_text;
            const PROTOCOL: &'static #p::str = #name_text;
            const INBOUND: &'static [&'static #p::str] = &[];
            type Peer = #p::AnyPeer;
        }
        impl #name {
            /// The protocol's version.
            pub const VERSION: #p::u32 = #version;
            /// Changes whenever the JSON of a message, its direction, its reply, its delivery or
            /// the version does.
            pub const FINGERPRINT: #p::u64 = #p::fingerprint(#name_text, Self::VERSION, &[#(#travels),*]);
            /// What the protocol says, to print or to serialize.
            pub const DESCRIPTION: #p::Description =
                #p::Description::new(#name_text, Self::VERSION, Self::FINGERPRINT, &[#(#travels),*]);
        }
        // Uses the items once, since no lint may report those that a program does not use.
        const _: #p::Description = #name::DESCRIPTION;
        #p::schemas! { #name, &[#(#docs),*]; #(#schemas)* }
    }
}

/// A line of docs, if the attribute is one.
fn doc_line(attr: &Attribute) -> Option<&Expr> {
    match &attr.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => Some(&pair.value),
        _ => None,
    }
}

/// The type string and the fingerprint of a message.
fn described(p: &TokenStream, named: &Named) -> TokenStream {
    let (type_string, fixed) = (type_string(p, named), named.fixed());
    quote!(#type_string, #p::found_or(#p::Probe::<#fixed>::FINGERPRINT, 0))
}

fn described_answer(p: &TokenStream, named: &Named) -> TokenStream {
    let described = described(p, named);
    quote!(#p::Answer::new(#described))
}

/// How a message is delivered.
pub(super) fn policy(p: &TokenStream, named: &Named) -> TokenStream {
    let fixed = named.fixed();
    quote!(#p::Probe::<#fixed>::POLICY)
}

/// A side's own type.
fn marker(protocol: &Protocol, side: &Ident) -> TokenStream {
    let Protocol { visibility, name, .. } = protocol;
    let doc = format!("The side `{side}` of [`{name}`].");
    // The compiler shows this line with an error about the side.
    let visibility = respan(&visibility.to_token_stream(), side.span());
    let declared = quote_spanned!(side.span()=> #visibility struct #side;);
    quote! {
        #[doc = #doc]
        #declared
    }
}

/// `Debug`, `Clone` and `Copy` of a type without fields. `derive` is not available in a module
/// without a prelude.
fn unit_impls(p: &TokenStream, name: &Ident) -> TokenStream {
    let text = name.to_string();
    quote! {
        #[automatically_derived]
        impl #p::Debug for #name {
            fn fmt(&self, f: &mut #p::Formatter<'_>) -> #p::FmtResult {
                f.write_str(#text)
            }
        }
        #[automatically_derived]
        impl #p::Clone for #name {
            fn clone(&self) -> Self {
                *self
            }
        }
        #[automatically_derived]
        impl #p::Copy for #name {}
        const _: #name = #name;
    }
}

/// The traits of a side: its names, the types that it receives, and its peers.
fn side_impls(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let name = &protocol.name;
    let (name_text, side_text) = (name.to_string(), side.to_string());
    let inbound: Vec<TokenStream> =
        protocol.inbound(side).into_iter().map(|message| type_string(p, &message.named)).collect();
    let requests = protocol.inbound(side).into_iter().filter(|message| message.answer.is_some());
    let requests = requests.map(|message| type_string(p, &message.named));
    let peers = protocol.peers(side);
    let peer = match &*peers {
        [peer] => quote!(#peer),
        _ => quote!(#p::AnyPeer),
    };
    let speaks = peers.iter().map(|peer| {
        let name = peer.to_string();
        quote!(impl #p::SpeaksWith<#peer> for #side { const NAME: &'static #p::str = #name; })
    });
    let twice = protocol.inbound(side).into_iter().enumerate().map(|(at, message)| {
        let span = message.named.span();
        let p = respan(p, span);
        quote_spanned!(span=> const _: () = #p::ensure_unique(#side_text, __TYPES, #at);)
    });
    let body = quote! {
        const NAME: &'static #p::str = #side_text;
        const PROTOCOL: &'static #p::str = #name_text;
        const VERSION: #p::u32 = #name::VERSION;
        const FINGERPRINT: #p::u64 = #name::FINGERPRINT;
        const INBOUND: &'static [&'static #p::str] =
            &[#(#inbound,)* "__raw__", "__open__", "__close__", "__unknown__"];
        const REQUESTS: &'static [&'static #p::str] = &[#(#requests),*];
        type Peer = #peer;
    };
    let implemented = quote_spanned!(side.span()=> impl #p::Side for #side { #body });
    let unit = unit_impls(p, side);
    quote! {
        #unit
        impl #p::Declared for #side {}
        #implemented
        #(#speaks)*
        const _: () = {
            const __TYPES: &[&#p::str] = <#side as #p::Side>::INBOUND;
            #(#twice)*
        };
    }
}

/// The functions that list a complete endpoint's handlers: one for all messages, and one for each
/// peer. The compiler checks the bounds of each.
fn lists(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let list = |function: Ident, messages: Vec<&Message>| {
        // The compiler shows this line with an error about a missing handler.
        let bounds = messages.iter().map(|message| {
            let (span, message) = (message.named.span(), known(&message.named));
            let p = respan(p, span);
            quote_spanned!(span=> #side: #p::Covers<__E, #message>)
        });
        let messages = messages.iter().map(|message| known(&message.named));
        quote! {
            #[doc(hidden)]
            pub fn #function<__E>() -> #p::Vec<#p::Box<dyn #p::Any>>
            where
                #(#bounds,)*
            {
                <[#p::Box<dyn #p::Any>]>::into_vec(#p::Box::new([
                    #((<#side as #p::Covers<__E, #messages>>::ENTRY)()),*
                ]))
            }
        }
    };
    let all = list(format_ident!("__wsx_entries"), protocol.inbound(side));
    let each = protocol.peers(side).into_iter().map(|peer| {
        let flow = protocol.flows.iter().find(|flow| flow.to == *side && flow.from == peer);
        let messages = flow.map_or_else(Vec::new, |flow| flow.messages.iter().collect());
        list(format_ident!("__wsx_entries_from_{peer}", span = Span::call_site()), messages)
    });
    quote! {
        impl #side {
            #all
            #(#each)*
        }
    }
}

/// A message's type string. A probe asks: a type that is not a message is reported elsewhere.
pub(super) fn type_string(p: &TokenStream, named: &Named) -> TokenStream {
    let fixed = named.fixed();
    quote!(#p::found(#p::Probe::<#fixed>::MESSAGE))
}
