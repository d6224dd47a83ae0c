//! Mistakes in a protocol that the macro sees in its text.
use super::parse::{Answer, Message, Named, Protocol};
use crate::shared::Errors;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(protocol: &Protocol, errors: &mut Errors) {
    for flow in &protocol.flows {
        let mut seen = BTreeSet::new();
        for message in &flow.messages {
            check_path(&message.named, errors);
            if !seen.insert(&message.named.alias) {
                errors.push(syn::Error::new(
                    message.named.span(),
                    format!("`{}` already sends this message to `{}`: remove one of the two", flow.from, flow.to),
                ));
            }
        }
    }
    check_answers(protocol, errors);
    for side in protocol.sides() {
        let mut names = BTreeMap::new();
        for message in protocol.inbound(&side) {
            let Some(name) = message.named.short_name() else { continue };
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

fn check_path(named: &Named, errors: &mut Errors) {
    if named.short_name().is_none() {
        errors.at(&named.ty, "this is not the path of a type: name a type with `#[derive(wsx::Message)]`");
    }
}

/// Checks the replies and refusals, and that a message has the same answer wherever it is named.
fn check_answers(protocol: &Protocol, errors: &mut Errors) {
    let mut first = BTreeMap::new();
    // The two directions of a line with `<->` are one place in the program.
    let mut checked = BTreeSet::new();
    for message in protocol.flows.iter().flat_map(|flow| &flow.messages) {
        let form = message.answer.as_ref().map(Answer::aliases);
        let known = first.entry(&message.named.alias).or_insert_with(|| (form.clone(), message));
        if known.0 != form {
            errors.push(syn::Error::new(message.named.span(), another_form(message, known.1)));
        } else if let (Some(answer), true) = (&message.answer, checked.insert(&message.named.alias)) {
            check_answer(answer, errors);
        }
    }
}

fn another_form(message: &Message, first: &Message) -> String {
    let name = |named: &Named| named.short_name().map(ToString::to_string).unwrap_or_default();
    let form = |message: &Message| match &message.answer {
        None => "a message without a reply".to_owned(),
        Some(Answer { reply, refusal: None }) => format!("a request with the reply `{}`", name(reply)),
        Some(Answer { reply, refusal: Some(refusal) }) => {
            format!("a request with the reply `{}` and the refusal `{}`", name(reply), name(refusal))
        }
    };
    format!(
        "`{}` is {} here, but {} before: a message has one form in a protocol",
        name(&message.named),
        form(message),
        form(first)
    )
}

fn check_answer(answer: &Answer, errors: &mut Errors) {
    for named in answer.types() {
        check_path(named, errors);
        if named.short_name().is_some() && named.borrows() {
            errors.push(syn::Error::new(
                named.span(),
                "a reply owns its data, because it outlives its message: name a type without lifetimes",
            ));
        }
    }
    if let Some(refusal) = answer.refusal.as_ref().filter(|refusal| refusal.alias == answer.reply.alias) {
        errors.push(syn::Error::new(
            refusal.span(),
            "the refusal is the reply: a request is refused with a message of another type",
        ));
    }
}
