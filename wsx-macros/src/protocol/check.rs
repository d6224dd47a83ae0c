//! Mistakes in a protocol that its text shows.
use super::parse::Protocol;
use crate::shared::Errors;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(protocol: &Protocol, errors: &mut Errors) {
    for flow in &protocol.flows {
        let mut seen = BTreeSet::new();
        for message in &flow.messages {
            if message.short_name().is_none() {
                errors.at(&message.ty, "a message is a type with `#[derive(wsx::Message)]`, named by its path");
            }
            if !seen.insert(&message.alias) {
                errors.push(syn::Error::new(
                    message.span(),
                    format!("this message travels from `{}` to `{}` already", flow.from, flow.to),
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
                        "`{side}` receives another message called `{name}`; import one of them under a name of its own"
                    ),
                ));
            }
        }
    }
}
