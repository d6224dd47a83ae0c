//! `#[derive(Endpoint)]`: a type on which handlers register, and the side that it speaks for.
use crate::attr::{self, Errors, once};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Path};

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let (mut side, mut peer, mut partial) = (None::<Path>, None::<Path>, None);
    let private = attr::options(&input.attrs, &mut errors, |meta| {
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
                meta.error("an endpoint has the options `#[wsx(side = Side, peer = Side, partial, crate = path)]`")
            );
        }
        Ok(())
    });
    if !input.generics.params.is_empty() {
        errors.at(&input.generics, "an endpoint is one type, so it is not generic; put what varies into a field");
    }
    for needs_side in [peer.as_ref(), partial.as_ref()].into_iter().flatten().filter(|_| side.is_none()) {
        errors.at(needs_side, "this says something of a side's messages, so name the side: `#[wsx(side = Side)]`");
    }
    let name = &input.ident;
    let name_text = name.to_string();
    let generics = &input.generics;
    let (side_type, peer_type) = match (&side, &peer) {
        (Some(side), Some(peer)) => (quote!(#side), quote!(#peer)),
        (Some(side), None) => (quote!(#side), quote!(<#side as #private::Side>::Peer)),
        (None, _) => (quote!(#private::AnySide), quote!(#private::AnyPeer)),
    };
    let complete = match &side {
        Some(side) if partial.is_none() && errors.is_empty() => Some(entries(&private, input, side, peer.as_ref())),
        _ => None,
    };
    // Not for a generic one: that would be a second error, about what its parameters are.
    let item = generics.params.is_empty().then(|| {
        quote! {
            #[automatically_derived]
            impl #private::Endpoint for #name {
                type Side = #side_type;
                type Peer = #peer_type;
                const NAME: &'static str = #name_text;
                const MODULE: &'static str = #private::module_path!();
                #complete
            }
        }
    });
    let errors = errors.finish();
    quote!(#errors #item)
}

/// The list of a complete endpoint's handlers, which does not compile while one is missing.
fn entries(private: &TokenStream, input: &DeriveInput, side: &Path, peer: Option<&Path>) -> TokenStream {
    let name = &input.ident;
    // The protocol makes a function for each peer, since only a function of its own can say what it needs.
    let list = match peer.and_then(|peer| peer.segments.last()) {
        Some(peer) => format_ident!("__wsx_entries_from_{}", peer.ident),
        None => format_ident!("__wsx_entries"),
    };
    let reserved = ["RawKey", "OpenKey", "CloseKey", "UnknownKey"].map(|key| format_ident!("{key}"));
    // Spanned at the endpoint's name, which is where a missing handler shows.
    quote_spanned! {name.span()=>
        fn entries() -> #private::Vec<#private::Box<dyn #private::Any>> {
            use #private::Unhandled as _;
            let mut entries = <#side>::#list::<#name>();
            #(#private::list(&mut entries, #private::ReservedProbe::<#name, #private::#reserved>::ENTRY);)*
            entries
        }
    }
}
