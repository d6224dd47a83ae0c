//! Makes the shape of a type from its JSON Schema, as schemars writes it. It does not know
//! messages.
use super::locked::shape::{Field, Keys, Length, Object, Range, Rest, Shape, Types};
use crate::contract::SchemaOf;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Where the definitions are.
const DEFINITIONS: &str = "#/$defs/";
/// Says that a value may be any JSON, and that this is meant.
const ANY_IS_MEANT: &str = "x-wsx-any";
/// The keywords that a shape is made of, and those that say nothing about it or that serde does not
/// check. Others are an error, and so nothing is left out in silence. `x-` begins those of users.
const KEYWORDS: [&str; 32] = [
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "deprecated",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "readOnly",
    "required",
    "title",
    "type",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
];
/// What schemars writes for the keys of a map that are integers.
const KEYS: [(&str, Keys); 2] = [("^\\d+$", Keys::Unsigned), ("^-?\\d+$", Keys::Signed)];

/// Whether a schema is of what is written or of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contract {
    Written,
    Read,
}

/// Makes the shapes of one protocol, in one contract.
pub(super) struct Describer {
    contract: Contract,
    pub(super) types: Types,
    /// The parts that may be any JSON, although nothing says that this is meant.
    pub(super) gaps: Vec<String>,
}

/// A schema that has no shape here.
#[derive(Debug)]
pub(super) struct NoShape {
    pub(super) path: String,
    pub(super) why: String,
}

impl Describer {
    pub(super) fn new(contract: Contract) -> Self {
        Self { contract, types: Types::new(), gaps: Vec::new() }
    }

    /// Returns the shape of a message.
    pub(super) fn shape(&mut self, message: &str, schema: SchemaOf) -> Result<Shape, NoShape> {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
        let settings = match self.contract {
            Contract::Written => settings.for_serialize(),
            Contract::Read => settings.for_deserialize(),
        };
        let mut generator = settings.into_generator();
        let root = schema(&mut generator).to_value();
        let definitions = generator.take_definitions(true);
        let mut walk = Walk { describer: self, definitions: &definitions, open: Vec::new() };
        walk.shape(&root, message)
    }
}

struct Walk<'d> {
    describer: &'d mut Describer,
    definitions: &'d Map<String, Value>,
    /// The definitions that are being described, and whether each was met inside of itself.
    open: Vec<(String, bool)>,
}

impl Walk<'_> {
    fn shape(&mut self, schema: &Value, path: &str) -> Result<Shape, NoShape> {
        let no_shape = |why: &str| NoShape { path: path.to_owned(), why: why.to_owned() };
        let object = match schema {
            Value::Bool(true) => return Ok(self.any(path)),
            Value::Object(object) => object,
            _ => return Err(no_shape("no value is allowed")),
        };
        let is_known = |key: &&String| KEYWORDS.contains(&&***key) || key.starts_with("x-");
        if let Some(key) = object.keys().find(|key| !is_known(key)) {
            return Err(no_shape(&format!("wsx does not know the keyword `{key}` of its JSON Schema")));
        }
        let own = self.own_shape(object, path)?;
        let base = match object.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let name = reference.strip_prefix(DEFINITIONS);
                Some(self.definition(name.ok_or_else(|| no_shape("it refers to another document"))?, path)?)
            }
            None => None,
        };
        let parts = self.all_of(object, path)?;
        let alternatives = self.alternatives(object, path)?;
        let all = base.into_iter().chain(own).chain(parts).chain(alternatives);
        match all.map(Ok).reduce(|one, other| merge(one?, other?)) {
            Some(Ok(shape)) => Ok(shape),
            Some(Err(why)) => Err(no_shape(&why)),
            None if is_meant(object) => Ok(Shape::Any),
            None if object.contains_key("not") => {
                Err(no_shape("wsx does not know the keyword `not` of its JSON Schema"))
            }
            None => Ok(self.any(path)),
        }
    }

    /// The part without references and alternatives.
    fn own_shape(&mut self, object: &Map<String, Value>, path: &str) -> Result<Option<Shape>, NoShape> {
        if let Some(value) = object.get("const") {
            return Ok(Some(constant(value)));
        }
        if let Some(Value::Array(values)) = object.get("enum") {
            return Ok(Some(Shape::one_of(values.iter().map(constant))));
        }
        let types: Vec<&str> = match object.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ if object.contains_key("properties") => vec!["object"],
            _ => return Ok(None),
        };
        let mut shapes = Vec::new();
        for one in types {
            shapes.push(match one {
                "null" => Shape::Null,
                "boolean" => Shape::Bool,
                "integer" => integer(object),
                "number" => Shape::Float,
                "string" => text(object),
                "array" => self.list(object, path)?,
                "object" => self.object(object, path)?,
                other => return Err(NoShape { path: path.to_owned(), why: format!("it has the type {other:?}") }),
            });
        }
        Ok(Some(Shape::one_of(shapes)))
    }

    fn list(&mut self, object: &Map<String, Value>, path: &str) -> Result<Shape, NoShape> {
        if let Some(Value::Array(items)) = object.get("prefixItems") {
            let items = items.iter().enumerate().map(|(at, item)| self.shape(item, &format!("{path}[{at}]")));
            return Ok(Shape::Tuple(items.collect::<Result<_, _>>()?));
        }
        let number = |key| object.get(key).and_then(Value::as_u64);
        let length = Length { least: number("minItems").unwrap_or(0), most: number("maxItems") };
        let item = match object.get("items") {
            Some(Value::Bool(true)) if is_meant(object) => Shape::Any,
            Some(item) => self.shape(item, &format!("{path}[]"))?,
            // Nothing is in it.
            None if length.most == Some(0) => Shape::Null,
            None => self.any(&format!("{path}[]")),
        };
        Ok(Shape::List(Box::new(item), length))
    }

    fn object(&mut self, object: &Map<String, Value>, path: &str) -> Result<Shape, NoShape> {
        let inside = format!("{path}{{}}");
        let rest = match object.get("additionalProperties").or(object.get("unevaluatedProperties")) {
            None => Rest::Ignored,
            Some(Value::Bool(false)) => Rest::Rejected,
            Some(Value::Bool(true)) if is_meant(object) => Rest::Entries(Box::new(Shape::Any)),
            Some(entries) => Rest::Entries(Box::new(self.shape(entries, &inside)?)),
        };
        let patterns = match object.get("patternProperties") {
            Some(Value::Object(patterns)) => patterns.iter().collect(),
            _ => Vec::new(),
        };
        let (keys, rest) = match &*patterns {
            [] => (Keys::Text, rest),
            [(pattern, values)] => {
                let Some((_, keys)) = KEYS.into_iter().find(|(own, _)| own == pattern) else {
                    let why = format!("the keys of its map have the pattern {pattern}");
                    return Err(NoShape { path: path.to_owned(), why });
                };
                (keys, Rest::Entries(Box::new(self.shape(values, &inside)?)))
            }
            _ => {
                return Err(NoShape { path: path.to_owned(), why: "the keys of its map have two patterns".to_owned() });
            }
        };
        let required: Vec<&str> = match object.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let Some(Value::Object(properties)) = object.get("properties") else {
            return Ok(match rest {
                Rest::Entries(entries) => Shape::Map(keys, entries),
                rest => Shape::Object(Object { rest, ..Object::default() }),
            });
        };
        let mut fields = Object { rest, ..Object::default() };
        for (name, schema) in properties {
            let shape = self.shape(schema, &format!("{path}.{name}"))?;
            fields.fields.insert(name.clone(), Field { shape, is_optional: !required.contains(&&**name) });
        }
        Ok(Shape::Object(fields))
    }

    fn all_of(&mut self, object: &Map<String, Value>, path: &str) -> Result<Vec<Shape>, NoShape> {
        let Some(Value::Array(parts)) = object.get("allOf") else { return Ok(Vec::new()) };
        parts.iter().map(|part| self.shape(part, path)).collect()
    }

    fn alternatives(&mut self, object: &Map<String, Value>, path: &str) -> Result<Vec<Shape>, NoShape> {
        let mut all = Vec::new();
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(shapes)) = object.get(key) {
                let is_object = object.contains_key("properties");
                let shapes = shapes.iter().map(|shape| match shape {
                    // A flattened option: its fields are there, or not.
                    Value::Object(nothing) if nothing.is_empty() && is_object => Ok(Shape::Object(Object::default())),
                    shape => self.shape(shape, path),
                });
                all.push(Shape::one_of(shapes.collect::<Result<Vec<_>, _>>()?));
            }
        }
        Ok(all)
    }

    /// The shape of a definition: itself, or its name if it has itself inside.
    fn definition(&mut self, name: &str, path: &str) -> Result<Shape, NoShape> {
        if let Some((_, is_met)) = self.open.iter_mut().find(|(own, _)| own == name) {
            *is_met = true;
            return Ok(Shape::Named(name.to_owned()));
        }
        let Some(schema) = self.definitions.get(name) else {
            return Err(NoShape { path: path.to_owned(), why: format!("its schema has no definition of {name}") });
        };
        self.open.push((name.to_owned(), false));
        let shape = self.shape(schema, path);
        let (_, is_met) = self.open.pop().expect("it was pushed above");
        let shape = shape?;
        if !is_met {
            return Ok(shape);
        }
        // Another message of the protocol may have another type of this name.
        let taken = |own: &String| self.describer.types.get(own).is_some_and(|other| *other != shape);
        let mut own = name.to_owned();
        while taken(&own) {
            own.push('_');
        }
        let shape = if own == name { shape } else { renamed(shape, name, &own) };
        self.describer.types.insert(own.clone(), shape);
        Ok(Shape::Named(own))
    }

    fn any(&mut self, path: &str) -> Shape {
        self.describer.gaps.push(path.to_owned());
        Shape::Any
    }
}

/// Whether the type says that a value may be any JSON.
fn is_meant(object: &Map<String, Value>) -> bool {
    object.get(ANY_IS_MEANT) == Some(&Value::Bool(true))
}

fn constant(value: &Value) -> Shape {
    match value {
        Value::Null => Shape::Null,
        other => Shape::Constant(other.to_string()),
    }
}

/// The integers of a schema: those of the type of Rust that its format names, without 0 if it is
/// excluded. Other limits are those of a validator: serde does not check them.
fn integer(object: &Map<String, Value>) -> Shape {
    let name = match object.get("format").and_then(Value::as_str).unwrap_or("") {
        "int" => "i64".to_owned(),
        "uint" => "u64".to_owned(),
        other => other.replacen("uint", "u", 1).replacen("int", "i", 1),
    };
    let Range { least, most } = Range::of(&name).unwrap_or(Range { least: i128::MIN, most: i128::MAX });
    let zero = Value::from(0);
    if object.get("not").and_then(|not| not.get("const")) == Some(&zero) {
        let below = Shape::Integer(Range { least, most: -1 });
        return Shape::one_of([below, Shape::Integer(Range { least: 1, most })]);
    }
    let is_positive = least == 0 && object.get("minimum") == Some(&Value::from(1));
    Shape::Integer(Range { least: if is_positive { 1 } else { least }, most })
}

fn text(object: &Map<String, Value>) -> Shape {
    let length = |key| object.get(key).and_then(Value::as_u64);
    if (length("minLength"), length("maxLength")) == (Some(1), Some(1)) {
        return Shape::Char;
    }
    // A reader with either of them does not take each text.
    let note = ["format", "pattern"].iter().find_map(|key| object.get(*key)).and_then(Value::as_str);
    Shape::Text(note.map(str::to_owned))
}

/// The shape of a value that is both.
fn merge(one: Shape, other: Shape) -> Result<Shape, String> {
    match (one, other) {
        (Shape::OneOf(all), other) | (other, Shape::OneOf(all)) => {
            let all: Result<Vec<_>, _> = all.into_iter().map(|one| merge(other.clone(), one)).collect();
            Ok(Shape::one_of(all?))
        }
        (Shape::Object(mut one), Shape::Object(other)) => {
            one.fields.extend(other.fields);
            if one.rest == Rest::Ignored {
                one.rest = other.rest;
            }
            Ok(Shape::Object(one))
        }
        (Shape::Object(mut object), Shape::Map(_, values)) | (Shape::Map(_, values), Shape::Object(mut object)) => {
            object.rest = Rest::Entries(values);
            Ok(Shape::Object(object))
        }
        (Shape::Any, other) | (other, Shape::Any) => Ok(other),
        (one, other) if one == other => Ok(one),
        (one, other) => Err(format!("it is to be both {one} and {other}")),
    }
}

/// The shape with another name of the type that is inside of itself.
fn renamed(shape: Shape, name: &str, own: &str) -> Shape {
    let again = |shape: Shape| renamed(shape, name, own);
    match shape {
        Shape::Named(other) if other == name => Shape::Named(own.to_owned()),
        Shape::List(item, length) => Shape::List(Box::new(again(*item)), length),
        Shape::Tuple(items) => Shape::Tuple(items.into_iter().map(again).collect()),
        Shape::Map(keys, values) => Shape::Map(keys, Box::new(again(*values))),
        Shape::OneOf(all) => Shape::OneOf(all.into_iter().map(again).collect()),
        Shape::Object(Object { fields, rest }) => {
            let field = |(key, field): (String, Field)| (key, Field { shape: again(field.shape), ..field });
            let rest = match rest {
                Rest::Entries(entries) => Rest::Entries(Box::new(again(*entries))),
                rest => rest,
            };
            Shape::Object(Object { fields: fields.into_iter().map(field).collect(), rest })
        }
        other => other,
    }
}
