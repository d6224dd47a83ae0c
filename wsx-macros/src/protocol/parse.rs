//! The text of a protocol.
use crate::shared::{Errors, has_lifetime, last, type_span};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use std::collections::{BTreeMap, BTreeSet};
use syn::{Attribute, Ident, Lifetime, Token, Type, Visibility, braced, parse::ParseStream, token::Brace};

/// `/// Doc.` `pub Fleet v1 { Edge -> Server: Health; Edge <-> Server: Ping<'_> -> Pong | Busy; }`
pub(super) struct Protocol {
    pub(super) attrs: Vec<Attribute>,
    pub(super) visibility: Visibility,
    pub(super) name: Ident,
    pub(super) version: u32,
    pub(super) flows: Vec<Flow>,
}

/// The messages that one side sends to another. Lines of one direction are joined.
#[derive(Clone)]
pub(super) struct Flow {
    pub(super) docs: Vec<Attribute>,
    pub(super) from: Ident,
    pub(super) to: Ident,
    pub(super) messages: Vec<Message>,
}

/// A message on a line.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) docs: Vec<Attribute>,
    pub(super) named: Named,
    /// The answer, if the message is a request.
    pub(super) answer: Option<Answer>,
}

/// The reply of a request, and its refusal if there is one: `-> Updated | UpdateRefused`.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) reply: Named,
    pub(super) refusal: Option<Named>,
}

/// A type on a line.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) ty: Type,
    /// The alias that replaces it in generated code. The compiler sees the user's own tokens once,
    /// so that a mistake in them is one error. All mentions of a type share it.
    pub(super) alias: String,
}

impl Protocol {
    /// The sides, in the order of their first appearance.
    pub(super) fn sides(&self) -> Vec<Ident> {
        let mut sides: Vec<Ident> = Vec::new();
        for side in self.flows.iter().flat_map(|flow| [&flow.from, &flow.to]) {
            if !sides.contains(side) {
                sides.push(side.clone());
            }
        }
        sides
    }

    pub(super) fn peers(&self, side: &Ident) -> Vec<Ident> {
        let mut peers: Vec<Ident> = Vec::new();
        for flow in &self.flows {
            let peer = if flow.from == *side { &flow.to } else { &flow.from };
            if (flow.from == *side || flow.to == *side) && !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        peers
    }

    /// The messages that a side receives, each once.
    pub(super) fn inbound(&self, side: &Ident) -> Vec<&Message> {
        self.distinct(|flow| flow.to == *side)
    }

    /// The messages that a side sends, each once.
    pub(super) fn outbound(&self, side: &Ident) -> Vec<&Message> {
        self.distinct(|flow| flow.from == *side)
    }

    /// The types of all messages, replies and refusals, each once.
    pub(super) fn types(&self) -> Vec<&Named> {
        let messages = self.flows.iter().flat_map(|flow| &flow.messages);
        let all = messages.flat_map(|message| {
            [&message.named].into_iter().chain(message.checked_answer().into_iter().flat_map(Answer::types))
        });
        distinct(all)
    }

    /// The replies and the refusals that one side sends to another, or to any, each once. A type
    /// that the side may also send by itself is not among them.
    pub(super) fn replies(&self, from: &Ident, to: Option<&Ident>) -> Vec<&Named> {
        let goes = |flow: &&Flow| flow.from == *from && to.is_none_or(|to| flow.to == *to);
        let comes = |flow: &&Flow| flow.to == *from && to.is_none_or(|to| flow.from == *to);
        let sent = self.flows.iter().filter(goes).flat_map(|flow| &flow.messages);
        let sent: BTreeSet<&str> = sent.map(|message| &*message.named.alias).collect();
        let received = self.flows.iter().filter(comes).flat_map(|flow| &flow.messages);
        let answers = received.filter_map(Message::checked_answer);
        distinct(answers.flat_map(Answer::types).filter(|named| !sent.contains(&*named.alias)))
    }

    fn distinct(&self, pick: impl Fn(&Flow) -> bool) -> Vec<&Message> {
        let mut seen = BTreeSet::new();
        let all = self.flows.iter().filter(|flow| pick(flow)).flat_map(|flow| &flow.messages);
        all.filter(|message| seen.insert(&message.named.alias)).collect()
    }
}

/// Each type once.
fn distinct<'a>(all: impl Iterator<Item = &'a Named>) -> Vec<&'a Named> {
    let mut seen = BTreeSet::new();
    all.filter(|named| seen.insert(&named.alias)).collect()
}

impl Message {
    /// The answer, if its types are without a mistake that the macro sees.
    pub(super) fn checked_answer(&self) -> Option<&Answer> {
        self.answer
            .as_ref()
            .filter(|answer| answer.types().all(|named| named.short_name().is_some() && !named.borrows()))
    }
}

impl Answer {
    pub(super) fn types(&self) -> impl Iterator<Item = &Named> {
        [&self.reply].into_iter().chain(&self.refusal)
    }

    /// The names of its types. Two answers with the same names are the same.
    pub(super) fn aliases(&self) -> Vec<&str> {
        self.types().map(|named| &*named.alias).collect()
    }
}

impl Named {
    fn new(ty: Type) -> Self {
        Self { ty, alias: String::new() }
    }

    pub(super) fn span(&self) -> Span {
        type_span(&self.ty)
    }

    /// The last part of its path, which names it in the inbound enum.
    pub(super) fn short_name(&self) -> Option<&Ident> {
        match &self.ty {
            Type::Path(path) => last(&path.path),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.ty.to_token_stream().to_string()
    }

    pub(super) fn borrows(&self) -> bool {
        has_lifetime(self.ty.to_token_stream())
    }

    /// With all its lifetimes `'static`.
    pub(super) fn fixed(&self) -> TokenStream {
        self.with("'static")
    }

    /// With all its lifetimes `'f`.
    pub(super) fn anywhere(&self) -> TokenStream {
        self.with("'f")
    }

    /// With all its lifetimes `'f`, where it has any.
    pub(super) fn generic(&self) -> TokenStream {
        self.with(if self.borrows() { "'f" } else { "'static" })
    }

    fn with(&self, lifetime: &str) -> TokenStream {
        // The macro's own lifetime: the user's lints do not apply to it.
        let (alias, lifetime) = (Ident::new(&self.alias, self.span()), Lifetime::new(lifetime, Span::call_site()));
        quote_spanned!(self.span()=> #alias<#lifetime>)
    }
}

impl Protocol {
    /// Parses the protocol. Reports a line that is wrong, and keeps its sides.
    pub(super) fn parse(input: ParseStream<'_>, errors: &mut Errors) -> syn::Result<Self> {
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
            errors.push(
                input.error("the protocol ended before this: write a second protocol in a `wsx::protocol!` of its own"),
            );
            input.parse::<TokenStream>()?;
        }
        if body.is_empty() {
            return Err(syn::Error::new(
                name.span(),
                "a protocol has at least one line, such as `Edge -> Server: Telemetry;`",
            ));
        }
        let mut protocol = Self { attrs, visibility, name, version, flows: Vec::new() };
        while !body.is_empty() {
            errors.take(parse_flow(&body, &mut protocol.flows));
            // Skips the rest of this line.
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
        for Message { named, answer, .. } in self.flows.iter_mut().flat_map(|flow| &mut flow.messages) {
            let answer = answer.iter_mut().flat_map(|Answer { reply, refusal }| [reply].into_iter().chain(refusal));
            for named in [named].into_iter().chain(answer) {
                let next = known.len();
                let at = *known.entry(named.text()).or_insert(next);
                named.alias = format!("__{}Message{at}", self.name);
            }
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

/// Parses one line, up to its `;`. Keeps the part before an error.
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
        return Err(syn::Error::new(
            to.span(),
            "both sides are the same: a message travels between two different sides",
        ));
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
        let named = parse_type(body, "a message")?;
        messages.push(Message { docs, named, answer: None });
        if body.peek(Token![->]) {
            let answer = parse_answer(body)?;
            messages.last_mut().expect("the message was added").answer = Some(answer);
        }
        let comma: Option<Token![,]> = body.parse()?;
        if body.peek(Token![;]) {
            return Ok(());
        }
        if comma.is_none() {
            return Err(syn::Error::new(body.span(), "expected `,` and a message, or `;`"));
        }
    }
}

/// Parses `-> Updated`, or `-> Updated | UpdateRefused`.
fn parse_answer(body: ParseStream<'_>) -> syn::Result<Answer> {
    body.parse::<Token![->]>()?;
    let reply = parse_type(body, "the request's reply")?;
    let mut answer = Answer { reply, refusal: None };
    if body.parse::<Option<Token![|]>>()?.is_some() {
        answer.refusal = Some(parse_type(body, "the message that refuses the request")?);
    }
    if body.peek(Token![|]) {
        return Err(body.error("a request has one reply and one refusal: put several reasons into one enum"));
    }
    Ok(answer)
}

fn parse_type(body: ParseStream<'_>, expected: &str) -> syn::Result<Named> {
    let ty = body.parse();
    ty.map(Named::new)
        .map_err(|error| syn::Error::new(error.span(), format!("expected {expected}, named by the path of its type")))
}

/// The doc comment before a line or a message.
fn docs(body: ParseStream<'_>) -> syn::Result<Vec<Attribute>> {
    let attrs = body.call(Attribute::parse_outer)?;
    match attrs.iter().find(|attr| !attr.path().is_ident("doc")) {
        Some(other) => Err(syn::Error::new_spanned(
            other,
            "only a doc comment is allowed here: put other attributes on the message's type",
        )),
        None => Ok(attrs),
    }
}
