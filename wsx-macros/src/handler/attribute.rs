//! The options in the parentheses of `#[wsx::handler(..)]`.
use super::argument::{Argument, Place, candidates, place};
use crate::shared::{Errors, key_of, last, once, snake_case};
use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Ident, LitInt, LitStr, Path, Token, Type, parse::ParseStream};

const KNOWN: &str =
    "the options are `#[wsx::handler(\"type\", on = Endpoint, concurrent = 8, foreign, crate = path)]`, all optional";

/// Maximum number of calls of a handler at a time for one connection.
const MAX_CONCURRENT: u16 = 1024;

/// The reserved types, which never come from a peer.
pub(super) const RESERVED: [&str; 4] = ["__raw__", "__open__", "__close__", "__unknown__"];

/// `"type", on = Endpoint, concurrent = 8, foreign, crate = path`: all optional, in any order.
#[derive(Default)]
pub(super) struct Args {
    pub(super) message_type: Option<LitStr>,
    /// The endpoint, named correctly or by a mistake that leaves no doubt about it.
    pub(super) on: Option<Path>,
    /// A type that stands alone between two commas.
    pub(super) lone: Option<Path>,
    pub(super) foreign: Option<Ident>,
    pub(super) concurrent: Option<Concurrent>,
    pub(super) krate: Option<Path>,
}

/// The option `concurrent = 8`.
pub(super) struct Concurrent {
    pub(super) option: Ident,
    /// Number of calls at a time.
    pub(super) calls: u16,
}

impl Args {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            if self.message_type.is_some() {
                return Err(syn::Error::new(
                    literal.span(),
                    "a handler has one message type: write a second function for the second type",
                ));
            }
            let text = literal.value();
            // Kept in spite of the error, so that another check does not ask for a type.
            self.message_type = Some(literal.clone());
            if text.is_empty() {
                return Err(syn::Error::new(
                    literal.span(),
                    "the message type is empty: name it, as in `\"telemetry\"`",
                ));
            }
            if text.starts_with("__") && !RESERVED.contains(&&*text) {
                let reserved = RESERVED.join("`, `");
                return Err(syn::Error::new(
                    literal.span(),
                    format!("only the reserved types `{reserved}` begin with `__`: choose another name"),
                ));
            }
            return Ok(());
        }
        if input.peek(Token![crate]) {
            let key = input.parse::<Token![crate]>()?;
            once(self.krate.is_some(), key)?;
            input.parse::<Token![=]>()?;
            self.krate = Some(input.call(Path::parse_mod_style)?);
            return Ok(());
        }
        if let Some(path) = lone_type(input) {
            self.lone.get_or_insert(path);
            return Ok(());
        }
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), KNOWN))?;
        if key == "foreign" {
            once(self.foreign.is_some(), &key)?;
            self.foreign = Some(key);
            return Ok(());
        }
        if key == "concurrent" {
            once(self.concurrent.is_some(), &key)?;
            let calls = parse_concurrent(&key, input)?;
            self.concurrent = Some(Concurrent { option: key, calls });
            return Ok(());
        }
        if key != "on" {
            return Err(syn::Error::new(key.span(), format!("unknown option `{key}`; {KNOWN}")));
        }
        once(self.on.is_some(), &key)?;
        input.parse::<Token![=]>()?;
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            self.on = literal.parse().ok();
            let why = format!("an endpoint is a type, not a string: write `on = {}`", literal.value());
            return Err(syn::Error::new(literal.span(), why));
        }
        self.on = Some(input.parse()?);
        Ok(())
    }

    /// The arguments, in the context of these options.
    pub(super) fn arguments<'t>(&self, p: &TokenStream, types: &[&'t Type]) -> Vec<Argument<'t>> {
        let message_type = self.message_type.as_ref().map(LitStr::value);
        let place = Place { on: self.on.as_ref(), message_type: message_type.as_deref() };
        types.iter().map(|ty| Argument::new(p, ty, place)).collect()
    }

    /// The type string as a type. A literal that is the name of an argument's type is used as it
    /// is, which saves the compiler work. Any other literal may be mistyped; then the key of the
    /// argument that is a message counts, so that the message is not reported as missing too.
    pub(super) fn key(&self, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
        let is_a_name = |text: &str| {
            arguments.iter().any(|argument| match argument.ty {
                Type::Path(path) => {
                    path.path.segments.last().is_some_and(|last| snake_case(&last.ident.to_string()) == text)
                }
                _ => false,
            })
        };
        if let Some(only) = self.sole_message(arguments) {
            return only.key(p);
        }
        let otherwise = match self.message_type.as_ref().map(LitStr::value) {
            Some(text) if is_a_name(&text) || RESERVED.contains(&&*text) => return key_of(p, &text),
            Some(text) => {
                let key = key_of(p, &text);
                quote!(#p::Spelled<#key>)
            }
            None => quote!(#p::Nothing),
        };
        let place = place(p, arguments);
        let keyed = candidates(arguments).map(|argument| argument.keyed(p));
        quote!(<<(#(#keyed,)* #otherwise,) as #p::At<{ #place }, __Elsewhere>>::Type as #p::Keyed<__Elsewhere>>::Key)
    }

    /// The only argument that can be the message: on an endpoint of this crate, without a literal.
    /// The compiler then need not search for the message, once for each pair of handlers that it
    /// compares.
    pub(super) fn sole_message<'a, 't>(&self, arguments: &'a [Argument<'t>]) -> Option<&'a Argument<'t>> {
        let mut all = candidates(arguments);
        match (all.next(), all.next()) {
            (Some(only), None) if self.on.is_some() && self.foreign.is_none() && self.message_type.is_none() => {
                Some(only)
            }
            _ => None,
        }
    }

    /// The reserved type, if the handler names one.
    pub(super) fn reserved(&self) -> Option<String> {
        self.message_type.as_ref().map(LitStr::value).filter(|text| RESERVED.contains(&&**text))
    }
}

/// Parses `= 8`.
fn parse_concurrent(key: &Ident, input: ParseStream<'_>) -> syn::Result<u16> {
    let wanted = format!(
        "`concurrent` is how many calls may run at a time for one connection: a number from 1 to {MAX_CONCURRENT}"
    );
    input.parse::<Token![=]>().map_err(|_| syn::Error::new(key.span(), &wanted))?;
    let literal: LitInt = input.parse().map_err(|error| syn::Error::new(error.span(), &wanted))?;
    let calls = literal.base10_parse().ok().filter(|calls| (1..=MAX_CONCURRENT).contains(calls));
    calls.ok_or_else(|| syn::Error::new(literal.span(), wanted))
}

/// Parses the options. Reports each that is wrong, and keeps each that is right.
pub(super) fn parse_args(tokens: TokenStream, errors: &mut Errors) -> Args {
    let mut args = Args::default();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if errors.take(args.parse_one(input)).is_some() && !input.is_empty() && !input.peek(Token![,]) {
                errors.push(input.error("expected `,` before the next option"));
                // Keeps the next option if it is right. If it is wrong, the missing comma is the
                // only error.
                let _ = args.parse_one(input);
            }
            // Skips the rest of this option.
            while !input.is_empty() && !input.peek(Token![,]) {
                input.parse::<TokenTree>()?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    // The parser reports its errors itself.
    let _ = syn::parse::Parser::parse2(parser, tokens);
    if let Some(lone) = args.lone.take() {
        let name = last(&lone).expect("a path has a part");
        match args.on {
            None => errors.at(name, &format!("to name the endpoint, write `on = {name}`; {KNOWN}")),
            Some(_) => errors.at(
                name,
                &format!("a message type is a string, and may be left out if an argument is the message; {KNOWN}"),
            ),
        }
        args.on.get_or_insert(lone);
    }
    if let (Some(foreign), None) = (&args.foreign, &args.on) {
        errors.at(foreign, "`foreign` is for an endpoint of another crate: name it, as in `on = other::Station`");
    }
    args
}

/// A type that stands alone between two commas: an endpoint without its `on =`.
fn lone_type(input: ParseStream<'_>) -> Option<Path> {
    let ahead = input.fork();
    let path = ahead.call(Path::parse_mod_style).ok()?;
    let is_type = path.segments.last()?.ident.to_string().starts_with(char::is_uppercase);
    if !is_type || !(ahead.is_empty() || ahead.peek(Token![,])) {
        return None;
    }
    input.call(Path::parse_mod_style).ok()
}
