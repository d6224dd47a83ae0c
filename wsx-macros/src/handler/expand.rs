//! The entry of a handler, which takes its arguments from the context and calls it.
use super::{
    argument::{Argument, messages},
    attribute::{Args, RESERVED},
    signature::{Function, Types as _, cfgs},
    typed::{expected, handled, typed},
};
use crate::shared::{Wsx, respan, type_span, with_lifetimes};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{GenericParam, Ident, ReturnType, Signature, Type};

/// The entry of a function that has passed all checks.
pub(super) fn entry(args: &Args, function: &Function) -> TokenStream {
    let Wsx { import, path: p } = Wsx::new(args.krate.as_ref());
    let Function { attrs, signature, .. } = function;
    let (name, name_text) = (&signature.ident, signature.ident.to_string());
    let cfgs = cfgs(attrs);
    let types = signature.types();
    let arguments = args.arguments(&p, &types);
    let outside: Vec<&TokenStream> = arguments.iter().map(|argument| &argument.outside).collect();
    let message_type = message_type(args, &p, name, &arguments);
    let payloads = payload_checks(args, &p, name, &arguments);
    let doubts = arguments.iter().filter_map(|argument| argument.check(&respan(&p, argument.span())));
    let endpoint = endpoint(args, &p);
    let typed = args.on.as_ref().map(|on| typed(args, &p, name, on, &arguments));
    // Only with a message or a type string is it clear what the handler is meant to handle.
    let has_type =
        args.message_type.is_some() || arguments.iter().any(|argument| argument.may_be_message() && !argument.wraps);
    let meant = arguments.iter().find_map(|argument| argument.meant.as_ref()).filter(|_| has_type).map(|meant| {
        let handled = handled(args, &p, &arguments);
        quote! {
            const _: () = {
                type __On = #meant;
                #handled
            };
        }
    });
    let expected = expected(args, &p, &arguments);
    let concurrent = args.concurrent.as_ref().map_or(1, |concurrent| concurrent.calls);
    let call = call(args, &p, signature, &arguments);
    quote! {
        #(#cfgs)*
        const _: () = {
            #import
            use #p::{NotHandling as _, Plain as _, PlainArgument as _};
            #endpoint
            #message_type
            #payloads
            #(#doubts)*
            #expected
            #call
            const __ENTRY: #p::HandlerEntry<__On> = #p::HandlerEntry {
                message_type: __TYPE,
                call: __call,
                payload: #p::any(&[#(#p::Probe::<#outside>::READS),*]),
                states: &[#(#p::Probe::<#outside>::STATE),*],
                concurrent: #concurrent,
                takes_hub: #p::any(&[#(#p::Probe::<#outside>::HUB),*]),
                name: #p::concat!(#p::module_path!(), "::", #name_text),
                file: #p::file!(),
                line: #p::line!(),
            };
            #typed
            #meant
            #p::inventory::submit! {
                #p::Registration { endpoint: #p::TypeId::of::<__On>, entry: || #p::listed(__ENTRY) }
            }
        };
    }
}

/// Replaces the entry of a handler with a mistake. The message counts as handled, so that it is not
/// reported as missing too.
pub(super) fn stand_in(args: &Args, function: Option<&Function>) -> Option<TokenStream> {
    let function = function?;
    // The items cannot stand in an `impl`: that would be a second error.
    if args.on.is_none() || args.foreign.is_some() || function.signature.receiver().is_some() {
        return None;
    }
    let Wsx { import, path: p } = Wsx::new(args.krate.as_ref());
    let cfgs = cfgs(&function.attrs);
    // `impl Trait` and type parameters cannot be named outside of the signature.
    let mut types = function.signature.types();
    types.retain(|ty| !matches!(ty, Type::ImplTrait(_)));
    // Types that name a parameter.
    let parameters = function.signature.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    });
    let parameters: Vec<&Ident> = parameters.collect();
    types.retain(|ty| !names_any(ty.to_token_stream(), &parameters));
    let arguments = args.arguments(&p, &types);
    let found = messages(&p, &arguments);
    let message_type = match &args.message_type {
        Some(literal) => quote!(#literal),
        None => quote!(#p::first(#found, "")),
    };
    let endpoint = endpoint(args, &p);
    let handled = handled(args, &p, &arguments);
    Some(quote! {
        #(#cfgs)*
        const _: () = {
            #import
            use #p::{Plain as _, PlainArgument as _};
            #endpoint
            const __TYPE: &#p::str = #message_type;
            #handled
        };
    })
}

/// Names the endpoint once, so that an unknown name is one error. `__Endpoint` is always an
/// endpoint: the check of `__On` reports a type that is not one.
fn endpoint(args: &Args, p: &TokenStream) -> TokenStream {
    let on = args.on.as_ref().map_or_else(|| quote!(#p::Untyped), ToTokens::to_token_stream);
    quote! {
        type __On = #on;
        type __Endpoint = <() as #p::If<{ #p::Probe::<__On>::ENDPOINT }, __On, #p::Untyped>>::Type;
    }
}

/// The routing key, compared with the payload's own type string if both are given.
fn message_type(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let found = messages(p, arguments);
    let str = quote!(#p::str);
    let Some(literal) = &args.message_type else {
        if args.sole_message(arguments).is_some() {
            // An argument that is not a message is reported where its key is needed.
            return quote!(const __TYPE: &#p::str = #p::first(#found, ""););
        }
        let span = name.span();
        let p = respan(p, span);
        let why = format!(
            "no argument of `{name}` is a message: derive `wsx::Message` for the payload, or name the type, as in #[wsx::handler(\"{}\")]",
            name.to_string().strip_prefix("on_").unwrap_or(&name.to_string())
        );
        // A type that cannot be an argument is reported at the argument.
        let reported = arguments.iter().map(|argument| {
            let (outside, reported) = (&argument.outside, argument.is_reported(&p));
            quote!(#reported || !(#p::Probe::<#outside>::PAYLOAD || #p::Probe::<(#outside, __On)>::DRAWN))
        });
        return quote_spanned! {span=>
            const __TYPE: &#str = #p::first(#found, "");
            const _: () = #p::ensure(!#p::same(__TYPE, "") #(|| #reported)*, #why);
        };
    };
    if RESERVED.contains(&&*literal.value()) {
        return quote!(const __TYPE: &#p::str = #literal;);
    }
    let span = literal.span();
    let p = respan(p, span);
    quote_spanned! {span=>
        const __TYPE: &#str = #literal;
        const _: () = #p::ensure_type(__TYPE, #p::first(#found, __TYPE));
    }
}

/// Rejects a second payload, and any payload of a reserved type without an envelope. A probe asks:
/// a type that cannot be an argument is reported elsewhere.
fn payload_checks(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let reserved = args.reserved().filter(|text| text != "__unknown__");
    let why = match &reserved {
        Some(reserved) => format!("a `{reserved}` handler cannot take a payload: it does not run for an envelope"),
        None => format!("this is a second payload of `{name}`, and a message carries one: put both into one struct"),
    };
    let allowed = reserved.is_none();
    // The first argument can only be one payload too many if none is allowed.
    let suspects = arguments.iter().enumerate().skip(usize::from(allowed));
    let checks = suspects.map(|(at, argument)| {
        let (span, ty) = (argument.span(), &argument.outside);
        let p = respan(p, span);
        let holds = if allowed {
            let before = arguments[..at].iter().map(|argument| &argument.outside);
            quote!(!(#p::Probe::<#ty>::PAYLOAD && #p::any(&[#(#p::Probe::<#before>::PAYLOAD),*])))
        } else {
            quote!(!#p::Probe::<#ty>::READS)
        };
        quote_spanned!(span=> const _: () = #p::ensure(#holds, #why);)
    });
    quote!(#(#checks)*)
}

/// Takes the arguments outside of the future, so that a payload that does not fit costs no box, and
/// calls the function.
fn call(args: &Args, p: &TokenStream, signature: &Signature, arguments: &[Argument<'_>]) -> TokenStream {
    let name = &signature.ident;
    // One identifier for all its uses: under `macro_rules`, the same name at a user's span is
    // another variable.
    let context = Ident::new("__context", Span::call_site());
    let variables: Vec<Ident> = arguments
        .iter()
        .enumerate()
        .map(|(at, argument)| format_ident!("__argument_{at}", span = argument.span()))
        .collect();
    let sole = args.sole_message(arguments).map(std::ptr::from_ref);
    let draws = variables.iter().zip(arguments).map(|(variable, argument)| {
        let span = argument.span();
        let arms = quote! {
            #p::Result::Ok(value) => value,
            #p::Result::Err(error) => return #p::Outcome::Ready(#p::Result::Err(error)),
        };
        let p = respan(p, span);
        // A lifetime that the handler declares is unknown here.
        let ty_here = with_lifetimes(argument.ty.to_token_stream(), "'_");
        let drawn_from = argument.drawn_from(&p, sole == Some(std::ptr::from_ref(argument)));
        quote_spanned! {span=>
            let #variable: #ty_here = match #p::Handling::<#drawn_from>::extract::<#ty_here, _>(#context) { #arms };
        }
    });
    let returned: Span = match &signature.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => type_span(ty),
    };
    // The compiler reports a value that cannot be returned at this span, the return type.
    let value = Ident::new("__returned", returned);
    let reply = {
        let p = respan(p, returned);
        if args.reserved().as_deref() == Some("__close__") {
            quote_spanned!(returned=> #p::no_reply(#value))
        } else {
            quote_spanned!(returned=> <__Handler>::reply(#context.reply_to(), #value))
        }
    };
    let call = quote!(#name(#(#variables),*));
    let body = if signature.asyncness.is_some() {
        // The compiler reports a future that is not `Send` at this span, the function's name.
        let p = respan(p, name.span());
        quote_spanned! {name.span()=>
            #p::Handling::<__On>::pending(async move {
                let #value = #call.await;
                #reply
            })
        }
    } else {
        quote! {
            let #value = #call;
            #p::Outcome::Ready(#reply)
        }
    };
    quote! {
        fn __call<'f>(#context: &'f #p::Context<'f, __On>) -> #p::Outcome<'f> {
            #(#draws)*
            #body
        }
    }
}

/// Whether the tokens contain one of these names.
fn names_any(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Group(group) => names_any(group.stream(), names),
        _ => false,
    })
}
