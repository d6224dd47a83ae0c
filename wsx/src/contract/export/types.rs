//! The file `types.ts`: the types of a protocol, and what each side says and hears.
use super::{
    definitions::{Definitions, Ends},
    model::{Field, Object, Type, docs},
    talk::{Sides, Talk},
    typescript::{INT64, define, is_taken},
};
use crate::{
    contract::Described,
    protocol::{Description, Travel},
};
use schemars::generate::SchemaSettings;

/// Returns the schemas for `types.ts`.
pub(super) fn definitions<P: Described>(sides: &Sides) -> Result<Definitions, String> {
    let interfaces: Vec<String> = sides.dialling().iter().map(|talk| interface(&P::DESCRIPTION, talk)).collect();
    let is_taken = |name: &str| is_taken(name) || interfaces.iter().any(|own| own == name);
    Definitions::of::<P>(sides, &SchemaSettings::draft2020_12(), is_taken)
}

/// The name of a side's interface.
pub(super) fn interface(description: &Description, talk: &Talk) -> String {
    format!("{}{}", description.name, talk.side)
}

/// Returns `types.ts`.
pub(super) fn types(description: &Description, sides: &Sides, definitions: &Definitions) -> String {
    let Description { name, version, .. } = description;
    let mut text = format!(
        "// {name} v{version}, written by `wsx::contract::export!`. Change the types in Rust, not this file.\n\n\
         /** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */\n\
         export type {INT64} = number | bigint;\n"
    );
    for talk in sides.dialling() {
        let docs = format!("What {} says and hears in {name} v{version}.", talk.side);
        define(&mut text, &interface(description, &talk), &docs, &groups(&talk, definitions));
    }
    for (name, schema) in &definitions.all {
        define(&mut text, name, &docs(schema), &Type::of(schema));
    }
    text
}

/// The four groups of a side's messages.
fn groups(talk: &Talk, definitions: &Definitions) -> Type {
    let sent = |ends: &Ends| Type::of(ends.sent.as_ref().expect("the side sends it"));
    let received = |ends: &Ends| Type::of(ends.received.as_ref().expect("the side receives it"));
    let plain = |travel: &Travel, of: &dyn Fn(&Ends) -> Type| of(&definitions.find(travel).message);
    let request = |travel: &Travel, asks: &dyn Fn(&Ends) -> Type, answers: &dyn Fn(&Ends) -> Type| {
        let schemas = definitions.find(travel);
        let never = Type::OneOf(Vec::new());
        object([
            ("request", asks(&schemas.message)),
            ("reply", schemas.reply.as_ref().map_or(never.clone(), answers)),
            ("refusal", schemas.refusal.as_ref().map_or(never, answers)),
        ])
    };
    let group = |all: &[&'static Travel], of: &dyn Fn(&Travel) -> Type| {
        object(all.iter().map(|travel| (travel.message_type, of(travel))))
    };
    object([
        ("sends", group(&talk.sends, &|travel| plain(travel, &sent))),
        ("requests", group(&talk.requests, &|travel| request(travel, &sent, &received))),
        ("receives", group(&talk.receives, &|travel| plain(travel, &received))),
        ("answers", group(&talk.answers, &|travel| request(travel, &received, &sent))),
    ])
}

fn object<'n>(fields: impl IntoIterator<Item = (&'n str, Type)>) -> Type {
    let field =
        |(name, value): (&str, Type)| Field { name: name.to_owned(), docs: String::new(), is_optional: false, value };
    let fields: Vec<Field> = fields.into_iter().map(field).collect();
    // An object that is known to be empty would be another type.
    if fields.is_empty() { Type::Named("{}".to_owned()) } else { Type::Object(Object { fields, rest: None }) }
}
