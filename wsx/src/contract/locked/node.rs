//! JSON with line numbers, and JSON for people: what fits into a line stays in one. It does not
//! know what a lock file says.
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt::{self, Write as _};

/// Maximum length of a line that has a value with parts, in characters.
const WIDTH: usize = 100;

/// A value in a text, with its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::contract) struct Node<'t> {
    text: &'t str,
    json: &'t str,
}

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(in crate::contract) struct Wrong {
    /// The line, from 1.
    pub(in crate::contract) line: usize,
    pub(in crate::contract) what: String,
}

impl<'t> Node<'t> {
    /// Returns the value of a whole text.
    pub(in crate::contract) fn of(text: &'t str) -> Result<Self, Wrong> {
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| Wrong { line: error.line().max(1), what: format!("this is not JSON: {error}") })?;
        Ok(Self { text, json: raw.get() })
    }

    pub(in crate::contract) fn line(&self) -> usize {
        // The value is a part of the text.
        let at = self.json.as_ptr() as usize - self.text.as_ptr() as usize;
        self.text[..at].matches('\n').count() + 1
    }

    pub(in crate::contract) fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong { line: self.line(), what: what.into() }
    }

    fn read<T: Deserialize<'t>>(&self, expected: &str) -> Result<T, Wrong> {
        serde_json::from_str(self.json).map_err(|_| self.wrong(format!("expected {expected}")))
    }

    fn node(&self, raw: &'t RawValue) -> Self {
        Self { text: self.text, json: raw.get() }
    }

    pub(in crate::contract) fn string(&self) -> Result<String, Wrong> {
        self.read("a string")
    }

    pub(in crate::contract) fn number(&self) -> Result<u32, Wrong> {
        self.read("a number without a fraction")
    }

    pub(in crate::contract) fn bool(&self) -> Result<bool, Wrong> {
        self.read("true or false")
    }

    pub(in crate::contract) fn list(&self) -> Result<Vec<Self>, Wrong> {
        let all: Vec<&RawValue> = self.read("a list")?;
        Ok(all.into_iter().map(|raw| self.node(raw)).collect())
    }

    pub(in crate::contract) fn is_list(&self) -> bool {
        self.json.starts_with('[')
    }

    pub(in crate::contract) fn is_object(&self) -> bool {
        self.json.starts_with('{')
    }

    pub(in crate::contract) fn is_string(&self) -> bool {
        self.json.starts_with('"')
    }

    /// Returns the entries of an object, in their order. A key that comes twice is an error.
    pub(in crate::contract) fn object(&self) -> Result<Vec<(String, Self)>, Wrong> {
        let Entries(all) = self.read("an object")?;
        let mut entries = Vec::<(String, Self)>::with_capacity(all.len());
        for (key, raw) in all {
            let node = self.node(raw);
            if entries.iter().any(|(own, _)| *own == key) {
                return Err(node.wrong(format!("the key {key:?} comes twice")));
            }
            entries.push((key, node));
        }
        Ok(entries)
    }
}

/// The entries of an object, also those whose keys are equal.
struct Entries<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Entries(all))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A value that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) enum Json {
    Text(String),
    Bool(bool),
    Number(u32),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Json {
    pub(in crate::contract) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns the value, with a line break at the end.
    pub(in crate::contract) fn pretty(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0, 0);
        text.push('\n');
        text
    }

    fn write(&self, to: &mut String, indent: usize, before: usize) {
        let line = self.in_a_line();
        let parts = match self {
            Self::List(all) if !all.is_empty() => all.len(),
            Self::Object(all) if !all.is_empty() => all.len(),
            _ => return to.push_str(&line),
        };
        if 2 * indent + before + line.chars().count() < WIDTH {
            return to.push_str(&line);
        }
        let (open, close) = if matches!(self, Self::List(_)) { ('[', ']') } else { ('{', '}') };
        to.push(open);
        for at in 0..parts {
            let _ = write!(to, "{}\n{:2$}", if at > 0 { "," } else { "" }, "", 2 * (indent + 1));
            match self {
                Self::List(all) => all[at].write(to, indent + 1, 1),
                Self::Object(all) => {
                    let key = quoted(&all[at].0);
                    let _ = write!(to, "{key}: ");
                    all[at].1.write(to, indent + 1, key.chars().count() + 3);
                }
                _ => {}
            }
        }
        let _ = write!(to, "\n{:1$}{close}", "", 2 * indent);
    }

    fn in_a_line(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match self {
            Self::Text(text) => quoted(text),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::List(all) => format!("[{}]", joined(all.iter().map(Self::in_a_line).collect())),
            Self::Object(all) => {
                let entry = |(key, value): &(String, Self)| format!("{}: {}", quoted(key), value.in_a_line());
                format!("{{{}}}", joined(all.iter().map(entry).collect()))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}
