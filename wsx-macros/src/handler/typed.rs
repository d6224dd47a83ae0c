//! The checks of a handler on an endpoint.
use super::{
    argument::{Argument, candidates, place},
    attribute::Args,
};
use crate::shared::{last, path_span, respan};
use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{LitStr, Path};

/// Registers the handler with the type system, and checks that it is the only one for its message,
/// and that its side receives the message.
pub(super) fn typed(args: &Args, p: &TokenStream, name: &Ident, on: &Path, arguments: &[Argument<'_>]) -> TokenStream {
    let on_span = path_span(on);
    let at_on = respan(p, on_span);
    let on_text = last(on).map(Ident::to_string).unwrap_or_default();
    let endpoint = quote_spanned!(on_span=> #at_on::is_endpoint::<__On>(););
    let where_from = match &args.foreign {
        None => {
            let why = format!(
                "`{on_text}` is an endpoint of another crate: write `#[wsx::handler(.., on = {on_text}, foreign)]`, and `partial` \
                 where `{on_text}` is declared"
            );
            quote_spanned!(on_span=> #at_on::ensure(__IS_HERE, #why);)
        }
        Some(foreign) => {
            let why = format!("`{on_text}` is an endpoint of this crate: remove `foreign`");
            let p = respan(p, foreign.span());
            quote_spanned!(foreign.span()=> #p::ensure(!__IS_HERE, #why);)
        }
    };
    let is_here = is_here(p);
    // Two handlers for one message conflict here. The error shows both, at the literal or at the
    // function's name.
    let place = args.message_type.as_ref().map_or_else(|| name.span(), LitStr::span);
    let handles = args.foreign.is_none().then(|| {
        let key = args.key(p, arguments);
        quote_spanned! {place=>
            struct __Elsewhere;
            impl #p::HandledOnceBy<<() as #p::If<__IS_HERE, __On, __Elsewhere>>::Type, __On> for #key {
                const ENTRY: fn() -> #p::Box<dyn #p::Any> = || #p::listed(__ENTRY);
            }
        }
    });
    let message = args.sole_message(arguments).and_then(|argument| argument.must_be_message(p));
    let direction = direction_checks(args, p, arguments);
    // One constant, because each costs compile time. A type that is not an endpoint fails first, by
    // its type; the rest is then not evaluated.
    quote! {
        #is_here
        #handles
        const _: () = { #endpoint #where_from #message #direction };
    }
}

/// Checks that the side receives the message. The error is at the argument that is the message, or
/// at the literal if none is.
fn direction_checks(args: &Args, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    if args.reserved().is_some() {
        return TokenStream::new();
    }
    let count = candidates(arguments).count();
    let found = place(p, arguments);
    let directions = candidates(arguments).enumerate().filter(|(_, argument)| !argument.wraps).map(|(at, argument)| {
        let (span, ty) = (argument.span(), &argument.outside);
        // An argument that is not the message may come to any side.
        let (to, at_type) = (Ident::new("__To", span), respan(p, span));
        let check = quote_spanned!(span=> #at_type::receives::<#to, __From, #ty>(););
        quote! {{
            type __To = <() as #p::If<{ #found == #at }, <__Endpoint as #p::Endpoint>::Side, #p::AnySide>>::Type;
            type __From = <__Endpoint as #p::Endpoint>::Peer;
            #check
        }}
    });
    let literal = args.message_type.as_ref().map(|literal| {
        let side = quote!(<__Endpoint as #p::Endpoint>::Side);
        let p = respan(p, literal.span());
        let mistakes = arguments.iter().flat_map(Argument::mistakes);
        quote_spanned! {literal.span()=>
            #p::ensure_inbound::<#side>(#found != #count, __TYPE);
            #p::ensure_reply::<#side>(#found != #count #(|| #mistakes)*, __TYPE);
        }
    });
    quote!(#(#directions)* #literal)
}

/// Names the answer that the protocol expects from the handler. Each mistake of the handler that
/// another check reports makes any answer right, so that there is one error.
pub(super) fn expected(args: &Args, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    if args.on.is_none() || args.reserved().is_some() {
        return quote!(type __Handler = #p::PlainHandler<__Endpoint>;);
    }
    let found = place(p, arguments);
    let types: Vec<&TokenStream> = candidates(arguments).map(|argument| &argument.outside).collect();
    let count = types.len();
    let message = match &*types {
        [] => quote!(#p::Nothing),
        [only] => quote!(#only),
        _ => quote!(<(#(#types,)* #p::Nothing,) as #p::At<{ #found }, ()>>::Type),
    };
    quote! {
        type __Message = #message;
        type __Side = <__Endpoint as #p::Endpoint>::Side;
        type __Expecting = <(__Side, #p::AnySide, #p::Stray) as #p::At<
            { #p::expecting::<__Side>(#found != #count, #p::Probe::<(__Message, __On)>::NAMED, __TYPE) },
            (),
        >>::Type;
        type __Expected = <__Expecting as #p::Receives<__Message, <__Endpoint as #p::Endpoint>::Peer>>::Answer;
        type __Handler = <__Expected as #p::Expected<__Endpoint>>::Handler;
    }
}

/// Declares that `__On` handles this message, for a handler with a mistake.
pub(super) fn handled(args: &Args, p: &TokenStream, arguments: &[Argument<'_>]) -> TokenStream {
    let key = args.key(p, arguments);
    let is_here = is_here(p);
    quote! {
        #is_here
        struct __Elsewhere;
        impl #p::HandledOnceBy<<() as #p::If<__IS_HERE, __On, __Elsewhere>>::Type, __On> for #key {
            const ENTRY: fn() -> #p::Box<dyn #p::Any> = #p::mistaken;
        }
    }
}

/// Whether the endpoint belongs to this crate.
fn is_here(p: &TokenStream) -> TokenStream {
    quote!(const __IS_HERE: #p::bool = #p::same_crate(#p::Probe::<__On>::MODULE, #p::module_path!());)
}
