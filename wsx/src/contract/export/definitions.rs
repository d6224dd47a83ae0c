//! The schemas of a protocol's messages as those need them that are not Rust: what they receive is
//! written by Rust, and what they send is read by Rust. It does not know documents.
use super::{
    links::remove_links,
    references::{Names, reachable, references, rename},
    talk::Sides,
};
use crate::{
    contract::{Described, SchemaOf, describe::Contract},
    protocol::Travel,
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Added to the name of a type that goes both ways, and has another schema where it is sent.
const SENT: &str = "Sent";

/// The schemas of all messages.
#[derive(Debug)]
pub(super) struct Definitions {
    /// By name, without those that only the hub needs.
    pub(super) all: BTreeMap<String, Value>,
    /// In the order of the protocol.
    pub(super) messages: Vec<Schemas>,
    /// Before the name in each reference.
    prefix: String,
}

/// The schemas of a message, of its reply, and of its refusal.
#[derive(Debug)]
pub(super) struct Schemas {
    pub(super) travel: &'static Travel,
    pub(super) message: Ends,
    pub(super) reply: Option<Ends>,
    pub(super) refusal: Option<Ends>,
}

/// The schema of a value at the ends that dial.
#[derive(Debug)]
pub(super) struct Ends {
    /// If one of them receives it.
    pub(super) received: Option<Value>,
    /// If one of them sends it.
    pub(super) sent: Option<Value>,
}

impl Definitions {
    /// Makes the schemas with these settings. A name is an identifier of TypeScript, and none of
    /// `taken`.
    pub(super) fn of<P: Described>(
        sides: &Sides,
        settings: &SchemaSettings,
        taken: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let generator = |contract| {
            let settings = settings.clone().with(|settings| settings.meta_schema = None);
            match contract {
                Contract::Written => settings.for_serialize().into_generator(),
                Contract::Read => settings.for_deserialize().into_generator(),
            }
        };
        let (mut written, mut read) = (generator(Contract::Written), generator(Contract::Read));
        let mut messages = Vec::new();
        for (travel, schemas) in P::DESCRIPTION.messages.iter().zip(P::schemas()) {
            let mut ends = |from: &str, to: &str, schema: Option<SchemaOf>| {
                // In both contracts, so that types of one name have the same numbers in both.
                let [received, sent] = [&mut written, &mut read].map(|generator| {
                    let mut schema = schema?(generator).to_value();
                    remove_links(&mut schema);
                    Some(schema)
                });
                Ends { received: received.filter(|_| to != sides.hub), sent: sent.filter(|_| from != sides.hub) }
            };
            let [message, reply, refusal] = schemas;
            messages.push(Schemas {
                travel,
                message: ends(travel.from, travel.to, message),
                reply: travel.reply.map(|_| ends(travel.to, travel.from, reply)),
                refusal: travel.refusal.map(|_| ends(travel.to, travel.from, refusal)),
            });
        }
        let prefix = format!("#{}/", settings.definitions_path.trim_end_matches('/'));
        let mut definitions = [written, read].map(|mut generator| generator.take_definitions(true));
        for (definitions, pick) in definitions.iter_mut().zip(Ends::PICKS) {
            let roots = messages.iter_mut().flat_map(Schemas::ends).filter_map(|ends| pick(ends).as_ref());
            *definitions = reachable(roots, definitions, &prefix);
        }
        let [written, read] = &definitions;
        let joined = join(written, read, &prefix, taken);
        for ends in messages.iter_mut().flat_map(Schemas::ends) {
            for (pick, names) in Ends::PICKS.into_iter().zip([&joined.written, &joined.read]) {
                pick(ends).iter_mut().for_each(|schema| rename(schema, &prefix, names));
            }
        }
        Ok(Self { all: joined.all, messages, prefix })
    }

    /// Follows the reference that the schema of a message mostly is.
    pub(super) fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let name = reference.and_then(|reference| reference.rsplit('/').next());
        name.and_then(|name| self.all.get(name)).unwrap_or(schema)
    }

    /// The names of the types that a schema refers to.
    pub(super) fn inside(&self, schema: &Value) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        references(schema, &self.prefix, &mut names);
        names
    }

    /// The schemas of a message.
    pub(super) fn find(&self, travel: &Travel) -> &Schemas {
        self.messages.iter().find(|schemas| schemas.travel == travel).expect("it is a message of the protocol")
    }
}

impl Schemas {
    fn ends(&mut self) -> impl Iterator<Item = &mut Ends> {
        [Some(&mut self.message), self.reply.as_mut(), self.refusal.as_mut()].into_iter().flatten()
    }
}

impl Ends {
    /// What Rust writes, and what Rust reads.
    const PICKS: [fn(&mut Self) -> &mut Option<Value>; 2] = [|ends| &mut ends.received, |ends| &mut ends.sent];

    /// The schema as the hub knows it: what it sends, or else what it takes.
    pub(super) fn at_hub(&self) -> &Value {
        self.received.as_ref().or(self.sent.as_ref()).expect("one of two ends is not the hub")
    }
}

/// The definitions of both contracts, with the names that they have here.
struct Joined {
    all: BTreeMap<String, Value>,
    written: Names,
    read: Names,
}

fn join(written: &Map<String, Value>, read: &Map<String, Value>, prefix: &str, taken: impl Fn(&str) -> bool) -> Joined {
    let both: BTreeSet<&String> = written.keys().filter(|name| read.contains_key(*name)).collect();
    let mut differ: BTreeSet<&String> = both.iter().copied().filter(|name| written[*name] != read[*name]).collect();
    // What refers to a type that differs, differs too.
    loop {
        let before = differ.len();
        let refers = |name: &&&String| {
            let mut names = BTreeSet::new();
            references(&written[**name], prefix, &mut names);
            names.iter().any(|name| differ.contains(name))
        };
        let more: Vec<&String> = both.iter().filter(refers).copied().collect();
        differ.extend(more);
        if differ.len() == before {
            break;
        }
    }
    let mut joined = Joined { all: BTreeMap::new(), written: Names::new(), read: Names::new() };
    let mut used = BTreeSet::new();
    let mut name_for = |wanted: String| {
        let mut name = identifier(&wanted);
        while taken(&name) || !used.insert(name.clone()) {
            name.push('_');
        }
        name
    };
    for name in written.keys().collect::<BTreeSet<_>>() {
        joined.written.insert(name.clone(), name_for(name.clone()));
    }
    for name in read.keys().collect::<BTreeSet<_>>() {
        let own = match joined.written.get(name) {
            Some(_) if differ.contains(name) => name_for(format!("{name}{SENT}")),
            Some(same) => same.clone(),
            None => name_for(name.clone()),
        };
        joined.read.insert(name.clone(), own);
    }
    for (definitions, names) in [(written, &joined.written), (read, &joined.read)] {
        for (name, schema) in definitions {
            let mut schema = schema.clone();
            rename(&mut schema, prefix, names);
            remove_links(&mut schema);
            joined.all.insert(names[name].clone(), schema);
        }
    }
    joined
}

/// A name that is an identifier of TypeScript, and a key of AsyncAPI.
pub(super) fn identifier(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(letter).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}
