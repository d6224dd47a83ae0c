//! The files `client.ts` and `client.js`: the client, and the sides that it can play. Beside them,
//! `store.ts` and `store.js`: where a page keeps messages.
use super::{
    talk::{Sides, Talk},
    types::interface,
    typescript::{key, quoted},
};
use crate::{
    policy::Policy,
    protocol::{Description, Travel},
};
use std::fmt::Write as _;

/// What a file has in each language, without a protocol.
struct Runtime {
    typescript: &'static str,
    javascript: &'static str,
}

const CLIENT: Runtime = Runtime { typescript: include_str!("client.ts"), javascript: include_str!("client.js") };
const STORE: Runtime = Runtime { typescript: include_str!("store.ts"), javascript: include_str!("store.js") };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    TypeScript,
    JavaScript,
}

impl Runtime {
    /// Returns the file in this language, with its first line.
    fn file(&self, Description { name, version, .. }: &Description, language: Language) -> String {
        let text = match language {
            Language::TypeScript => self.typescript,
            Language::JavaScript => self.javascript,
        };
        format!("// {name} v{version}, written by `wsx::contract::export!`. Do not change this file.\n{text}")
    }
}

/// Returns the file of the store.
pub(super) fn store(description: &Description, language: Language) -> String {
    STORE.file(description, language)
}

/// Returns the file of the client. `wire_key` gives the name of a message's key in its JSON.
pub(super) fn client(
    description: &Description,
    sides: &Sides,
    language: Language,
    wire_key: impl Fn(&Travel) -> Option<String>,
) -> String {
    let Description { name, version, .. } = description;
    let is_typed = language == Language::TypeScript;
    let mut text = CLIENT.file(description, language);
    if is_typed {
        text += "\nimport type * as types from \"./types.js\";\n";
    }
    for talk in sides.dialling() {
        let interface = interface(description, &talk);
        let annotation = if is_typed { format!(": Side<types.{interface}>") } else { String::new() };
        let _ = write!(
            text,
            "\n/** {} in {name} v{version}. */\nexport const {interface}{annotation} = {{\n  protocol: {},\n  \
             version: {version},\n  fingerprint: \"{:016x}\",\n  side: {},\n",
            talk.side,
            quoted(name),
            description.fingerprint,
            quoted(talk.side),
        );
        groups(&mut text, &talk, &wire_key);
        text += "};\n";
    }
    text
}

fn groups(text: &mut String, talk: &Talk, wire_key: &impl Fn(&Travel) -> Option<String>) {
    let Talk { sends, requests, receives, answers, .. } = talk;
    for (group, all) in [("sends", sends), ("requests", requests), ("receives", receives), ("answers", answers)] {
        if all.is_empty() {
            let _ = writeln!(text, "  {group}: {{}},");
            continue;
        }
        let _ = writeln!(text, "  {group}: {{");
        for travel in all {
            let entries = entries(travel, wire_key).join(", ");
            let _ = writeln!(text, "    {}: {{ {entries} }},", key(travel.message_type));
        }
        text.push_str("  },\n");
    }
}

/// The answers to a request, or how another message is delivered.
fn entries(travel: &Travel, wire_key: &impl Fn(&Travel) -> Option<String>) -> Vec<String> {
    if let Some(reply) = &travel.reply {
        let refusal = travel.refusal.as_ref().map_or_else(|| "null".to_owned(), |own| quoted(own.message_type));
        return vec![format!("reply: {}", quoted(reply.message_type)), format!("refusal: {refusal}")];
    }
    let Policy { delivery, ttl, full, .. } = &travel.policy;
    let mut all = vec![format!("delivery: \"{delivery}\"")];
    all.extend(ttl.map(|_| format!("ttl: {}", travel.policy.ttl_milliseconds())));
    all.extend(wire_key(travel).map(|name| format!("key: {}", quoted(&name))));
    all.extend((!full.is_default()).then(|| format!("full: \"{full}\"")));
    all
}
