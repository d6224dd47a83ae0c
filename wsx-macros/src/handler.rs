//! `#[handler]`: the function as it is written, and beside it an entry that draws its arguments and calls it.
use crate::attr::{self, Errors, respan, with_lifetimes};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, FnArg, GenericParam, Ident, LitStr, Path, ReturnType, Safety, Signature, Token, Type, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
};

/// More arguments than this are a sign of state that wants a struct.
const MAX_ARGUMENTS: usize = 6;
/// Reserved types, which stand for what is no message.
const RESERVED: [&str; 4] = ["__raw__", "__open__", "__close__", "__unknown__"];

pub(crate) fn expand(args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = errors.take(syn::parse2::<Args>(args));
    let function = errors.take(syn::parse2::<Function>(item.clone()));
    if let Some(function) = &function {
        check(&function.signature, &mut errors);
    }
    let errors = errors.finish();
    let entry = match (args, function) {
        (Some(args), Some(function)) if errors.is_none() => Some(entry(&args, &function)),
        _ => None,
    };
    // The function always survives as it is written, so that nothing else fails because of this error. Its signature is
    // the message's, so lints that would have it changed are of no use to its author.
    quote! {
        #[allow(clippy::needless_pass_by_value, clippy::unused_async, reason = "a handler's signature says what it takes")]
        #item
        #errors
        #entry
    }
}

/// `"type", on = Endpoint, crate = path`: all optional, in any order.
#[derive(Default)]
struct Args {
    message_type: Option<LitStr>,
    on: Option<Path>,
    krate: Option<Path>,
}

impl Parse for Args {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut args = Self::default();
        while !input.is_empty() {
            args.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(args)
    }
}

impl Args {
    fn parse_one(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if input.peek(LitStr) {
            let literal: LitStr = input.parse()?;
            let text = literal.value();
            if self.message_type.is_some() {
                return Err(syn::Error::new(
                    literal.span(),
                    "a handler has one message type; write a second function for a second type",
                ));
            }
            if text.is_empty() {
                return Err(syn::Error::new(literal.span(), "a message's type is not empty"));
            }
            if text.starts_with("__") && !RESERVED.contains(&&*text) {
                let reserved = RESERVED.join("`, `");
                return Err(syn::Error::new(
                    literal.span(),
                    format!("no message's type begins with `__`; the reserved types are `{reserved}`"),
                ));
            }
            self.message_type = Some(literal);
            return Ok(());
        }
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            self.krate = Some(input.call(Path::parse_mod_style)?);
            return Ok(());
        }
        let known = "a handler has the options `#[wsx::handler(\"type\", on = Endpoint, crate = path)]`, all optional";
        let key: Ident = input.parse().map_err(|error| syn::Error::new(error.span(), known))?;
        if key != "on" {
            return Err(syn::Error::new(key.span(), format!("unknown option `{key}`; {known}")));
        }
        input.parse::<Token![=]>()?;
        self.on = Some(input.parse()?);
        Ok(())
    }
}

/// Only the signature is parsed, so that a body that is half typed keeps its entry, and an editor its completion.
struct Function {
    attrs: Vec<Attribute>,
    signature: Signature,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let start = input.peek(Token![fn])
            || input.peek(Token![async])
            || input.peek(Token![const])
            || input.peek(Token![unsafe])
            || input.peek(Token![extern]);
        if !start {
            return Err(input.error("`#[wsx::handler]` goes on a function"));
        }
        let signature = input.parse()?;
        input.parse::<TokenStream>()?;
        Ok(Self { attrs, signature })
    }
}

fn check(signature: &Signature, errors: &mut Errors) {
    if let Some(generic) =
        signature.generics.params.iter().find(|parameter| !matches!(parameter, GenericParam::Lifetime(_)))
    {
        errors.at(generic, "a handler is registered once, under one type, so it is not generic");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a handler is not variadic");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        errors.at(token, "a handler is called by the library, so it is not `unsafe`");
    }
    for (count, argument) in signature.inputs.iter().enumerate() {
        match argument {
            FnArg::Receiver(receiver) => errors
                .at(receiver, "a handler is a free function: take the endpoint's value as `&Endpoint`, not as `self`"),
            FnArg::Typed(argument) => {
                if let Some(cfg) = argument.attrs.iter().find(|attr| attr.path().is_ident("cfg")) {
                    errors.at(cfg, "`cfg` goes on the handler, not on its argument");
                }
                check_type(&argument.ty, errors);
                if count == MAX_ARGUMENTS {
                    errors.at(argument, "a handler takes at most 6 arguments; put shared state into one struct");
                }
            }
        }
    }
}

fn check_type(ty: &Type, errors: &mut Errors) {
    match ty {
        Type::ImplTrait(ty) => errors.at(ty, "an argument of a handler has a concrete type"),
        Type::Reference(ty) if ty.mutability.is_some() => {
            errors.at(
                ty,
                "handlers run on many connections at once, so no argument is `&mut`; put a `Mutex` into the state",
            );
        }
        _ => {}
    }
}

/// The entry of a function that has passed all checks.
fn entry(args: &Args, function: &Function) -> TokenStream {
    let p = attr::private(args.krate.as_ref());
    let Function { attrs, signature } = function;
    let (name, name_text) = (&signature.ident, signature.ident.to_string());
    let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"));
    let on = match &args.on {
        Some(path) => path.to_token_stream(),
        None => quote!(#p::Untyped),
    };
    let types: Vec<&Type> = signature
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(&*argument.ty),
            FnArg::Receiver(_) => None,
        })
        .collect();
    // The same types, usable outside of the function.
    let probed: Vec<TokenStream> = types.iter().map(|ty| with_lifetimes(ty.to_token_stream(), "'static")).collect();
    let message_type = message_type(args, &p, name, &probed);
    let payloads = payload_checks(args, &p, name, &types, &probed);
    let endpoint_check = args.on.as_ref().map(|on| {
        let p = respan(&p, on.span());
        quote_spanned!(on.span()=> const _: () = #p::is_endpoint::<#on>();)
    });
    let call = call(&p, &on, signature, &types);
    quote! {
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(warnings, clippy::all, clippy::pedantic, reason = "generated code")]
        const _: () = {
            use #p::Plain as _;
            #message_type
            #payloads
            #endpoint_check
            #call
            #p::inventory::submit! {
                #p::Registration {
                    endpoint: #p::TypeId::of::<#on>,
                    entry: || #p::Box::new(#p::HandlerEntry::<#on> {
                        message_type: __TYPE,
                        call: __call,
                        states: &[#(#p::Probe::<#probed>::STATE),*],
                        takes_hub: #p::any(&[#(#p::Probe::<#probed>::HUB),*]),
                        name: concat!(module_path!(), "::", #name_text),
                        file: file!(),
                        line: line!(),
                    }) as #p::Box<dyn #p::Any>,
                }
            }
        };
    }
}

/// The routing key, checked against the payload's own where both are there.
fn message_type(args: &Args, p: &TokenStream, name: &Ident, probed: &[TokenStream]) -> TokenStream {
    let found = quote!(&[#(#p::Probe::<#probed>::MESSAGE),*]);
    let Some(literal) = &args.message_type else {
        let span = name.span();
        let p = respan(p, span);
        let why = format!(
            "no argument of `{name}` is a message: derive `wsx::Message` for the payload, or name the type, as in #[wsx::handler(\"{name}\")]"
        );
        return quote_spanned! {span=>
            const __TYPE: &str = #p::first(#found, "");
            const HANDLER_TYPE: () = #p::ensure(!#p::same(__TYPE, ""), #why.as_bytes());
        };
    };
    if RESERVED.contains(&&*literal.value()) {
        return quote!(const __TYPE: &str = #literal;);
    }
    let span = literal.span();
    let p = respan(p, span);
    quote_spanned! {span=>
        const __TYPE: &str = #literal;
        const HANDLER_TYPE: () = {
            const OWN: &str = #p::first(#found, __TYPE);
            const TEXT: &[&str] = &["the handler says \"", __TYPE, "\", but its message's type is \"", OWN, "\""];
            #p::ensure(#p::same(__TYPE, OWN), &#p::join::<{ #p::total(TEXT) }>(TEXT));
        };
    }
}

/// A frame carries one payload: the second one is blamed, and any where there is no envelope. By probes, so that a type
/// that is no argument at all is reported once, where it is drawn.
fn payload_checks(args: &Args, p: &TokenStream, name: &Ident, types: &[&Type], probed: &[TokenStream]) -> TokenStream {
    let reserved = args
        .message_type
        .as_ref()
        .map(LitStr::value)
        .filter(|text| RESERVED.contains(&&**text) && text != "__unknown__");
    let why = match &reserved {
        Some(reserved) => format!("a handler of `{reserved}` has no payload: there is no envelope to take it from"),
        None => format!("`{name}` takes a second payload here, but a message carries one"),
    };
    let allowed = reserved.is_none();
    let checks = types.iter().zip(probed).enumerate().map(|(at, (ty, probe))| {
        let p = respan(p, ty.span());
        let before = &probed[..at];
        quote_spanned! {ty.span()=>
            const HANDLER_PAYLOAD: () = #p::ensure(
                !(#p::Probe::<#probe>::PAYLOAD && !(#allowed && !#p::any(&[#(#p::Probe::<#before>::PAYLOAD),*]))),
                #why.as_bytes(),
            );
        }
    });
    quote!(#(const _: () = { use #p::Plain as _; #checks };)*)
}

/// Draws the arguments outside of the future, so that a payload that does not fit costs no box, and calls the function.
fn call(p: &TokenStream, on: &TokenStream, signature: &Signature, types: &[&Type]) -> TokenStream {
    let name = &signature.ident;
    let variables: Vec<Ident> =
        types.iter().enumerate().map(|(at, ty)| format_ident!("__argument_{at}", span = ty.span())).collect();
    let draws = variables.iter().zip(types).map(|(variable, ty)| {
        let p = respan(p, ty.span());
        // A lifetime that the handler names is unknown here.
        let ty_here = with_lifetimes(ty.to_token_stream(), "'_");
        quote_spanned! {ty.span()=>
            let #variable: #ty_here = match #p::extract(__context) {
                #p::Result::Ok(value) => value,
                #p::Result::Err(error) => return #p::Outcome::Ready(#p::Result::Err(error)),
            };
        }
    });
    let returned: Span = match &signature.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    // A variable spanned at the return type: a value that cannot be returned is blamed there.
    let value = Ident::new("__returned", returned);
    let reply = {
        let p = respan(p, returned);
        quote_spanned!(returned=> #p::reply(__context, #value))
    };
    let call = quote!(#name(#(#variables),*));
    let body = if signature.asyncness.is_some() {
        // Spanned at the function's name: this is where "future is not `Send`" shows.
        let p = respan(p, name.span());
        quote_spanned! {name.span()=>
            #p::Outcome::Pending(#p::Box::pin(async move {
                let #value = #call.await;
                #reply
            }))
        }
    } else {
        quote! {
            let #value = #call;
            #p::Outcome::Ready(#reply)
        }
    };
    quote! {
        fn __call<'f>(__context: &'f #p::Context<'f, #on>) -> #p::Outcome<'f> {
            #(#draws)*
            #body
        }
    }
}
