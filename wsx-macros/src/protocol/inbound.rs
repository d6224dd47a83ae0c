//! The enum of the messages that a side receives, for programs that match on it themselves.
use super::{
    expand::type_string,
    parse::{Answer, Message, Named, Protocol},
};
use crate::shared::respan;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Ident;

/// The enum itself.
pub(super) fn item(protocol: &Protocol, side: &Ident) -> TokenStream {
    let visibility = &protocol.visibility;
    let Inbound { name, messages, variants, lifetime } = Inbound::new(protocol, side);
    let doc = format!("Any message that [`{side}`] receives.");
    let docs = messages.iter().zip(&variants).map(|(message, variant)| {
        let (docs, plain) = (&message.docs, format!("A `{variant}`."));
        let docs = if docs.is_empty() { quote!(#[doc = #plain]) } else { quote!(#(#docs)*) };
        let answer = message.checked_answer().map(answer_doc);
        quote!(#docs #answer)
    });
    let payloads = messages.iter().map(|message| message.named.generic());
    // The doc comments of the lines to this side.
    let lines = protocol.flows.iter().filter(|flow| flow.to == *side && !flow.docs.is_empty()).map(|flow| {
        let (from, docs) = (format!("From [`{}`]:", flow.from), &flow.docs);
        quote!(#[doc = ""] #[doc = #from] #(#docs)*)
    });
    quote! {
        #[doc = #doc]
        #(#lines)*
        #visibility enum #name #lifetime {
            #(#docs #variants(#payloads),)*
        }
    }
}

/// The paragraph about a request's reply.
fn answer_doc(Answer { reply, refusal }: &Answer) -> TokenStream {
    let name = |named: &Named| named.short_name().map(ToString::to_string).unwrap_or_default();
    let mut text = format!(" A request. Its reply is `{}`", name(reply));
    if let Some(refusal) = refusal {
        text += &format!(", and `{}` refuses it", name(refusal));
    }
    text.push('.');
    quote!(#[doc = ""] #[doc = #text])
}

/// `decode` and `Debug`.
pub(super) fn impls(protocol: &Protocol, p: &TokenStream, side: &Ident) -> TokenStream {
    let Inbound { name, messages, variants, lifetime } = Inbound::new(protocol, side);
    let on_decode = lifetime.is_none().then(|| quote!(<'f>));
    // One identifier for all its uses: under `macro_rules`, the same name at a user's span is
    // another variable.
    let [message_type, data] = ["message_type", "data"].map(|name| Ident::new(name, Span::call_site()));
    let decodes = messages.iter().zip(&variants).map(|(message, variant)| {
        let (type_string, ty) = (type_string(p, &message.named), message.named.generic());
        // The compiler reports a message that cannot be decoded at this span.
        let span = message.named.span();
        let at_message = respan(p, span);
        quote_spanned! {span=>
            if #message_type == #type_string {
                return #p::Option::Some(#at_message::Decoding::<#ty>::decode(#data).map(Self::#variant));
            }
        }
    });
    let texts = variants.iter().map(ToString::to_string);
    let (nothing, shown) = match variants.is_empty() {
        true => (Some(quote!(let _ = (#message_type, #data);)), quote!(match *self {})),
        false => (
            None,
            quote!(match self { #(Self::#variants(message) => #p::show(f, #texts, #p::Shown(message).get()),)* }),
        ),
    };
    let decode_doc =
        format!("The message of this type with this data; `None` when [`{side}`] does not receive the type.");
    quote! {
        impl #lifetime #name #lifetime {
            #[doc = #decode_doc]
            pub fn decode #on_decode (#message_type: &#p::str, #data: &'f #p::str) -> #p::Option<#p::Result<Self, #p::serde_json::Error>> {
                #nothing
                #(#decodes)*
                #p::Option::None
            }
        }
        // Not marked as derived: the compiler would ignore it and report that nothing reads the
        // messages.
        impl #lifetime #p::Debug for #name #lifetime {
            fn fmt(&self, f: &mut #p::Formatter<'_>) -> #p::FmtResult {
                #shown
            }
        }
        // Uses the items once, since no lint may report those that a program does not use.
        const _: () = { let _ = #name::decode; };
    }
}

struct Inbound<'a> {
    name: Ident,
    messages: Vec<&'a Message>,
    variants: Vec<&'a Ident>,
    /// If a message borrows.
    lifetime: Option<TokenStream>,
}

impl<'a> Inbound<'a> {
    fn new(protocol: &'a Protocol, side: &Ident) -> Self {
        let messages = protocol.inbound(side);
        let variants = messages.iter().filter_map(|message| message.named.short_name()).collect();
        let lifetime = messages.iter().any(|message| message.named.borrows()).then(|| quote!(<'f>));
        Self { name: format_ident!("{side}Inbound"), messages, variants, lifetime }
    }
}
