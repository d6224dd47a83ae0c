//! The entry of a handler, which draws its arguments and calls it.
use super::{
    args::{Args, RESERVED},
    argument::{Argument, messages},
    signature::{Function, Types as _, cfgs},
    typed::{handled, typed},
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
    // Where nothing else can be the message, it is what the argument is meant to be.
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
    let call = call(args, &p, signature, &arguments);
    quote! {
        #(#cfgs)*
        const _: () = {
            #import
            use #p::{NotHandling as _, Plain as _};
            #endpoint
            #message_type
            #payloads
            #(#doubts)*
            #call
            const __ENTRY: #p::HandlerEntry<__On> = #p::HandlerEntry {
                message_type: __TYPE,
                call: __call,
                payload: #p::any(&[#(#p::Probe::<#outside>::READS),*]),
                states: &[#(#p::Probe::<#outside>::STATE),*],
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

/// In place of an entry with a mistake: says that the message is handled, lest it be reported as missing too.
pub(super) fn stand_in(args: &Args, function: Option<&Function>) -> Option<TokenStream> {
    let function = function?;
    // In an `impl` it could not stand: that would be a second error.
    if args.on.is_none() || args.foreign.is_some() || function.signature.receiver().is_some() {
        return None;
    }
    let Wsx { import, path: p } = Wsx::new(args.krate.as_ref());
    let cfgs = cfgs(&function.attrs);
    // `impl Trait` has no place outside of a signature, and is a mistake already.
    let mut types = function.signature.types();
    types.retain(|ty| !matches!(ty, Type::ImplTrait(_)));
    // Nor has a type parameter.
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
            use #p::Plain as _;
            #endpoint
            const __TYPE: &#p::str = #message_type;
            #handled
        };
    })
}

/// The endpoint, named once: what cannot be found is reported once. And the endpoint where its being one is needed: something
/// that is none is reported by the check made for it.
fn endpoint(args: &Args, p: &TokenStream) -> TokenStream {
    let on = args.on.as_ref().map_or_else(|| quote!(#p::Untyped), ToTokens::to_token_stream);
    quote! {
        type __On = #on;
        type __Endpoint = <() as #p::If<{ #p::Probe::<__On>::ENDPOINT }, __On, #p::Untyped>>::Type;
    }
}

/// The routing key, checked against the payload's own where both are there.
fn message_type(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let found = messages(p, arguments);
    let str = quote!(#p::str);
    let Some(literal) = &args.message_type else {
        if args.sole_message(arguments).is_some() {
            // That it is none is said where its key is asked for.
            return quote!(const __TYPE: &#p::str = #p::first(#found, ""););
        }
        let span = name.span();
        let p = respan(p, span);
        let why = format!(
            "no argument of `{name}` is a message: derive `wsx::Message` for the payload, or name the type, as in #[wsx::handler(\"{}\")]",
            name.to_string().strip_prefix("on_").unwrap_or(&name.to_string())
        );
        // What cannot be an argument is reported where it is drawn.
        let drawn = arguments.iter().map(|argument| {
            let outside = &argument.outside;
            quote!((#p::Probe::<#outside>::PAYLOAD || #p::Probe::<(#outside, __On)>::DRAWN))
        });
        return quote_spanned! {span=>
            const __TYPE: &#str = #p::first(#found, "");
            const _: () = #p::ensure(!#p::same(__TYPE, "") #(|| !#drawn)*, #why);
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

/// A frame carries one payload: the second one is blamed, and any where there is no envelope. By probes, so that a type
/// that is no argument at all is reported once, where it is drawn.
fn payload_checks(args: &Args, p: &TokenStream, name: &Ident, arguments: &[Argument<'_>]) -> TokenStream {
    let reserved = args.reserved().filter(|text| text != "__unknown__");
    let why = match &reserved {
        Some(reserved) => format!("a `{reserved}` handler cannot take a payload: it does not run for an envelope"),
        None => format!("this is a second payload of `{name}`, and a message carries one: put both into one struct"),
    };
    let allowed = reserved.is_none();
    // The first argument can only be a payload too many where there may be none.
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

/// Draws the arguments outside of the future, so that a payload that does not fit costs no box, and calls the function.
fn call(args: &Args, p: &TokenStream, signature: &Signature, arguments: &[Argument<'_>]) -> TokenStream {
    let name = &signature.ident;
    // One identifier for all its uses: under `macro_rules`, a name that is spanned at the user's token is another name.
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
        // A lifetime that the handler names is unknown here.
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
    // A variable spanned at the return type: a value that cannot be returned is blamed there.
    let value = Ident::new("__returned", returned);
    let reply = {
        let p = respan(p, returned);
        if args.reserved().as_deref() == Some("__close__") {
            quote_spanned!(returned=> #p::no_reply(#value))
        } else {
            quote_spanned!(returned=> #p::reply::<__Endpoint, _, _>(#context.role(), #value))
        }
    };
    let call = quote!(#name(#(#variables),*));
    let body = if signature.asyncness.is_some() {
        // Spanned at the function's name: this is where "future is not `Send`" shows.
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

/// Whether one of these names stands in the tokens.
fn names_any(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Group(group) => names_any(group.stream(), names),
        _ => false,
    })
}
