//! A schema as a type, for documents: with the docs and the names that a shape does not have. It
//! takes only schemas that have a shape, and does not know languages.
use serde_json::{Map, Value};

/// What a value of JSON may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    Any,
    Null,
    Bool,
    /// In the format of schemars, such as `uint8`.
    Integer {
        format: String,
        /// Whether it is at least 1.
        is_positive: bool,
    },
    Float,
    /// In a format such as `date-time`.
    Text(Option<String>),
    /// This value alone, as JSON.
    Literal(String),
    Named(String),
    List(Box<Self>),
    Tuple(Vec<Self>),
    Object(Object),
    OneOf(Vec<Variant>),
    /// All of these at once.
    All(Vec<Self>),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Object {
    /// Sorted by name.
    pub(super) fields: Vec<Field>,
    /// The type of all other fields, if there may be others.
    pub(super) rest: Option<Box<Type>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) is_optional: bool,
    pub(super) value: Type,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) docs: String,
    pub(super) value: Type,
}

/// An array of a fixed length is a tuple up to this length. A longer one is a list, because nobody
/// reads a tuple of hundreds.
const LONGEST_TUPLE: u64 = 16;

/// Returns the docs of a schema.
pub(super) fn docs(schema: &Value) -> String {
    let part = |key| schema.get(key).and_then(Value::as_str).unwrap_or_default();
    match (part("title"), part("description")) {
        (title, "") => title.to_owned(),
        ("", text) => text.to_owned(),
        (title, text) => format!("{title}\n\n{text}"),
    }
}

impl Type {
    /// Returns the type of a schema.
    pub(super) fn of(schema: &Value) -> Self {
        let Value::Object(object) = schema else { return Self::Any };
        let mut parts = Vec::new();
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit_once('/').map_or(reference, |(_, name)| name);
            parts.push(Self::Named(name.to_owned()));
        }
        parts.extend(own(object));
        parts.extend(array(object, "allOf").iter().map(Self::of));
        for key in ["oneOf", "anyOf"] {
            let variants = array(object, key);
            if !variants.is_empty() {
                parts.push(Self::one_of(variants.iter().map(|schema| variant(schema, object))));
            }
        }
        Self::all(parts)
    }

    /// The type of a value that is all of these.
    fn all(parts: Vec<Self>) -> Self {
        let is_empty = |part: &Self| matches!(part, Self::Any) || *part == Self::Object(Object::default());
        let (empty, mut parts): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_empty);
        match parts.len() {
            0 => empty.into_iter().find(|part| !matches!(part, Self::Any)).unwrap_or(Self::Any),
            1 => parts.remove(0),
            _ => Self::All(parts),
        }
    }

    /// The type of a value that is one of these. Equal ones count once.
    fn one_of(variants: impl IntoIterator<Item = Variant>) -> Self {
        let mut all = Vec::<Variant>::new();
        for Variant { docs, value } in variants {
            let parts = match value {
                Self::OneOf(parts) if docs.is_empty() => parts,
                value => vec![Variant { docs, value }],
            };
            for part in parts {
                if !all.iter().any(|other| other.value == part.value) {
                    all.push(part);
                }
            }
        }
        match &*all {
            [Variant { docs, .. }] if docs.is_empty() => all.remove(0).value,
            _ => Self::OneOf(all),
        }
    }

    /// The same, without docs.
    pub(super) fn plain(types: impl IntoIterator<Item = Self>) -> Self {
        Self::one_of(types.into_iter().map(|value| Variant { docs: String::new(), value }))
    }

    fn literal(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            other => Self::Literal(other.to_string()),
        }
    }
}

fn variant(schema: &Value, around: &Map<String, Value>) -> Variant {
    let is_nothing = schema.as_object().is_some_and(Map::is_empty) && around.contains_key("properties");
    // A flattened option: its fields are there, or not.
    let value = if is_nothing { Type::Object(Object::default()) } else { Type::of(schema) };
    let has_name = matches!(value, Type::Named(_));
    // The docs of a named type are at its definition.
    Variant { docs: if has_name { String::new() } else { docs(schema) }, value }
}

/// The part without references and alternatives.
fn own(object: &Map<String, Value>) -> Option<Type> {
    if let Some(value) = object.get("const") {
        return Some(Type::literal(value));
    }
    if object.contains_key("enum") {
        return Some(Type::plain(array(object, "enum").iter().map(Type::literal)));
    }
    let format = || object.get("format").and_then(Value::as_str).map(str::to_owned);
    let one = |name: &str| match name {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        "integer" => Type::Integer {
            format: format().unwrap_or_default(),
            is_positive: object.get("minimum").and_then(Value::as_u64) == Some(1),
        },
        "number" => Type::Float,
        "string" => Type::Text(format()),
        "array" => list(object),
        _ => Type::Object(fields(object)),
    };
    match object.get("type") {
        Some(Value::String(name)) => Some(one(name)),
        Some(Value::Array(names)) => Some(Type::plain(names.iter().filter_map(Value::as_str).map(one))),
        _ if object.contains_key("properties") => Some(Type::Object(fields(object))),
        _ => None,
    }
}

fn list(object: &Map<String, Value>) -> Type {
    if object.contains_key("prefixItems") {
        return Type::Tuple(array(object, "prefixItems").iter().map(Type::of).collect());
    }
    let number = |key| object.get(key).and_then(Value::as_u64);
    let item = object.get("items").map_or(Type::Any, Type::of);
    match (number("minItems"), number("maxItems")) {
        (_, Some(0)) => Type::Tuple(Vec::new()),
        (Some(least), Some(most)) if least == most && most <= LONGEST_TUPLE => {
            Type::Tuple((0..most).map(|_| item.clone()).collect())
        }
        _ => Type::List(Box::new(item)),
    }
}

fn fields(object: &Map<String, Value>) -> Object {
    let patterns = object.get("patternProperties").and_then(Value::as_object);
    let pattern = patterns.and_then(|patterns| patterns.values().next());
    let others = object.get("additionalProperties").or(object.get("unevaluatedProperties"));
    let rest = pattern.or(others.filter(|others| **others != Value::Bool(false)));
    let required = array(object, "required");
    let mut fields = Vec::new();
    for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        fields.push(Field {
            name: name.clone(),
            docs: docs(schema),
            is_optional: !required.iter().any(|own| own == name),
            value: Type::of(schema),
        });
    }
    // The order of a JSON object may depend on the features of another crate.
    fields.sort_by(|one, other| one.name.cmp(&other.name));
    Object { fields, rest: rest.map(|rest| Box::new(Type::of(rest))) }
}

fn array<'v>(object: &'v Map<String, Value>, key: &str) -> &'v [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], |all| all)
}
