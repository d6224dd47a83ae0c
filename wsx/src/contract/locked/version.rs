//! One version of a protocol: its messages with their shapes, from the code or from a lock file. It
//! does not know other versions.
use super::{
    node::{Json, Node, Wrong},
    notation::Both,
    shape::{Shape, Types},
};
use std::collections::BTreeSet;

/// One version of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Version {
    pub(in crate::contract) number: u32,
    /// Those of all programs with these messages, each in 16 hexadecimal digits. A change of Rust
    /// alone may change the fingerprint.
    pub(in crate::contract) fingerprints: Vec<String>,
    pub(in crate::contract) is_released: bool,
    /// Sorted by direction and type.
    pub(in crate::contract) messages: Vec<Entry>,
    /// The types that have themselves inside.
    pub(in crate::contract) types: BothTypes,
}

/// What the types that have themselves inside write, and what they read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::contract) struct BothTypes {
    pub(in crate::contract) written: Types,
    pub(in crate::contract) read: Types,
}

/// One message in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Entry {
    pub(in crate::contract) from: String,
    pub(in crate::contract) to: String,
    pub(in crate::contract) message: Payload,
    pub(in crate::contract) reply: Option<Payload>,
    pub(in crate::contract) refusal: Option<Payload>,
    /// As the type declares it; empty for the default.
    pub(in crate::contract) delivery: String,
}

/// A type string and the shape of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Payload {
    pub(in crate::contract) message_type: String,
    pub(in crate::contract) data: Both,
}

impl Entry {
    /// Where the message belongs, for the order and for finding it in another version.
    pub(in crate::contract) fn place(&self) -> (&str, &str, &str) {
        (&self.from, &self.to, &self.message.message_type)
    }
}

impl Version {
    /// Whether both say the same on the wire.
    pub(in crate::contract) fn is_same(&self, other: &Self) -> bool {
        (self.number, &self.messages, &self.types) == (other.number, &other.messages, &other.types)
    }

    /// Returns the version for a lock file.
    pub(in crate::contract) fn json(&self) -> Json {
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
    pub(in crate::contract) fn read(node: &Node<'_>) -> Result<Self, Wrong> {
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
pub(in crate::contract) struct Keys<'t> {
    node: Node<'t>,
    entries: Vec<(String, Node<'t>)>,
}

impl<'t> Keys<'t> {
    pub(in crate::contract) fn of(node: &Node<'t>) -> Result<Self, Wrong> {
        Ok(Self { node: *node, entries: node.object()? })
    }

    pub(in crate::contract) fn take(&mut self, key: &str) -> Result<Node<'t>, Wrong> {
        self.take_if_there(key).ok_or_else(|| self.node.wrong(format!("the key {key:?} is missing here")))
    }

    pub(in crate::contract) fn take_if_there(&mut self, key: &str) -> Option<Node<'t>> {
        let at = self.entries.iter().position(|(own, _)| own == key)?;
        Some(self.entries.remove(at).1)
    }

    /// A key that is left is an error: a merge may have put it here.
    pub(in crate::contract) fn end(self) -> Result<(), Wrong> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, node)) => Err(node.wrong(format!("the key {key:?} is not known"))),
        }
    }
}
