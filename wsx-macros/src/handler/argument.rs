//! The arguments of a handler, and the mistakes that each may be.
//!
//! A name only raises a doubt: the compiler then says what the type is. So it looks for a message
//! only in a type that is called `Arc`, `Option` and so on, because each look costs compile time.
use crate::shared::{key_of, respan, snake_case, type_span, with_lifetimes};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericArgument, Path, PathArguments, Type};

/// The options on which an argument's meaning depends.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The endpoint, if one is named.
    pub(super) on: Option<&'a Path>,
    /// The type string, if it is named.
    pub(super) message_type: Option<&'a str>,
}

pub(super) struct Argument<'a> {
    pub(super) ty: &'a Type,
    /// The type with `'static` lifetimes, for use outside of the function.
    pub(super) outside: TokenStream,
    doubts: Vec<Doubt>,
    /// Whether it may be a type around a message, in a handler without a literal.
    pub(super) wraps: bool,
    /// The type string that a message behind a reference has by its name. The compiler is not
    /// asked: a lifetime that is left out, as behind a reference, would be a second error.
    named: Option<String>,
    /// The message in a wrapper that wsx does not know.
    inside: Option<TokenStream>,
    /// Whether the handler names its endpoint.
    on: bool,
    /// The type in an `Envelope`.
    enveloped: Option<TokenStream>,
    /// The endpoint for which a handler without `on = ..` may be meant.
    pub(super) meant: Option<TokenStream>,
}

/// A mistake, if the condition holds.
struct Doubt {
    condition: TokenStream,
    error: Error,
}

/// The error about a mistake.
enum Error {
    Text(String),
    /// Names the connection that the endpoint's handlers take.
    Connection,
}

impl<'a> Argument<'a> {
    pub(super) fn new(p: &TokenStream, ty: &'a Type, place: Place<'_>) -> Self {
        let outside = with_lifetimes(ty.to_token_stream(), "'static");
        let on = place.on.is_some();
        let mut argument = Self {
            ty,
            outside,
            doubts: Vec::new(),
            wraps: false,
            named: None,
            inside: None,
            on,
            enveloped: None,
            meant: None,
        };
        argument.doubt(p, place);
        argument
    }

    pub(super) fn span(&self) -> Span {
        type_span(self.ty)
    }

    /// Whether it can be the message, or a message in a wrapper. A reference cannot, which saves
    /// the compiler the look.
    pub(super) fn may_be_message(&self) -> bool {
        self.wraps || !matches!(self.ty, Type::Reference(_))
    }

    /// The type string of the message that it is, or that it wraps by mistake.
    pub(super) fn message(&self, p: &TokenStream) -> TokenStream {
        let outside = &self.outside;
        match &self.inside {
            Some(inside) => quote!(#p::Probe::<#inside>::MESSAGE),
            None if self.wraps => quote!(#p::Probe::<#outside>::WRAPPED),
            None => quote!(#p::Probe::<#outside>::MESSAGE),
        }
    }

    /// The key of the message, for an argument that must be the message. [`Self::must_be_message`]
    /// reports one that is not.
    pub(super) fn key(&self, p: &TokenStream) -> TokenStream {
        let span = self.span();
        let (at_type, ty) = (respan(p, span), respan(self.inside.as_ref().unwrap_or(&self.outside), span));
        match &self.named {
            Some(text) => key_of(p, text),
            None if self.wraps && self.inside.is_none() => {
                quote_spanned!(span=> <#ty as #at_type::Wraps<__Elsewhere>>::Key)
            }
            None => {
                let found = place(&at_type, std::slice::from_ref(self));
                quote_spanned! {span=>
                    <<(#ty, #at_type::Nothing) as #at_type::At<{ #found }, __Elsewhere>>::Type
                        as #at_type::Keyed<__Elsewhere>>::Key
                }
            }
        }
    }

    /// Checks that the argument is a message. The check is not part of the key: an error in the key
    /// would be a conflict with the other handlers too.
    pub(super) fn must_be_message(&self, p: &TokenStream) -> Option<TokenStream> {
        if self.wraps && self.inside.is_none() {
            return None;
        }
        let span = self.span();
        let (at_type, ty) = (respan(p, span), respan(self.inside.as_ref().unwrap_or(&self.outside), span));
        let reported = self.is_reported(p);
        Some(quote_spanned! {span=>
            #at_type::is_message::<<() as #at_type::If<{ #reported }, #at_type::Nothing, #ty>>::Type>();
        })
    }

    /// Whether the protocol names the type, but it is not a message. Then `protocol!` reports it.
    pub(super) fn is_reported(&self, p: &TokenStream) -> TokenStream {
        let outside = self.enveloped.as_ref().unwrap_or(&self.outside);
        quote!((#p::Probe::<(#outside, __On)>::NAMED && !#p::is_some(#p::Probe::<#outside>::MESSAGE)))
    }

    /// A type with the key of the message, for an argument that may be the message.
    pub(super) fn keyed(&self, p: &TokenStream) -> TokenStream {
        let outside = &self.outside;
        match &self.named {
            Some(text) => {
                let key = key_of(p, text);
                quote!(#p::Spelled<#key>)
            }
            None if self.wraps && self.inside.is_none() => quote!(#p::Wrapper<#outside>),
            None => self.inside.as_ref().unwrap_or(outside).clone(),
        }
    }

    /// The checks for its mistakes.
    pub(super) fn check(&self, p: &TokenStream) -> Option<TokenStream> {
        let span = self.span();
        let checks = self.doubts.iter().map(|Doubt { condition, error }| match error {
            Error::Text(why) => quote_spanned!(span=> #p::ensure(!#condition, #why);),
            Error::Connection => quote_spanned!(span=> #p::ensure_connection::<__Endpoint>(!#condition);),
        });
        (!self.doubts.is_empty()).then(|| quote_spanned!(span=> const _: () = { #(#checks)* };))
    }

    /// The conditions under which it is a mistake.
    pub(super) fn mistakes(&self) -> impl Iterator<Item = &TokenStream> {
        self.doubts.iter().map(|doubt| &doubt.condition)
    }

    /// The endpoint whose context gives the argument. It is not an endpoint if another check
    /// rejects the argument, so that there is one error.
    pub(super) fn drawn_from(&self, p: &TokenStream, sole: bool) -> TokenStream {
        let span = self.span();
        let mut conditions: Vec<TokenStream> = self.doubts.iter().map(|doubt| respan(&doubt.condition, span)).collect();
        if sole {
            let message = self.message(p);
            conditions.push(quote_spanned!(span=> !#p::is_some(#message)));
        } else if self.on && self.may_be_message() {
            conditions.push(respan(&self.is_reported(p), span));
        }
        if conditions.is_empty() {
            return quote_spanned!(span=> __On);
        }
        quote_spanned!(span=> <() as #p::If<{ #(#conditions)||* }, #p::Refused, __On>>::Type)
    }

    fn doubt(&mut self, p: &TokenStream, place: Place<'_>) {
        let outside = self.outside.clone();
        let literal = place.message_type;
        let (inner, reference) = match self.ty {
            Type::Reference(reference) => (&*reference.elem, true),
            other => (other, false),
        };
        let Type::Path(path) = inner else { return };
        let Some(last) = path.path.segments.last() else { return };
        let name = last.ident.to_string();
        let parameter = match &last.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }),
            _ => None,
        };
        let inside = parameter.map(readable).unwrap_or_default();
        match &*name {
            "Hub" => {
                if let (None, Some(endpoint)) = (place.on, parameter) {
                    self.meant(p, endpoint, literal);
                }
            }
            "Connection" => {
                let given = with_lifetimes(inner.to_token_stream(), "'static");
                let condition = quote!((#p::Probe::<__On>::ENDPOINT
                    && #p::Probe::<#given>::CONNECTION
                    && !#p::Probe::<(#given, __On)>::ITS_CONNECTION));
                self.doubts.push(Doubt { condition, error: Error::Connection });
            }
            "str" if reference => {}
            _ if reference => {
                if place.on.is_some_and(|on| on.segments.last().is_some_and(|on| on.ident == last.ident)) {
                    return;
                }
                self.wraps = literal.is_none();
                self.named = (self.wraps && last.arguments.is_none()).then(|| snake_case(&name));
                let why = format!("a handler takes its message by value: write `{name}` without the `&`");
                self.add(quote!(#p::is_some(#p::Probe::<#outside>::WRAPPED)), why);
                if place.on.is_none() {
                    self.meant(p, inner, literal);
                }
            }
            "Arc" | "Rc" => {
                self.wraps = literal.is_none();
                let probe = quote!(#p::Probe::<#outside>);
                let condition = match literal {
                    None => quote!(#p::is_some(#probe::WRAPPED)),
                    // With serde's feature `rc` it is a payload like any other.
                    Some(_) => quote!((#p::is_some(#probe::WRAPPED) && !#probe::PAYLOAD)),
                };
                self.add(
                    condition,
                    format!("a handler takes its message by value: write `{inside}` in place of `{name}<{inside}>`"),
                );
            }
            "Option" | "Vec" | "Box" if literal.is_none() => {
                self.wraps = true;
                let why = match place.on {
                    Some(_) => format!("`{name}<{inside}>` is not a message of the protocol: take `{inside}` itself"),
                    None => format!(
                        "`{name}<{inside}>` has no message type of its own: take `{inside}` itself, or name the type, as in \
                         `#[wsx::handler(\"telemetry\")]`"
                    ),
                };
                self.add(quote!(#p::is_some(#p::Probe::<#outside>::WRAPPED)), why);
            }
            "Envelope" => {
                self.enveloped = parameter.map(|message| with_lifetimes(message.to_token_stream(), "'static"));
            }
            // A wrapper of another framework: the user means the message inside.
            "Json" if literal.is_none() => {
                let Some(message) = parameter else { return };
                let message = with_lifetimes(message.to_token_stream(), "'static");
                self.wraps = true;
                let why =
                    format!("a handler takes its message by value: write `{inside}` in place of `{name}<{inside}>`");
                self.add(quote!(#p::is_some(#p::Probe::<#message>::MESSAGE)), why);
                self.inside = Some(message);
            }
            "State" => {
                if let Some(on) = place.on.and_then(|on| on.segments.last()) {
                    let on = &on.ident;
                    let why = format!(
                        "`State` is for handlers without an endpoint: make `{inside}` a field of `{on}`, and take `&{on}`"
                    );
                    let state =
                        quote!((match #p::Probe::<#outside>::STATE { #p::Option::Some(_) => true, _ => false }));
                    self.add(state, why);
                }
            }
            "Closed" if literal != Some("__close__") => {
                let why = "only a `__close__` handler takes `Closed`: in any other, the connection is still open";
                self.add(quote!(#p::Probe::<#outside>::CLOSED), why.to_owned());
            }
            "RawFrame" => {
                if let Some(reserved @ ("__open__" | "__close__")) = literal {
                    let why = format!("a `{reserved}` handler cannot take `RawFrame`: it does not run for a frame");
                    self.add(quote!(#p::Probe::<#outside>::FRAME), why);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, condition: TokenStream, why: String) {
        self.doubts.push(Doubt { condition, error: Error::Text(why) });
    }

    /// An argument that only a handler on this endpoint may take, in a handler without `on = ..`.
    fn meant(&mut self, p: &TokenStream, endpoint: &Type, message_type: Option<&str>) {
        if matches!(endpoint, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Untyped"))
        {
            return;
        }
        let name = readable(endpoint);
        let literal = message_type.map_or_else(String::new, |text| format!("\"{text}\", "));
        let ty = readable(self.ty);
        let why = format!("`{ty}` is for a handler on `{name}`: write `#[wsx::handler({literal}on = {name})]`");
        let endpoint = with_lifetimes(endpoint.to_token_stream(), "'static");
        self.add(quote!(#p::Probe::<#endpoint>::ENDPOINT), why);
        // A type with the message's name is the message, not an endpoint.
        if message_type.is_none_or(|text| text != snake_case(&name)) {
            self.meant = Some(endpoint);
        }
    }
}

/// The arguments that may be the message.
pub(super) fn candidates<'a, 't>(arguments: &'a [Argument<'t>]) -> impl Iterator<Item = &'a Argument<'t>> {
    arguments.iter().filter(|argument| argument.may_be_message())
}

/// The type strings of the candidates.
pub(super) fn messages(p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let messages = candidates(arguments).map(|argument| argument.message(p));
    quote!(&[#(#messages),*])
}

/// The place of the message among the candidates; their number if none is a message.
pub(super) fn place(p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let messages = messages(p, arguments);
    quote!(#p::position(#messages))
}

/// A type in the form in which a user writes it.
fn readable(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let glued = |letter: char| matches!(letter, '<' | '>' | ':' | '&' | '(' | ')' | '[' | ']');
        let before = out.chars().last();
        let after = letters.peek().copied();
        let no_space = before.is_none_or(glued) || after.is_none_or(|after| glued(after) || matches!(after, ',' | ';'));
        if !(letter == ' ' && no_space) {
            out.push(letter);
        }
    }
    out
}
