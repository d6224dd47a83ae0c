//! Mistakes in a protocol that the macro sees in its text.
use super::parse::Protocol;
use crate::shared::Errors;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(protocol: &Protocol, errors: &mut Errors) {
    for flow in &protocol.flows {
        let mut seen = BTreeSet::new();
        for message in &flow.messages {
            if message.short_name().is_none() {
                errors.at(&message.ty, "this is not the path of a type: name a type with `#[derive(wsx::Message)]`");
            }
            if !seen.insert(&message.alias) {
                errors.push(syn::Error::new(
                    message.span(),
                    format!("`{}` already sends this message to `{}`: remove one of the two", flow.from, flow.to),
                ));
            }
        }
    }
    for side in protocol.sides() {
        let mut names = BTreeMap::new();
        for message in protocol.inbound(&side) {
            let Some(name) = message.short_name() else { continue };
            if names.insert(name.to_string(), ()).is_some() {
                errors.push(syn::Error::new(
                    name.span(),
                    format!(
                        "`{side}` already receives a message called `{name}`: import one of the two under another name"
                    ),
                ));
            }
        }
    }
}
