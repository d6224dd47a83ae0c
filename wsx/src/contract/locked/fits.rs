//! Whether a reader understands a writer: for each part of the shape that is written, the shape
//! that is read. It does not know versions or directions.
#[cfg(test)]
mod table_tests;

use super::shape::{Field, Keys, Object, Rest, Shape, Types};

/// A part that is written and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::contract) struct Misfit {
    /// The path of the part, such as `phases[].watts`. Empty for the message itself.
    pub(in crate::contract) path: String,
    /// What is wrong, for a person.
    pub(in crate::contract) what: String,
}

/// What is written and what is read, with their named types.
#[derive(Clone, Copy)]
pub(in crate::contract) struct Sides<'s> {
    pub(in crate::contract) written: &'s Types,
    pub(in crate::contract) read: &'s Types,
}

/// Returns what a reader does not understand of a writer. Nothing: each message of the writer is
/// read.
pub(in crate::contract) fn misfits(written: &Shape, read: &Shape, types: Sides<'_>) -> Vec<Misfit> {
    let mut check = Check { types, pending: Vec::new(), found: Vec::new() };
    check.fits(written, read, "");
    check.found
}

struct Check<'s> {
    types: Sides<'s>,
    /// The pairs with a named type that are being compared. They fit, if everything inside of them
    /// does.
    pending: Vec<(Shape, Shape)>,
    found: Vec<Misfit>,
}

impl Check<'_> {
    fn add(&mut self, path: &str, what: String) {
        let misfit = Misfit { path: path.to_owned(), what };
        if !self.found.contains(&misfit) {
            self.found.push(misfit);
        }
    }

    /// Whether the shapes fit, without a report.
    fn would_fit(&self, written: &Shape, read: &Shape) -> bool {
        let mut check = Check { types: self.types, pending: self.pending.clone(), found: Vec::new() };
        check.fits(written, read, "");
        check.found.is_empty()
    }

    fn fits(&mut self, written: &Shape, read: &Shape, path: &str) {
        match (written, read) {
            (_, Shape::Any) => {}
            (Shape::Named(_), _) | (_, Shape::Named(_)) => {
                let pair = (written.clone(), read.clone());
                if !self.pending.contains(&pair) {
                    self.pending.push(pair);
                    let (written, read) = (resolved(written, self.types.written), resolved(read, self.types.read));
                    self.fits(&written, &read, path);
                }
            }
            (Shape::OneOf(all), _) => all.iter().for_each(|one| self.fits(one, read, path)),
            (_, Shape::OneOf(all)) => self.fits_one(written, all, path),
            (Shape::List(item, length), Shape::List(other, expected)) => {
                if !length.is_within(*expected) {
                    self.add(path, format!("has {length} elements, not {expected}"));
                }
                self.fits(item, other, &format!("{path}[]"));
            }
            (Shape::Tuple(items), Shape::Tuple(others)) if items.len() == others.len() => {
                for (at, (item, other)) in items.iter().zip(others).enumerate() {
                    self.fits(item, other, &format!("{path}[{at}]"));
                }
            }
            (Shape::Tuple(items), Shape::List(other, expected)) => {
                let count = items.len() as u64;
                if count < expected.least || expected.most.is_some_and(|most| count > most) {
                    self.add(path, format!("has {count} elements, not {expected}"));
                }
                for (at, item) in items.iter().enumerate() {
                    self.fits(item, other, &format!("{path}[{at}]"));
                }
            }
            (Shape::List(item, length), Shape::Tuple(others))
                if length.least == others.len() as u64 && length.most == Some(length.least) =>
            {
                for (at, other) in others.iter().enumerate() {
                    self.fits(item, other, &format!("{path}[{at}]"));
                }
            }
            (Shape::Map(keys, values), Shape::Map(expected, others)) => {
                if !keys.is_within(*expected) {
                    self.add(path, format!("its keys are {keys}, not {expected}"));
                }
                self.fits(values, others, &format!("{path}{{}}"));
            }
            (Shape::Map(_, values), Shape::Object(object)) => self.map_fits_object(values, object, path),
            (Shape::Object(object), Shape::Map(keys, values)) => {
                if *keys != Keys::Text {
                    self.add(path, format!("its keys are strings, not {keys}"));
                }
                for (name, field) in &object.fields {
                    self.fits(&field.shape, values, &join(path, name));
                }
                if let Rest::Entries(entries) = &object.rest {
                    self.fits(entries, values, &format!("{path}{{}}"));
                }
            }
            (Shape::Object(object), Shape::Object(other)) => self.object_fits(object, other, path),
            _ if is_scalar_within(written, read) => {}
            _ => self.add(path, format!("is {written}, not {read}")),
        }
    }

    /// One of the alternatives reads it.
    fn fits_one(&mut self, written: &Shape, all: &[Shape], path: &str) {
        if let Some(own) = all.iter().position(|read| written == read) {
            // Without a tag, an earlier alternative may take it.
            if let Some(earlier) = all[..own].iter().find(|read| self.would_fit(written, read)) {
                self.add(path, format!("{written} is read as {earlier}, which comes first"));
            }
            // The names inside of it may mean different types.
            return self.fits(written, &all[own], path);
        }
        if let Some(content) = rejected_content(written, all) {
            return self.add(path, format!("{written} has {content}, which a variant without data may reject"));
        }
        if all.iter().any(|read| self.would_fit(written, read)) {
            return;
        }
        // The alternative with the same tag says more than the list.
        match all.iter().find(|read| is_same_variant(written, read)) {
            Some(same) => self.fits(written, same, path),
            None => self.add(path, format!("may be {written}, which is none of {}", Shape::OneOf(all.to_vec()))),
        }
    }

    fn map_fits_object(&mut self, values: &Shape, object: &Object, path: &str) {
        for (name, field) in &object.fields {
            if field.is_optional {
                self.fits(values, &field.shape, &join(path, name));
            } else {
                self.add(&join(path, name), "may be missing in the map, and is required".to_owned());
            }
        }
        match &object.rest {
            Rest::Ignored => {}
            Rest::Rejected => self.add(path, "may have keys that are rejected".to_owned()),
            Rest::Entries(entries) => self.fits(values, entries, &format!("{path}{{}}")),
        }
    }

    fn object_fits(&mut self, written: &Object, read: &Object, path: &str) {
        for (name, Field { shape, is_optional }) in &read.fields {
            let path = join(path, name);
            match (written.fields.get(name), &written.rest) {
                (Some(own), _) => {
                    if own.is_optional && !is_optional {
                        self.add(&path, "may be missing, and is required".to_owned());
                    }
                    self.fits(&own.shape, shape, &path);
                }
                (None, _) if !is_optional => self.add(&path, "is missing, and is required".to_owned()),
                (None, Rest::Entries(entries)) => self.fits(entries, shape, &path),
                (None, _) => {}
            }
        }
        for (name, own) in written.fields.iter().filter(|(name, _)| !read.fields.contains_key(*name)) {
            match &read.rest {
                Rest::Ignored => {}
                Rest::Rejected => {
                    self.add(&join(path, name), "is not known, and unknown fields are rejected".to_owned());
                }
                Rest::Entries(entries) => self.fits(&own.shape, entries, &join(path, name)),
            }
        }
        if let Rest::Entries(entries) = &written.rest {
            match &read.rest {
                Rest::Ignored => {}
                Rest::Rejected => self.add(path, "may have keys that are rejected".to_owned()),
                Rest::Entries(others) => self.fits(entries, others, &format!("{path}{{}}")),
            }
        }
    }
}

/// The shape of a type that has itself inside. The file was read, or the code described, so each
/// name is there.
fn resolved(shape: &Shape, types: &Types) -> Shape {
    match shape {
        Shape::Named(name) => types.get(name).cloned().unwrap_or(Shape::Any),
        other => other.clone(),
    }
}

/// Whether every value of a shape without parts is one of the other.
fn is_scalar_within(written: &Shape, read: &Shape) -> bool {
    match (written, read) {
        (Shape::Integer(range), Shape::Integer(other)) => range.is_within(*other),
        (Shape::Integer(_) | Shape::Float, Shape::Float)
        | (Shape::Text(_) | Shape::Char, Shape::Text(None))
        | (Shape::Char, Shape::Char)
        | (Shape::Null, Shape::Null)
        | (Shape::Bool, Shape::Bool) => true,
        (Shape::Text(format), Shape::Text(other)) => format == other,
        (Shape::Constant(json), Shape::Constant(other)) => json == other,
        (Shape::Constant(json), Shape::Text(None)) => json.starts_with('"'),
        (Shape::Constant(json), Shape::Bool) => matches!(&**json, "true" | "false"),
        (Shape::Constant(json), Shape::Integer(range)) => {
            json.parse().is_ok_and(|value| range.least <= value && value <= range.most)
        }
        _ => false,
    }
}

/// Returns the field with the data of a variant, if its reader has none there and other variants
/// have. Serde rejects it if the tag and the data are fields beside each other. A schema does not
/// say whether they are.
fn rejected_content<'w>(written: &'w Shape, all: &[Shape]) -> Option<&'w str> {
    let Shape::Object(own) = written else { return None };
    let (tag, value) = own.constant()?;
    let mut others = own.fields.keys().filter(|name| *name != tag);
    let (content, None) = (others.next()?, others.next()) else { return None };
    let objects = || all.iter().filter_map(|shape| if let Shape::Object(object) = shape { Some(object) } else { None });
    let is_empty = |object: &&Object| object.fields.len() == 1 && object.constant() == Some((tag, value.clone()));
    let has_content = |object: &Object| {
        object.fields.len() == 2 && object.fields.contains_key(content) && object.fields.contains_key(tag)
    };
    (objects().any(|object| is_empty(&object)) && objects().any(has_content)).then_some(content)
}

/// Whether both are the variant with this tag.
fn is_same_variant(written: &Shape, read: &Shape) -> bool {
    match (written, read) {
        (Shape::Object(written), Shape::Object(read)) => {
            written.constant().is_some_and(|tag| read.constant() == Some(tag))
        }
        (Shape::List(..) | Shape::Tuple(_), Shape::List(..) | Shape::Tuple(_))
        | (Shape::Map(..), Shape::Map(..))
        | (Shape::Integer(_) | Shape::Float, Shape::Integer(_) | Shape::Float) => true,
        _ => false,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
