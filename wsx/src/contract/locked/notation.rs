//! How a lock file writes a shape: what is written and what is read together, because they mostly
//! differ in what may be missing. It does not know messages.
use super::{
    node::{Json, Node, Wrong},
    shape::{Field, Keys, Length, Object, Range, Rest, Shape},
};
use std::collections::BTreeMap;

/// What a type writes, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Both {
    pub(in crate::contract) written: Shape,
    pub(in crate::contract) read: Shape,
}

impl Both {
    /// Returns it for a lock file.
    pub(in crate::contract) fn json(&self) -> Json {
        json(&self.written, &self.read)
    }

    /// Reads it from a lock file.
    pub(in crate::contract) fn read(node: &Node<'_>) -> Result<Self, Wrong> {
        if node.is_string() {
            let shape = word(node, &node.string()?)?;
            return Ok(Self::same(shape));
        }
        if node.is_list() {
            let all = node.list()?.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
            let (written, read) = all.into_iter().map(|both| (both.written, both.read)).unzip();
            return Ok(Self { written: Shape::OneOf(written), read: Shape::OneOf(read) });
        }
        let entries = node.object()?;
        if let [(key, value)] = &*entries {
            if let Some((name, note)) = special(key) {
                match name {
                    "list" => {
                        let length = length(note).ok_or_else(|| value.wrong(format!("{key:?} is not a list")))?;
                        return Ok(Self::read(value)?.each(|shape| Shape::List(Box::new(shape), length)));
                    }
                    "map" => {
                        let keys = keys(note).ok_or_else(|| value.wrong(format!("{key:?} is not a map")))?;
                        return Ok(Self::read(value)?.each(|shape| Shape::Map(keys, Box::new(shape))));
                    }
                    "tuple" => {
                        let all = value.list()?.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
                        let (written, read) = all.into_iter().map(|both| (both.written, both.read)).unzip();
                        return Ok(Self { written: Shape::Tuple(written), read: Shape::Tuple(read) });
                    }
                    _ => {}
                }
            }
        }
        if let [(written, one), (read, other)] = &*entries {
            if (&**written, &**read) == ("@written", "@read") {
                return Ok(Self { written: Self::read(one)?.written, read: Self::read(other)?.read });
            }
        }
        object(&entries)
    }

    fn same(shape: Shape) -> Self {
        Self { written: shape.clone(), read: shape }
    }

    fn each(self, make: impl Fn(Shape) -> Shape) -> Self {
        Self { written: make(self.written), read: make(self.read) }
    }
}

fn object(entries: &[(String, Node<'_>)]) -> Result<Both, Wrong> {
    let (mut written, mut read) = (Object::default(), Object::default());
    for (key, node) in entries {
        match special(key) {
            Some(("rest", "")) => {
                let both = Both::read(node)?;
                (written.rest, read.rest) = (Rest::Entries(Box::new(both.written)), Rest::Entries(Box::new(both.read)));
                continue;
            }
            Some(("rejects_others", "")) => {
                if node.bool()? {
                    (written.rest, read.rest) = (Rest::Rejected, Rest::Rejected);
                }
                continue;
            }
            Some(("name", _)) | None => {}
            Some((name, _)) => return Err(node.wrong(format!("`@{name}` is not known"))),
        }
        let (name, marks) = name_and_marks(key).ok_or_else(|| node.wrong(format!("{key:?} is not a field")))?;
        if written.fields.contains_key(&name) || read.fields.contains_key(&name) {
            return Err(node.wrong(format!("the field {name:?} comes twice")));
        }
        let both = Both::read(node)?;
        if !marks.contains('<') {
            let field = Field { shape: both.written, is_optional: marks.contains('~') };
            written.fields.insert(name.clone(), field);
        }
        if !marks.contains('>') {
            read.fields.insert(name, Field { shape: both.read, is_optional: marks.contains('?') });
        }
    }
    Ok(Both { written: Shape::Object(written), read: Shape::Object(read) })
}

/// The word after an `@`, and what is in brackets after it.
fn special(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix('@')?;
    match rest.split_once('(') {
        Some((name, note)) => Some((name, note.split_once(')')?.0)),
        None => Some((rest, "")),
    }
}

/// The marks of a field: `?` if a reader does without it, `~` if a writer may leave it out, `>` if
/// it is only written, `<` if it is only read. A name that ends with one of them, or begins with
/// `@`, is in brackets.
fn key_of(name: &str, marks: &str) -> String {
    let is_plain = !name.starts_with('@') && !name.ends_with(['?', '~', '<', '>']) && !name.is_empty();
    if is_plain { format!("{name}{marks}") } else { format!("@name({}){marks}", name.len()) + name }
}

fn name_and_marks(key: &str) -> Option<(String, &str)> {
    if let Some(rest) = key.strip_prefix("@name(") {
        let (length, rest) = rest.split_once(')')?;
        let at = rest.len().checked_sub(length.parse().ok()?)?;
        return Some((rest.get(at..)?.to_owned(), rest.get(..at)?));
    }
    let name = key.trim_end_matches(['?', '~', '<', '>']);
    let marks = &key[name.len()..];
    let is_once = ["", "?", "~", "?~", ">", "~>", "<", "?<"].contains(&marks);
    is_once.then(|| (name.to_owned(), marks))
}

fn json(written: &Shape, read: &Shape) -> Json {
    match (written, read) {
        (Shape::List(item, length), Shape::List(other, same)) if length == same => {
            let note = if *length == Length::default() { String::new() } else { format!("({length})") };
            Json::Object(vec![(format!("@list{note}"), json(item, other))])
        }
        (Shape::Map(keys, values), Shape::Map(same, others)) if keys == same => {
            let note = match keys {
                Keys::Text => "",
                Keys::Unsigned => "(unsigned)",
                Keys::Signed => "(integer)",
            };
            Json::Object(vec![(format!("@map{note}"), json(values, others))])
        }
        (Shape::Tuple(items), Shape::Tuple(others)) if items.len() == others.len() => {
            let items = items.iter().zip(others).map(|(item, other)| json(item, other)).collect();
            Json::Object(vec![("@tuple".to_owned(), Json::List(items))])
        }
        (Shape::OneOf(all), Shape::OneOf(others)) if all.len() == others.len() => {
            Json::List(all.iter().zip(others).map(|(one, other)| json(one, other)).collect())
        }
        (Shape::Object(one), Shape::Object(other)) if is_alike(&one.rest, &other.rest) => object_json(one, other),
        (one, other) if one == other => Json::text(text_of(one)),
        (one, other) => {
            Json::Object(vec![("@written".to_owned(), json(one, one)), ("@read".to_owned(), json(other, other))])
        }
    }
}

fn is_alike(one: &Rest, other: &Rest) -> bool {
    one == other || matches!((one, other), (Rest::Entries(_), Rest::Entries(_)))
}

fn object_json(written: &Object, read: &Object) -> Json {
    let mut fields = BTreeMap::<&str, (Option<&Field>, Option<&Field>)>::new();
    for (name, field) in &written.fields {
        fields.entry(name).or_default().0 = Some(field);
    }
    for (name, field) in &read.fields {
        fields.entry(name).or_default().1 = Some(field);
    }
    let mut entries = Vec::new();
    for (name, (own, other)) in fields {
        let mut marks = String::new();
        if other.is_some_and(|field| field.is_optional) {
            marks.push('?');
        }
        if own.is_some_and(|field| field.is_optional) {
            marks.push('~');
        }
        if other.is_none() {
            marks.push('>');
        }
        if own.is_none() {
            marks.push('<');
        }
        let either = own.or(other).expect("one of them has it");
        let (own, other) = (own.unwrap_or(either), other.unwrap_or(either));
        entries.push((key_of(name, &marks), json(&own.shape, &other.shape)));
    }
    match (&written.rest, &read.rest) {
        (Rest::Entries(entry), Rest::Entries(other)) => entries.push(("@rest".to_owned(), json(entry, other))),
        (Rest::Rejected, _) => entries.push(("@rejects_others".to_owned(), Json::Bool(true))),
        _ => {}
    }
    Json::Object(entries)
}

/// Writes a shape without parts.
fn text_of(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any".to_owned(),
        Shape::Text(Some(format)) => format!("string({format})"),
        Shape::Constant(json) => format!("={json}"),
        Shape::Named(name) => format!("#{name}"),
        plain => plain.to_string(),
    }
}

/// Reads a shape without parts.
fn word(node: &Node<'_>, word: &str) -> Result<Shape, Wrong> {
    if let Some(json) = word.strip_prefix('=') {
        return Ok(Shape::Constant(json.to_owned()));
    }
    if let Some(name) = word.strip_prefix('#') {
        return Ok(Shape::Named(name.to_owned()));
    }
    if let Some(format) = word.strip_prefix("string(").and_then(|rest| rest.strip_suffix(')')) {
        return Ok(Shape::Text(Some(format.to_owned())));
    }
    let range = || {
        let (least, most) = word.split_once("..")?;
        Some(Range { least: least.parse().ok()?, most: most.parse().ok()? })
    };
    Ok(match word {
        "any" => Shape::Any,
        "null" => Shape::Null,
        "bool" => Shape::Bool,
        "float" => Shape::Float,
        "string" => Shape::Text(None),
        "char" => Shape::Char,
        other => match Range::of(other).or_else(range) {
            Some(range) => Shape::Integer(range),
            None => return Err(node.wrong(format!("{word:?} is not a shape"))),
        },
    })
}

fn length(note: &str) -> Option<Length> {
    if note.is_empty() {
        return Some(Length::default());
    }
    let (least, most) = note.split_once("..")?;
    let most = if most.is_empty() { None } else { Some(most.parse().ok()?) };
    Some(Length { least: least.parse().ok()?, most })
}

fn keys(note: &str) -> Option<Keys> {
    match note {
        "" => Some(Keys::Text),
        "unsigned" => Some(Keys::Unsigned),
        "integer" => Some(Keys::Signed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes shapes from the bits of a number.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> u64 {
            // Knuth's multiplier of a linear congruential generator.
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }

        fn name(&mut self) -> String {
            ["a", "b?", "@c", "d~>", "@name(1)x", "", "e"][self.below(7) as usize].to_owned()
        }

        fn shape(&mut self, depth: u64) -> Shape {
            let kinds = if depth == 0 { 11 } else { 16 };
            match self.below(kinds) {
                0 => Shape::Any,
                1 => Shape::Null,
                2 => Shape::Bool,
                3 => Shape::Integer(Range::of(["u8", "i64", "u128", "i16"][self.below(4) as usize]).unwrap()),
                4 => Shape::Integer(Range { least: -5, most: 5 }),
                5 => Shape::Float,
                6 => Shape::Text(None),
                7 => Shape::Text(Some("date-time".to_owned())),
                8 => Shape::Char,
                9 => Shape::Constant("\"=#a\\n\"".to_owned()),
                10 => Shape::Named("Tree".to_owned()),
                11 => {
                    let most = (self.below(2) == 0).then_some(7);
                    Shape::List(Box::new(self.shape(depth - 1)), Length { least: self.below(3), most })
                }
                12 => Shape::Tuple((0..self.below(3)).map(|_| self.shape(depth - 1)).collect()),
                13 => {
                    let keys = [Keys::Text, Keys::Unsigned, Keys::Signed][self.below(3) as usize];
                    Shape::Map(keys, Box::new(self.shape(depth - 1)))
                }
                14 => Shape::OneOf((0..2 + self.below(2)).map(|_| self.shape(depth - 1)).collect()),
                _ => {
                    let rest = match self.below(3) {
                        0 => Rest::Ignored,
                        1 => Rest::Rejected,
                        _ => Rest::Entries(Box::new(self.shape(depth - 1))),
                    };
                    let field = |dice: &mut Self| {
                        let is_optional = dice.below(2) == 0;
                        (dice.name(), Field { shape: dice.shape(depth - 1), is_optional })
                    };
                    Shape::Object(Object { fields: (0..self.below(4)).map(|_| field(self)).collect(), rest })
                }
            }
        }
    }

    /// Row U3: what is written is read again, as the same shapes.
    #[test]
    fn what_is_written_is_read_again() {
        for seed in 0..20_000 {
            let mut dice = Dice(seed);
            let written = dice.shape(3);
            let read = if dice.below(2) == 0 { written.clone() } else { dice.shape(3) };
            let both = Both { written, read };
            let text = both.json().pretty();
            let again = Both::read(&Node::of(&text).unwrap()).unwrap_or_else(|wrong| panic!("{wrong:?}: {text}"));
            assert_eq!(again, both, "seed {seed}: {text}");
        }
    }
}
