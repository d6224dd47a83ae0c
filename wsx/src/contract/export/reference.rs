//! The file `protocol.md`: the protocol for people.
use super::{
    definitions::{Definitions, Ends},
    markdown::{cell, code, describe},
    model::{Type, docs},
    talk::Sides,
};
use crate::protocol::{Description, Travel};
use std::{collections::BTreeSet, fmt::Write as _};

/// Returns `protocol.md`.
pub(super) fn reference(description: &Description, docs: &str, sides: &Sides, definitions: &Definitions) -> String {
    let Description { name, version, fingerprint, messages } = description;
    let dialling: Vec<String> = sides.dialling().iter().map(|talk| code(talk.side)).collect();
    let mut text = format!(
        "<!-- Written by `wsx::contract::export!`. Change the types in Rust, not this file. -->\n\n# {name} v{version}\n"
    );
    if !docs.is_empty() {
        let _ = write!(text, "\n{docs}\n");
    }
    let example = messages.first().map_or("", |first| first.message_type);
    let _ = write!(
        text,
        "\n| version | fingerprint | hub | dials |\n|---|---|---|---|\n| {version} | `{fingerprint:016x}` | {} | {} |\n\n\
         Each message is one text message of a WebSocket. It is an envelope, which has the message in `data`:\n\n\
         ```json\n{{\"ver\": 1, \"type\": {}, \"ts\": 1732969200, \"data\": …}}\n```\n\n",
        code(sides.hub),
        dialling.join(", "),
        serde_json::Value::from(example),
    );
    text += "| from | to | message | reply | refusal | delivery |\n|---|---|---|---|---|---|\n";
    for travel in *messages {
        let _ = writeln!(text, "{}", row(travel));
    }
    for travel in *messages {
        message(&mut text, travel, definitions);
    }
    let names = inner_types(definitions);
    if !names.is_empty() {
        text += "\n## Types\n";
    }
    for (name, schema) in definitions.all.iter().filter(|(name, _)| names.contains(*name)) {
        let _ = write!(text, "\n### {name}\n");
        section(&mut text, schema);
    }
    text
}

fn row(travel: &Travel) -> String {
    let Travel { from, to, message_type, policy, .. } = travel;
    let answer = |answer: Option<&str>| answer.map_or_else(String::new, |name| cell(&code(name)));
    let delivery = if policy.is_default() { String::new() } else { cell(&policy.to_string()) };
    let title = title(travel);
    let anchor: String =
        title.to_lowercase().chars().filter(|letter| letter.is_alphanumeric() || "-_ ".contains(*letter)).collect();
    format!(
        "| {from} | {to} | [{}](#{}) | {} | {} | {delivery} |",
        cell(&code(message_type)),
        anchor.replace(' ', "-"),
        answer(travel.reply.map(|reply| reply.message_type)),
        answer(travel.refusal.map(|refusal| refusal.message_type)),
    )
}

fn title(Travel { from, to, message_type, .. }: &Travel) -> String {
    format!("{} from {from} to {to}", code(message_type))
}

fn message(text: &mut String, travel: &Travel, definitions: &Definitions) {
    let schemas = definitions.find(travel);
    let _ = write!(text, "\n## {}\n", title(travel));
    section(text, definitions.resolve(schemas.message.at_hub()));
    if !travel.policy.is_default() {
        let _ = write!(text, "\nDelivery: {}.\n", code(&travel.policy.to_string()));
    }
    let answers = [("Reply", &travel.reply, &schemas.reply), ("Refusal", &travel.refusal, &schemas.refusal)];
    for (what, answer, ends) in answers {
        if let Some((answer, ends)) = answer.as_ref().zip(ends.as_ref()) {
            let _ = write!(text, "\n### {what}: {}\n", code(answer.message_type));
            section(text, definitions.resolve(ends.at_hub()));
        }
    }
}

/// The docs and the fields.
fn section(text: &mut String, schema: &serde_json::Value) {
    let docs = docs(schema);
    if !docs.trim().is_empty() {
        let _ = write!(text, "\n{}\n", docs.trim());
    }
    let _ = write!(text, "\n{}", describe(&Type::of(schema)));
}

/// The types that others have inside.
fn inner_types(definitions: &Definitions) -> BTreeSet<String> {
    let ends = definitions.messages.iter().flat_map(|schemas| {
        [Some(&schemas.message), schemas.reply.as_ref(), schemas.refusal.as_ref()].into_iter().flatten()
    });
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for ends in ends.map(Ends::at_hub) {
        open.extend(definitions.inside(definitions.resolve(ends)));
    }
    while let Some(name) = open.pop() {
        if let Some(schema) = definitions.all.get(&name).filter(|_| found.insert(name)) {
            open.extend(definitions.inside(schema));
        }
    }
    found
}
