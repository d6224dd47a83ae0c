//! One version of a protocol: its messages with their shapes, from the code or from a lock file. It
//! does not know other versions.
use super::{
    describe::{Contract, Describer, NoShape},
    node::{Json, Node, Wrong},
    notation::Both,
    shape::{Shape, Types},
};
use crate::{
    contract::{Described, SchemaOf},
    protocol::{Answer, Travel},
};
use std::collections::BTreeSet;

/// One version of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    /// Those of all programs with these messages, each in 16 hexadecimal digits. A change of Rust
    /// alone may change the fingerprint.
    pub(super) fingerprints: Vec<String>,
    pub(super) is_released: bool,
    /// Sorted by direction and type.
    pub(super) messages: Vec<Entry>,
    /// The types that have themselves inside.
    pub(super) types: BothTypes,
}

/// What the types that have themselves inside write, and what they read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BothTypes {
    pub(super) written: Types,
    pub(super) read: Types,
}

/// One message in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message: Payload,
    pub(super) reply: Option<Payload>,
    pub(super) refusal: Option<Payload>,
    /// As the type declares it; empty for the default.
    pub(super) delivery: String,
}

/// A type string and the shape of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) message_type: String,
    pub(super) data: Both,
}

/// The version of the code, and what is wrong with its description.
pub(super) struct Code {
    pub(super) version: Version,
    pub(super) gaps: Vec<String>,
}

impl Code {
    /// Describes a protocol.
    pub(super) fn of<P: Described>() -> Result<Self, String> {
        let description = P::DESCRIPTION;
        let (mut written, mut read) = (Describer::new(Contract::Written), Describer::new(Contract::Read));
        let mut payload = |message_type: &str, schema: Option<SchemaOf>| -> Result<Payload, String> {
            let schema = schema.ok_or_else(|| no_schema(message_type))?;
            let wrong = |NoShape { path, why }| format!("`{path}` cannot be described: {why}");
            let data = Both {
                written: written.shape(message_type, schema).map_err(wrong)?,
                read: read.shape(message_type, schema).map_err(wrong)?,
            };
            Ok(Payload { message_type: message_type.to_owned(), data })
        };
        let mut messages = Vec::new();
        for (travel, [schema, of_reply, of_refusal]) in description.messages.iter().zip(P::schemas()) {
            let Travel { from, to, message_type, policy, reply, refusal, .. } = travel;
            let mut answer =
                |answer: &Option<Answer>, schema| answer.map(|own| payload(own.message_type, schema)).transpose();
            let (reply, refusal) = (answer(reply, of_reply)?, answer(refusal, of_refusal)?);
            messages.push(Entry {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                message: payload(message_type, schema)?,
                reply,
                refusal,
                delivery: if policy.is_default() { String::new() } else { policy.to_string() },
            });
        }
        messages.sort_by(|one, other| one.place().cmp(&other.place()));
        let mut gaps = written.gaps;
        gaps.extend(read.gaps);
        gaps.sort();
        gaps.dedup();
        let version = Version {
            number: description.version,
            fingerprints: vec![format!("{:016x}", description.fingerprint)],
            is_released: false,
            messages,
            types: BothTypes { written: written.types, read: read.types },
        };
        Ok(Self { version, gaps })
    }
}

fn no_schema(message_type: &str) -> String {
    format!(
        "the message {message_type:?} has no schema: add `#[derive(schemars::JsonSchema)]` of schemars 1 to its type, \
         and to the types of its fields"
    )
}

impl Entry {
    /// Where the message belongs, for the order and for finding it in another version.
    pub(super) fn place(&self) -> (&str, &str, &str) {
        (&self.from, &self.to, &self.message.message_type)
    }
}

impl Version {
    /// Whether both say the same on the wire.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.number, &self.messages, &self.types) == (other.number, &other.messages, &other.types)
    }

    /// Returns the version for a lock file.
    pub(super) fn json(&self) -> Json {
        let messages = self.messages.iter().map(Entry::json).collect();
        let mut entries = vec![
            ("version".to_owned(), Json::Number(self.number)),
            ("fingerprints".to_owned(), Json::List(self.fingerprints.iter().map(Json::text).collect())),
            ("released".to_owned(), Json::Bool(self.is_released)),
            ("messages".to_owned(), Json::List(messages)),
        ];
        if !self.types.written.is_empty() || !self.types.read.is_empty() {
            entries.push(("types".to_owned(), self.types.json()));
        }
        Json::Object(entries)
    }

    /// Reads a version of a lock file.
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Wrong> {
        let mut keys = Keys::of(node)?;
        let types = keys.take_if_there("types").map_or(Ok(BothTypes::default()), |node| BothTypes::read(&node))?;
        let mut messages = Vec::<Entry>::new();
        for node in keys.take("messages")?.list()? {
            let entry = Entry::read(&node)?;
            if messages.iter().any(|other| other.place() == entry.place()) {
                return Err(node.wrong(format!("the message {:?} comes twice", entry.message.message_type)));
            }
            let all = [Some(&entry.message), entry.reply.as_ref(), entry.refusal.as_ref()];
            if let Some(name) = all.into_iter().flatten().find_map(|payload| types.missing(&payload.data)) {
                return Err(node.wrong(format!("the type {name:?} is not among the types of this version")));
            }
            messages.push(entry);
        }
        let fingerprints = keys.take("fingerprints")?.list()?;
        let version = Self {
            number: keys.take("version")?.number()?,
            fingerprints: fingerprints.iter().map(Node::string).collect::<Result<_, _>>()?,
            is_released: keys.take("released")?.bool()?,
            messages,
            types,
        };
        keys.end()?;
        Ok(version)
    }
}

impl BothTypes {
    fn json(&self) -> Json {
        let names: BTreeSet<&String> = self.written.keys().chain(self.read.keys()).collect();
        let both = |name: &String| {
            let alone = |key: &str, shape: &Shape| {
                let both = Both { written: shape.clone(), read: shape.clone() };
                Json::Object(vec![(key.to_owned(), both.json())])
            };
            let json = match (self.written.get(name), self.read.get(name)) {
                (Some(written), Some(read)) => Both { written: written.clone(), read: read.clone() }.json(),
                (Some(written), None) => alone("@written", written),
                (None, read) => alone("@read", read.expect("the name is of one of them")),
            };
            (name.clone(), json)
        };
        Json::Object(names.into_iter().map(both).collect())
    }

    fn read(node: &Node<'_>) -> Result<Self, Wrong> {
        let mut types = Self::default();
        for (name, node) in node.object()? {
            let alone = if node.is_object() { node.object()? } else { Vec::new() };
            match &*alone {
                [(key, one)] if key == "@written" => drop(types.written.insert(name, Both::read(one)?.written)),
                [(key, one)] if key == "@read" => drop(types.read.insert(name, Both::read(one)?.read)),
                _ => {
                    let Both { written, read } = Both::read(&node)?;
                    types.written.insert(name.clone(), written);
                    types.read.insert(name, read);
                }
            }
        }
        Ok(types)
    }

    /// Returns the name of a type that is not there.
    fn missing(&self, data: &Both) -> Option<String> {
        let find = |shape: &Shape, types: &Types| {
            let mut names = Vec::new();
            shape.names(&mut names);
            types.values().for_each(|shape| shape.names(&mut names));
            names.into_iter().find(|name| !types.contains_key(*name)).map(str::to_owned)
        };
        find(&data.written, &self.written).or_else(|| find(&data.read, &self.read))
    }
}

impl Entry {
    fn json(&self) -> Json {
        let Self { from, to, message, reply, refusal, delivery } = self;
        let mut entries = vec![
            ("message".to_owned(), Json::text(&message.message_type)),
            ("from".to_owned(), Json::text(from)),
            ("to".to_owned(), Json::text(to)),
        ];
        if !delivery.is_empty() {
            entries.push(("delivery".to_owned(), Json::text(delivery)));
        }
        entries.push(("data".to_owned(), message.data.json()));
        for (key, answer) in [("reply", reply), ("refusal", refusal)] {
            if let Some(Payload { message_type, data }) = answer {
                let answer = Json::Object(vec![
                    ("message".to_owned(), Json::text(message_type)),
                    ("data".to_owned(), data.json()),
                ]);
                entries.push((key.to_owned(), answer));
            }
        }
        Json::Object(entries)
    }

    fn read(node: &Node<'_>) -> Result<Self, Wrong> {
        let mut keys = Keys::of(node)?;
        let mut answer = |key| {
            let Some(node) = keys.take_if_there(key) else { return Ok(None) };
            let mut keys = Keys::of(&node)?;
            let payload = Payload::read(&mut keys)?;
            keys.end()?;
            Ok(Some(payload))
        };
        let (reply, refusal) = (answer("reply")?, answer("refusal")?);
        let entry = Self {
            from: keys.take("from")?.string()?,
            to: keys.take("to")?.string()?,
            delivery: keys.take_if_there("delivery").map_or(Ok(String::new()), |node| node.string())?,
            message: Payload::read(&mut keys)?,
            reply,
            refusal,
        };
        keys.end()?;
        Ok(entry)
    }
}

impl Payload {
    fn read(keys: &mut Keys<'_>) -> Result<Self, Wrong> {
        Ok(Self { message_type: keys.take("message")?.string()?, data: Both::read(&keys.take("data")?)? })
    }
}

/// The keys of an object that are not yet read.
pub(super) struct Keys<'t> {
    node: Node<'t>,
    entries: Vec<(String, Node<'t>)>,
}

impl<'t> Keys<'t> {
    pub(super) fn of(node: &Node<'t>) -> Result<Self, Wrong> {
        Ok(Self { node: *node, entries: node.object()? })
    }

    pub(super) fn take(&mut self, key: &str) -> Result<Node<'t>, Wrong> {
        self.take_if_there(key).ok_or_else(|| self.node.wrong(format!("the key {key:?} is missing here")))
    }

    pub(super) fn take_if_there(&mut self, key: &str) -> Option<Node<'t>> {
        let at = self.entries.iter().position(|(own, _)| own == key)?;
        Some(self.entries.remove(at).1)
    }

    /// A key that is left is an error: a merge may have put it here.
    pub(super) fn end(self) -> Result<(), Wrong> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, node)) => Err(node.wrong(format!("the key {key:?} is not known"))),
        }
    }
}
