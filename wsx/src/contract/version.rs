//! One version of a protocol: its messages with their shapes, from the code or from a lock file. It
//! does not know other versions.
use super::{
    describe::{Contract, Describer, NoShape},
    node::{Json, Node, Wrong},
    notation::Both,
    shape::Types,
};
use crate::{
    contract::Described,
    protocol::{Answer, Travel},
};
use std::collections::BTreeMap;

/// One version of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    /// In 16 hexadecimal digits.
    pub(super) fingerprint: String,
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
        let schemas: BTreeMap<_, _> = P::schemas().into_iter().collect();
        let (mut written, mut read) = (Describer::new(Contract::Written), Describer::new(Contract::Read));
        let mut payload = |message_type: &str| -> Result<Payload, String> {
            let schema = schemas.get(message_type).copied().flatten().ok_or_else(|| no_schema(message_type))?;
            let wrong = |NoShape { path, why }| format!("`{path}` cannot be described: {why}");
            let data = Both {
                written: written.shape(message_type, schema).map_err(wrong)?,
                read: read.shape(message_type, schema).map_err(wrong)?,
            };
            Ok(Payload { message_type: message_type.to_owned(), data })
        };
        let mut messages = Vec::new();
        for Travel { from, to, message_type, policy, reply, refusal, .. } in description.messages {
            let mut answer = |answer: &Option<Answer>| answer.map(|own| payload(own.message_type)).transpose();
            let (reply, refusal) = (answer(reply)?, answer(refusal)?);
            messages.push(Entry {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                message: payload(message_type)?,
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
            fingerprint: format!("{:016x}", description.fingerprint),
            is_released: false,
            messages,
            types: BothTypes { written: written.types, read: read.types },
        };
        Ok(Self { version, gaps })
    }
}

fn no_schema(message_type: &str) -> String {
    format!(
        "the message {message_type:?} has no schema: add `#[derive(schemars::JsonSchema)]` to its type, \
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
            ("fingerprint".to_owned(), Json::text(&self.fingerprint)),
            ("released".to_owned(), Json::Bool(self.is_released)),
            ("messages".to_owned(), Json::List(messages)),
        ];
        if !self.types.written.is_empty() {
            let both = |(name, written): (&String, _)| {
                let read = self.types.read.get(name).unwrap_or(written).clone();
                (name.clone(), Both { written: written.clone(), read }.json())
            };
            entries.push(("types".to_owned(), Json::Object(self.types.written.iter().map(both).collect())));
        }
        Json::Object(entries)
    }

    /// Reads a version of a lock file.
    pub(super) fn read(node: &Node<'_>) -> Result<Self, Wrong> {
        let mut keys = Keys::of(node)?;
        let messages = keys.take("messages")?.list()?;
        let mut types = BothTypes::default();
        if let Some(node) = keys.take_if_there("types") {
            for (name, node) in node.object()? {
                let Both { written, read } = Both::read(&node)?;
                types.written.insert(name.clone(), written);
                types.read.insert(name, read);
            }
        }
        let version = Self {
            number: keys.take("version")?.number()?,
            fingerprint: keys.take("fingerprint")?.string()?,
            is_released: keys.take("released")?.bool()?,
            messages: messages.iter().map(Entry::read).collect::<Result<_, _>>()?,
            types,
        };
        keys.end()?;
        Ok(version)
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
