//! `protocol!`: who may say what to whom, as types.
use crate::attr::{self, Errors, has_lifetime, respan, type_span, with_lifetimes};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::{BTreeMap, BTreeSet};
use syn::{
    Attribute, Ident, Token, Type, Visibility, braced,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Some(protocol) = errors.take(syn::parse2::<Protocol>(input)) else {
        return errors.finish().unwrap_or_default();
    };
    let p = attr::options(&protocol.attrs, &mut errors, |meta| {
        Err(meta.error("a protocol has the option `#[wsx(crate = path)]`"))
    });
    check(&protocol, &mut errors);
    let sides = protocol.sides();
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
    quote!(#errors #head #(#items)* #(#directions)* #(#unions)*)
}

/// `/// Doc.` `pub Fleet v1 { Edge -> Server: Telemetry<'_>, Health; Server -> Edge: Cmd; Edge <-> Server: Note; }`
struct Protocol {
    attrs: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    version: u32,
    flows: Vec<Flow>,
}

/// What one side sends to another. Flows of one direction are joined.
struct Flow {
    from: Ident,
    to: Ident,
    messages: Vec<Type>,
}

impl Parse for Protocol {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let form = "a protocol is written `pub Fleet v1 { Edge -> Server: Telemetry; Server -> Edge: Cmd; }`";
        let name: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), form))?;
        let version = version(input)?;
        let body;
        braced!(body in input);
        let mut flows: Vec<Flow> = Vec::new();
        while !body.is_empty() {
            for flow in parse_flow(&body)? {
                match flows.iter_mut().find(|known| known.from == flow.from && known.to == flow.to) {
                    Some(known) => known.messages.extend(flow.messages),
                    None => flows.push(flow),
                }
            }
        }
        if flows.is_empty() {
            return Err(syn::Error::new(
                name.span(),
                "a protocol says at least one thing, as in `Edge -> Server: Telemetry;`",
            ));
        }
        Ok(Self { attrs, visibility, name, version, flows })
    }
}

fn version(input: ParseStream<'_>) -> syn::Result<u32> {
    let wanted = "the protocol's version follows its name: `v` and a number, as in `v1`";
    let version: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), wanted))?;
    let number = version.to_string().strip_prefix('v').and_then(|number| number.parse().ok());
    number.ok_or_else(|| syn::Error::new(version.span(), wanted))
}

fn parse_flow(body: ParseStream<'_>) -> syn::Result<Vec<Flow>> {
    let from: Ident = body.parse()?;
    let both = body.peek(Token![<]);
    if both {
        body.parse::<Token![<]>()?;
    }
    body.parse::<Token![->]>()
        .map_err(|error| syn::Error::new(error.span(), "expected `->` or `<->` between the two sides"))?;
    let to: Ident = body.parse()?;
    if from == to {
        return Err(syn::Error::new(to.span(), "a message travels between two different sides"));
    }
    body.parse::<Token![:]>()?;
    let messages: Vec<Type> = Punctuated::<Type, Token![,]>::parse_separated_nonempty(body)?.into_iter().collect();
    body.parse::<Token![;]>().map_err(|error| syn::Error::new(error.span(), "expected `,` and a message, or `;`"))?;
    let back = both.then(|| Flow { from: to.clone(), to: from.clone(), messages: messages.clone() });
    Ok([Flow { from, to, messages }].into_iter().chain(back).collect())
}

impl Protocol {
    /// In the order of their first appearance.
    fn sides(&self) -> Vec<Ident> {
        let mut sides: Vec<Ident> = Vec::new();
        for side in self.flows.iter().flat_map(|flow| [&flow.from, &flow.to]) {
            if !sides.contains(side) {
                sides.push(side.clone());
            }
        }
        sides
    }

    fn peers(&self, side: &Ident) -> Vec<Ident> {
        let mut peers: Vec<Ident> = Vec::new();
        for flow in &self.flows {
            let peer = if flow.from == *side { &flow.to } else { &flow.from };
            if (flow.from == *side || flow.to == *side) && !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        peers
    }

    /// What a side receives from anybody, each message once.
    fn inbound(&self, side: &Ident) -> Vec<&Type> {
        self.distinct(|flow| flow.to == *side)
    }

    /// What a side sends to anybody, each message once.
    fn outbound(&self, side: &Ident) -> Vec<&Type> {
        self.distinct(|flow| flow.from == *side)
    }

    fn distinct(&self, pick: impl Fn(&Flow) -> bool) -> Vec<&Type> {
        let mut seen = BTreeSet::new();
        let all = self.flows.iter().filter(|flow| pick(flow)).flat_map(|flow| &flow.messages);
        all.filter(|message| seen.insert(text(message))).collect()
    }
}

fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}

fn as_static(ty: &Type) -> TokenStream {
    with_lifetimes(ty.to_token_stream(), "'static")
}

/// A message's type string, by a probe: what is no message is reported once, by the check made for it.
fn type_string(p: &TokenStream, message: &TokenStream) -> TokenStream {
    quote!(#p::found(#p::Probe::<#message>::MESSAGE))
}

/// The last part of a message's path, which names it in the inbound enum.
fn short_name(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

fn check(protocol: &Protocol, errors: &mut Errors) {
    for flow in &protocol.flows {
        let mut seen = BTreeSet::new();
        for message in &flow.messages {
            if short_name(message).is_none() {
                errors.at(message, "a message is a type with `#[derive(wsx::Message)]`, named by its path");
            }
            if !seen.insert(text(message)) {
                errors.push(syn::Error::new(
                    type_span(message),
                    format!("this message travels from `{}` to `{}` already", flow.from, flow.to),
                ));
            }
        }
    }
    for side in protocol.sides() {
        let mut names = BTreeMap::new();
        for message in protocol.inbound(&side) {
            let Some(name) = short_name(message) else { continue };
            if names.insert(name.to_string(), ()).is_some() {
                errors.push(syn::Error::new(
                    name.span(),
                    format!(
                        "`{side}` receives another message called `{name}`; import one of them under a name of its own"
                    ),
                ));
            }
        }
    }
}

/// The protocol itself: version, fingerprint, description.
fn head(protocol: &Protocol, p: &TokenStream) -> TokenStream {
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
                let message = as_static(message);
                let type_string = type_string(p, &message);
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
fn marker(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let Protocol { visibility, name, .. } = protocol;
    let (name_text, side_text) = (name.to_string(), side.to_string());
    let doc = format!("The side `{side_text}` of [`{name_text}`].");
    let inbound: Vec<TokenStream> =
        protocol.inbound(side).into_iter().map(|message| type_string(p, &as_static(message))).collect();
    let peers = protocol.peers(side);
    let peer = match &*peers {
        [peer] => quote!(#peer),
        _ => quote!(#p::AnyPeer),
    };
    let twice = protocol.inbound(side).into_iter().enumerate().map(|(at, message)| {
        let span = type_span(message);
        let p = respan(p, span);
        quote_spanned!(span=> const TYPE_STRING: () = #p::ensure_unique(#side_text, TYPES, #at);)
    });
    // Spanned at the side: this is the line that an error about a side shows.
    let visibility = respan(&visibility.to_token_stream(), side.span());
    let declared = quote_spanned!(side.span()=> #visibility struct #side;);
    quote! {
        #[doc = #doc]
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::marker::Copy)]
        #declared
        impl #p::Side for #side {
            const NAME: &'static str = #side_text;
            const PROTOCOL: &'static str = #name_text;
            const INBOUND: &'static [&'static str] =
                { #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _; &[#(#inbound,)* "__raw__", "__open__", "__close__", "__unknown__"] };
            type Peer = #peer;
        }
        #[allow(dead_code, reason = "it is there to be evaluated; its name is shown with the error")]
        const _: () = {
            #[allow(unused_imports, reason = "the probes of messages do without")] use #p::Plain as _;
            const TYPES: &[&str] = &[#(#inbound),*];
            #(const _: () = { #twice };)*
        };
    }
}

/// The enum of all that a side receives, for programs that match on it themselves.
fn inbound(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let visibility = &protocol.visibility;
    let messages: Vec<&Type> =
        protocol.inbound(side).into_iter().filter(|message| short_name(message).is_some()).collect();
    let name = format_ident!("{side}Inbound");
    let doc = format!("Any message that [`{side}`] receives.");
    let borrows = messages.iter().any(|message| has_lifetime(message.to_token_stream()));
    let (on_enum, on_decode) = if borrows { (Some(quote!(<'f>)), None) } else { (None, Some(quote!(<'f>))) };
    let variants: Vec<&Ident> = messages.iter().filter_map(|message| short_name(message)).collect();
    let docs = variants.iter().map(|variant| format!("A `{variant}`."));
    let payloads = messages.iter().map(|message| with_lifetimes(message.to_token_stream(), "'f"));
    // One identifier for all its uses: under `macro_rules`, a name that is spanned at the user's token is another name.
    let [message_type, data] = ["message_type", "data"].map(|name| Ident::new(name, Span::call_site()));
    let decodes = messages.iter().zip(&variants).map(|(message, variant)| {
        let type_string = type_string(p, &as_static(message));
        // Spanned at the message: this is where one that cannot be decoded shows.
        let span = type_span(message);
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
        #[allow(dead_code, missing_debug_implementations, reason = "not every program uses it, and a message need not be `Debug`")]
        #visibility enum #name #on_enum {
            #(#[doc = #docs] #variants(#payloads),)*
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
fn lists(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let list = |function: Ident, messages: Vec<&Type>| {
        // Spanned at the message: this is the line that an error about a missing handler shows.
        let bounds = messages.iter().map(|message| {
            let (span, message) = (type_span(message), as_static(message));
            let p = respan(p, span);
            quote_spanned!(span=> #side: #p::Covers<__E, #message>)
        });
        let messages = messages.iter().map(|message| as_static(message));
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
        let message = as_static(message);
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
fn directions(flow: &Flow, p: &TokenStream) -> TokenStream {
    let Flow { from, to, messages } = flow;
    let mut seen = BTreeSet::new();
    messages
        .iter()
        .filter(|message| seen.insert(text(message)))
        .map(|message| {
            let span = type_span(message);
            let lifetime = has_lifetime(message.to_token_stream()).then(|| quote!(<'f>));
            let (generic, fixed) = (with_lifetimes(message.to_token_stream(), "'f"), as_static(message));
            let door = respan(p, span);
            quote_spanned! {span=>
                impl #lifetime #p::Sends<#generic, #to> for #from {}
                impl #lifetime #p::Receives<#generic, #from> for #to {}
                impl #lifetime #p::Receives<#p::Envelope<#generic>, #from> for #to {}
                const _: () = #door::is_message::<#fixed>();
            }
        })
        .collect()
}

/// A side with several peers, where an endpoint does not say which one it speaks to: any of them.
fn union(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let each =
        |messages: Vec<&Type>, what: &dyn Fn(&Option<TokenStream>, &TokenStream) -> TokenStream| -> TokenStream {
            messages
                .into_iter()
                .map(|message| {
                    let lifetime = has_lifetime(message.to_token_stream()).then(|| quote!(<'f>));
                    let message = with_lifetimes(message.to_token_stream(), "'f");
                    what(&lifetime, &message)
                })
                .collect()
        };
    let sends = each(
        protocol.outbound(side),
        &|lifetime, message| quote!(impl #lifetime #p::Sends<#message, #p::AnyPeer> for #side {}),
    );
    let receives = each(protocol.inbound(side), &|lifetime, message| {
        quote! {
            impl #lifetime #p::Receives<#message, #p::AnyPeer> for #side {}
            impl #lifetime #p::Receives<#p::Envelope<#message>, #p::AnyPeer> for #side {}
        }
    });
    quote!(#sends #receives)
}
