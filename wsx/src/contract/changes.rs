//! What has changed between two versions, and which end it breaks. It does not know files.
use super::{
    locked::fits::{Misfit, Sides, misfits},
    locked::shape::{Object, Shape},
    locked::version::{BothTypes, Entry, Payload, Version},
};
use std::fmt;

/// A change of a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The type string of the message.
    pub(super) message: String,
    /// The path of the field; empty for the message itself.
    pub(super) field: String,
    pub(super) what: String,
    /// The end that does not understand the other any more; `None` if the change is compatible.
    pub(super) breaks: Option<Broken>,
}

/// A reader that does not understand a writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) reader: String,
    pub(super) writer: String,
    /// Whether the reader is the one of the old version.
    pub(super) is_old: bool,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, writer, is_old } = self;
        let (own, other) = if *is_old { ("old", "new") } else { ("new", "old") };
        write!(f, "{own} {reader}, which reads {other} {writer}")
    }
}

/// Returns the changes from one version to another.
pub(super) fn changes(old: &Version, new: &Version) -> Vec<Change> {
    let mut found = Vec::new();
    for before in &old.messages {
        match new.messages.iter().find(|after| after.place() == before.place()) {
            Some(after) => found.extend(of_message(before, after, &old.types, &new.types)),
            None => found.push(removed(before, old, new)),
        }
    }
    for after in &new.messages {
        if !old.messages.iter().any(|before| before.place() == after.place()) {
            found.push(Change {
                message: after.message.message_type.clone(),
                field: String::new(),
                what: format!("new, and an old {} does not know it", after.to),
                breaks: None,
            });
        }
    }
    found
}

/// A message that the new version does not have. An old peer still sends it.
fn removed(before: &Entry, old: &Version, new: &Version) -> Change {
    let Entry { from, to, message, .. } = before;
    let is_new = |after: &&Entry| !old.messages.iter().any(|other| other.place() == after.place());
    // Two messages without fields are not the same message.
    let has_parts = message.data.written != Shape::Object(Object::default());
    let same = |after: &&Entry| has_parts && (&after.from, &after.to, &after.message.data) == (from, to, &message.data);
    let what = match new.messages.iter().filter(is_new).find(same) {
        Some(after) => format!(
            "renamed to {:?}: `#[wsx(type = {:?})]` keeps the name",
            after.message.message_type, message.message_type
        ),
        None => "removed".to_owned(),
    };
    let breaks = Some(Broken { reader: to.clone(), writer: from.clone(), is_old: false });
    Change { message: message.message_type.clone(), field: String::new(), what, breaks }
}

fn of_message(before: &Entry, after: &Entry, old: &BothTypes, new: &BothTypes) -> Vec<Change> {
    let name = &before.message.message_type;
    let mut found = of_payload(name, &before.message, &after.message, (&before.from, &before.to), old, new);
    // An answer goes the other way.
    let way = (&*before.to, &*before.from);
    let mut answer = |kind: &str, own: &Option<Payload>, other: &Option<Payload>| match (own, other) {
        (Some(own), Some(other)) if own.message_type == other.message_type => {
            let name = format!("{name} -> {}", own.message_type);
            found.extend(of_payload(&name, own, other, way, old, new));
        }
        (None, None) => {}
        (own, other) => found.extend(of_answer(name, kind, own.as_ref(), other.as_ref(), before)),
    };
    answer("reply", &before.reply, &after.reply);
    answer("refusal", &before.refusal, &after.refusal);
    if before.delivery != after.delivery {
        let text = |delivery: &str| if delivery.is_empty() { "at_most_once".to_owned() } else { delivery.to_owned() };
        let what = format!("delivery was {}, is {}", text(&before.delivery), text(&after.delivery));
        found.push(Change { message: name.clone(), field: String::new(), what, breaks: None });
    }
    found
}

/// Another reply or refusal.
fn of_answer(name: &str, kind: &str, own: Option<&Payload>, other: Option<&Payload>, before: &Entry) -> Vec<Change> {
    let Entry { from, to, .. } = before;
    let text = |payload: Option<&Payload>| payload.map_or("none".to_owned(), |own| format!("{:?}", own.message_type));
    let what = format!("the {kind} was {}, is {}", text(own), text(other));
    let broken = |is_old| Some(Broken { reader: from.clone(), writer: to.clone(), is_old });
    // Who has asked waits for the reply that it knows. It knows a refusal as a failure at least.
    let breaks = match (kind, own, other) {
        ("reply", Some(_), Some(_)) => vec![broken(true), broken(false)],
        ("reply", Some(_), None) => vec![broken(true)],
        ("reply", None, Some(_)) => vec![broken(false)],
        _ => vec![None],
    };
    let change = |breaks| Change { message: name.to_owned(), field: String::new(), what: what.clone(), breaks };
    breaks.into_iter().map(change).collect()
}

/// Compares two payloads of the same type. `way` is who writes it, and who reads it.
fn of_payload(
    name: &str,
    before: &Payload,
    after: &Payload,
    way: (&str, &str),
    old: &BothTypes,
    new: &BothTypes,
) -> Vec<Change> {
    let (writer, reader) = way;
    // What the old version did not understand of itself is not a change.
    let own = Sides { written: &old.written, read: &old.read };
    let known = misfits(&before.data.written, &before.data.read, own);
    let mut found = Vec::new();
    let mut add = |list: Vec<Misfit>, is_old| {
        for Misfit { path, what } in list.into_iter().filter(|misfit| !known.contains(misfit)) {
            let breaks = Some(Broken { reader: reader.to_owned(), writer: writer.to_owned(), is_old });
            found.push(Change { message: name.to_owned(), field: path, what, breaks });
        }
    };
    let forward = Sides { written: &old.written, read: &new.read };
    add(misfits(&before.data.written, &after.data.read, forward), false);
    let backward = Sides { written: &new.written, read: &old.read };
    add(misfits(&after.data.written, &before.data.read, backward), true);
    if found.is_empty() && (before != after || old != new && is_recursive(before)) {
        let what = "another shape, and each end still reads the other".to_owned();
        found.push(Change { message: name.to_owned(), field: String::new(), what, breaks: None });
    }
    found
}

/// Whether the payload has a type inside that has itself inside.
fn is_recursive(payload: &Payload) -> bool {
    let mut names = Vec::new();
    payload.data.written.names(&mut names);
    payload.data.read.names(&mut names);
    !names.is_empty()
}

/// A table of changes for a person.
pub(super) struct Table<'c>(pub(super) &'c [Change]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |change: &Change| {
            let breaks = change.breaks.as_ref().map_or("nothing".to_owned(), ToString::to_string);
            let field = if change.field.is_empty() { "-".to_owned() } else { change.field.clone() };
            [change.message.clone(), field, change.what.clone(), breaks]
        };
        let head = ["message", "field", "change", "breaks"].map(str::to_owned);
        let rows: Vec<_> = [head].into_iter().chain(self.0.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for [message, field, what, breaks] in &rows {
            let [one, two, three] = widths;
            writeln!(f, "  {message:one$}  {field:two$}  {what:three$}  {breaks}")?;
        }
        Ok(())
    }
}
