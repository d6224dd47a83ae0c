//! `protocol!`: who may say what to whom, as types.
use crate::attr::{self, Errors, has_lifetime, last, respan, type_span, with_lifetimes};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::{BTreeMap, BTreeSet};
use syn::{
    Attribute, Ident, Lifetime, Token, Type, Visibility, braced,
    parse::{ParseStream, Parser as _},
    token::Brace,
};

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let parser = |input: ParseStream<'_>| Protocol::parse(input, &mut errors);
    let parsed = parser.parse2(input);
    let Some(mut protocol) = errors.take(parsed) else {
        return errors.finish().unwrap_or_default();
    };
    let p = attr::options(&protocol.attrs, &mut errors, |meta| {
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

/// `/// Doc.` `pub Fleet v1 { Edge -> Server: Telemetry<'_>, Health; Server -> Edge: Cmd; Edge <-> Server: Note; }`
struct Protocol {
    attrs: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    version: u32,
    flows: Vec<Flow>,
}

/// What one side sends to another. Flows of one direction are joined.
#[derive(Clone)]
struct Flow {
    docs: Vec<Attribute>,
    from: Ident,
    to: Ident,
    messages: Vec<Message>,
}

/// A message where it is mentioned.
#[derive(Clone)]
struct Message {
    docs: Vec<Attribute>,
    ty: Type,
    /// A type alias that stands for it in all that is generated: the compiler looks at the user's own tokens once, so that
    /// what is wrong with them is one error. The same for all mentions.
    alias: String,
}

impl Message {
    fn span(&self) -> Span {
        type_span(&self.ty)
    }

    /// The last part of its path, which names it in the inbound enum.
    fn short_name(&self) -> Option<&Ident> {
        match &self.ty {
            Type::Path(path) => last(&path.path),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.ty.to_token_stream().to_string()
    }

    fn borrows(&self) -> bool {
        has_lifetime(self.ty.to_token_stream())
    }

    /// With all its lifetimes `'static`.
    fn fixed(&self) -> TokenStream {
        self.with("'static")
    }

    /// With all its lifetimes `'f`, where it has any.
    fn generic(&self) -> TokenStream {
        self.with(if self.borrows() { "'f" } else { "'static" })
    }

    fn with(&self, lifetime: &str) -> TokenStream {
        let (alias, lifetime) = (Ident::new(&self.alias, self.span()), Lifetime::new(lifetime, self.span()));
        quote_spanned!(self.span()=> #alias<#lifetime>)
    }
}

impl Protocol {
    /// As much as can be understood: a line that cannot is an error, and its sides are still made.
    fn parse(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let form = "a protocol is written `pub Fleet v1 { Edge -> Server: Telemetry; Server -> Edge: Cmd; }`";
        let name: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), form))?;
        let version = errors.take(version(input)).unwrap_or_default();
        while !input.is_empty() && !input.peek(Brace) {
            input.parse::<TokenTree>()?;
        }
        let body;
        braced!(body in input);
        if !input.is_empty() {
            errors.push(input.error("a protocol ends here; a second one is a `wsx::protocol!` of its own"));
            input.parse::<TokenStream>()?;
        }
        if body.is_empty() {
            return Err(syn::Error::new(
                name.span(),
                "a protocol says at least one thing, as in `Edge -> Server: Telemetry;`",
            ));
        }
        let mut protocol = Self { attrs, visibility, name, version, flows: Vec::new() };
        while !body.is_empty() {
            errors.take(parse_flow(&body, &mut protocol.flows));
            // On to the next line, whatever is left of this one.
            while !body.is_empty() && !body.peek(Token![;]) {
                body.parse::<TokenTree>()?;
            }
            body.parse::<Option<Token![;]>>()?;
        }
        protocol.name_aliases();
        Ok(protocol)
    }

    fn name_aliases(&mut self) {
        let mut known = BTreeMap::new();
        for message in self.flows.iter_mut().flat_map(|flow| &mut flow.messages) {
            let next = known.len();
            let at = *known.entry(message.text()).or_insert(next);
            message.alias = format!("__{}_{at}", self.name);
        }
    }
}

fn version(input: ParseStream<'_>) -> syn::Result<u32> {
    let wanted = "the protocol's version follows its name: `v` and a whole number, as in `v1`";
    let version: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), wanted))?;
    let number = version.to_string().strip_prefix('v').and_then(|number| number.parse().ok());
    match number {
        Some(number) if input.peek(Brace) => Ok(number),
        _ => Err(syn::Error::new(version.span(), wanted)),
    }
}

/// One line, up to its `;`. What of it could be read is there, even if it ends in an error.
fn parse_flow(body: ParseStream<'_>, flows: &mut Vec<Flow>) -> syn::Result<()> {
    let side = |body: ParseStream<'_>| -> syn::Result<Ident> {
        body.parse().map_err(|error| {
            syn::Error::new(error.span(), "expected a side's name, as in `Edge -> Server: Telemetry;`")
        })
    };
    let docs = docs(body)?;
    let from = side(body)?;
    let both = body.peek(Token![<]);
    if both {
        body.parse::<Token![<]>()?;
    }
    body.parse::<Token![->]>()
        .map_err(|error| syn::Error::new(error.span(), "expected `->` or `<->` between the two sides"))?;
    let to = side(body)?;
    if from == to {
        return Err(syn::Error::new(to.span(), "a message travels between two different sides"));
    }
    let mut flow = Flow { docs, from, to, messages: Vec::new() };
    let end = parse_messages(body, &mut flow.messages);
    let back = both.then(|| Flow { from: flow.to.clone(), to: flow.from.clone(), ..flow.clone() });
    for flow in [flow].into_iter().chain(back) {
        match flows.iter_mut().find(|known| known.from == flow.from && known.to == flow.to) {
            Some(known) => {
                known.docs.extend(flow.docs);
                known.messages.extend(flow.messages);
            }
            None => flows.push(flow),
        }
    }
    end
}

fn parse_messages(body: ParseStream<'_>, messages: &mut Vec<Message>) -> syn::Result<()> {
    body.parse::<Token![:]>()
        .map_err(|error| syn::Error::new(error.span(), "expected `:` and the messages that travel this way"))?;
    loop {
        let docs = docs(body)?;
        let ty = body
            .parse()
            .map_err(|error| syn::Error::new(error.span(), "expected a message, named by the path of its type"))?;
        messages.push(Message { docs, ty, alias: String::new() });
        let comma: Option<Token![,]> = body.parse()?;
        if body.peek(Token![;]) {
            return Ok(());
        }
        if comma.is_none() {
            return Err(syn::Error::new(body.span(), "expected `,` and a message, or `;`"));
        }
    }
}

/// The doc comment in front of a line or of a message.
fn docs(body: ParseStream<'_>) -> syn::Result<Vec<Attribute>> {
    let attrs = body.call(Attribute::parse_outer)?;
    match attrs.iter().find(|attr| !attr.path().is_ident("doc")) {
        Some(other) => Err(syn::Error::new_spanned(
            other,
            "a line of a protocol, and a message, may have a doc comment and no other attribute",
        )),
        None => Ok(attrs),
    }
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
    fn inbound(&self, side: &Ident) -> Vec<&Message> {
        self.distinct(|flow| flow.to == *side)
    }

    /// What a side sends to anybody, each message once.
    fn outbound(&self, side: &Ident) -> Vec<&Message> {
        self.distinct(|flow| flow.from == *side)
    }

    /// All messages, each once.
    fn messages(&self) -> Vec<&Message> {
        self.distinct(|_| true)
    }

    fn distinct(&self, pick: impl Fn(&Flow) -> bool) -> Vec<&Message> {
        let mut seen = BTreeSet::new();
        let all = self.flows.iter().filter(|flow| pick(flow)).flat_map(|flow| &flow.messages);
        all.filter(|message| seen.insert(&message.alias)).collect()
    }
}

/// A message's type string, by a probe: what is no message is reported once, by the check made for it.
fn type_string(p: &TokenStream, message: &Message) -> TokenStream {
    let message = message.fixed();
    quote!(#p::found(#p::Probe::<#message>::MESSAGE))
}

fn check(protocol: &Protocol, errors: &mut Errors) {
    for flow in &protocol.flows {
        let mut seen = BTreeSet::new();
        for message in &flow.messages {
            if message.short_name().is_none() {
                errors.at(&message.ty, "a message is a type with `#[derive(wsx::Message)]`, named by its path");
            }
            if !seen.insert(&message.alias) {
                errors.push(syn::Error::new(
                    message.span(),
                    format!("this message travels from `{}` to `{}` already", flow.from, flow.to),
                ));
            }
        }
    }
    for side in protocol.sides() {
        let mut names = BTreeMap::new();
        for message in protocol.inbound(&side) {
            let Some(name) = message.short_name() else { continue };
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

/// The alias of each message, and the check that it is one.
fn aliases(protocol: &Protocol, p: &TokenStream) -> TokenStream {
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
fn marker(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
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
fn inbound(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
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
fn lists(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
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
fn directions(flow: &Flow, p: &TokenStream) -> TokenStream {
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
fn union(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
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
