//! `#[derive(Endpoint)]`: a type on which handlers register, and the side that it speaks for.
use crate::shared::{self, Errors, Wsx, last, once, path_span, respan};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Ident, Path};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let (mut side, mut peer, mut partial) = (None::<Path>, None::<Path>, None);
    let wsx = shared::options(&input.attrs, &mut errors, |meta| {
        if meta.path.is_ident("side") {
            once(side.is_some(), &meta.path)?;
            side = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("peer") {
            once(peer.is_some(), &meta.path)?;
            peer = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("partial") {
            partial = Some(meta.path.clone());
        } else {
            return Err(
                meta.error("the options of an endpoint are `#[wsx(side = Side, peer = Side, partial, crate = path)]`")
            );
        }
        Ok(())
    });
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "an endpoint cannot be generic: put what varies into a field");
    }
    for needs_side in [peer.as_ref(), partial.as_ref()].into_iter().flatten().filter(|_| side.is_none()) {
        errors.at(
            needs_side,
            "this option is about the messages of a side: name the side too, as in `#[wsx(side = Server)]`",
        );
    }
    // A generic endpoint would cause a second error, about its parameters.
    let item = input.generics.params.is_empty().then(|| {
        let complete = partial.is_none() && errors.is_empty();
        endpoint(&wsx, &input.ident, side.as_ref(), peer.as_ref(), complete)
    });
    let errors = errors.finish();
    quote!(#errors #item)
}

fn endpoint(wsx: &Wsx, name: &Ident, side: Option<&Path>, peer: Option<&Path>, complete: bool) -> TokenStream {
    let Wsx { import, path: p } = wsx;
    let name_text = name.to_string();
    let sides = match side {
        Some(side) => sides(p, side, peer),
        None => quote! {
            type __Side = #p::AnySide;
            type __Peer = #p::AnyPeer;
        },
    };
    let entries = side.filter(|_| complete).map(|_| entries(p, name, peer));
    quote! {
        const _: () = {
            #import
            #sides
            #[automatically_derived]
            impl #p::IntoEndpoint for #name {
                type Endpoint = Self;
                fn into_endpoint(self) -> Self {
                    self
                }
            }
            #[automatically_derived]
            impl #p::Endpoint for #name {
                type Side = __Side;
                type Peer = __Peer;
                const NAME: &'static #p::str = #name_text;
                const MODULE: &'static #p::str = #p::module_path!();
                #entries
            }
        };
    }
}

/// The side and its peer. Each is named once, so that an unknown name is one error. A type that is
/// not a side is replaced by `AnySide`, so that only the check made here fails.
fn sides(p: &TokenStream, side: &Path, peer: Option<&Path>) -> TokenStream {
    let side_span = path_span(side);
    let at_side = respan(p, side_span);
    let (peer_type, peer_check) = match peer {
        Some(peer) => {
            let peer_text = last(peer).map(Ident::to_string).unwrap_or_default();
            let peer_span = path_span(peer);
            let at_peer = respan(p, peer_span);
            let check = quote_spanned! {peer_span=>
                const _: () = #at_peer::ensure_peer::<__Side>(#p::Probe::<(__Side, __Peer)>::PEER, #peer_text);
            };
            (quote!(#peer), check)
        }
        None => (quote!(<__Side as #p::Side>::Peer), TokenStream::new()),
    };
    quote! {
        use #p::PlainArgument as _;
        type __Named = #side;
        type __Side = <() as #p::If<{ #p::Probe::<__Named>::SIDE }, __Named, #p::AnySide>>::Type;
        type __Peer = #peer_type;
    }
    .into_iter()
    .chain(quote_spanned!(side_span=> const _: () = #at_side::is_side::<__Named>();))
    .chain(peer_check)
    .collect()
}

/// The list of a complete endpoint's handlers, which does not compile while one is missing.
fn entries(p: &TokenStream, name: &Ident, peer: Option<&Path>) -> TokenStream {
    // The protocol makes a function for each peer, because the bounds of the function are the
    // check.
    let list = match peer.and_then(last) {
        Some(peer) => format_ident!("__wsx_entries_from_{peer}", span = Span::call_site()),
        None => format_ident!("__wsx_entries"),
    };
    let reserved = ["RawKey", "OpenKey", "CloseKey", "UnknownKey"].map(|key| format_ident!("{key}"));
    // A type that is not a side, or a side without this peer, does not have the function. Another
    // check reports that. A side's own function takes precedence over this one.
    let otherwise = quote! {
        trait __Unlisted {
            fn #list<__E>() -> #p::Vec<#p::Box<dyn #p::Any>> {
                #p::Vec::new()
            }
        }
        impl<__T> __Unlisted for __T {}
    };
    let result = quote!(#p::Vec<#p::Box<dyn #p::Any>>);
    // The compiler reports a missing handler at this span, the endpoint's name.
    quote_spanned! {name.span()=>
        fn entries() -> #result {
            use #p::Unhandled as _;
            #otherwise
            let mut entries = <__Named>::#list::<#name>();
            #(#p::list(&mut entries, #p::ReservedProbe::<#name, #p::#reserved>::ENTRY);)*
            entries
        }
    }
}
