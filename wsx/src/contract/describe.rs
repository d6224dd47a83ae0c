//! Makes the shape of a type from its JSON Schema, as schemars writes it. It does not know
//! messages.
use super::shape::{Field, Keys, Length, Object, Range, Rest, Shape, Types};
use crate::contract::SchemaOf;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Where the definitions are.
const DEFINITIONS: &str = "#/$defs/";
/// Says that a value may be any JSON, and that this is meant.
const ANY_IS_MEANT: &str = "x-wsx-any";
/// The keywords that say nothing about the shape, or that serde does not check.
const NOTES: [&str; 12] = [
    "$schema",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "format",
    "pattern",
    "uniqueItems",
    ANY_IS_MEANT,
];

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
        if object.get(ANY_IS_MEANT) == Some(&Value::Bool(true)) {
            return Ok(Shape::Any);
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
            None if object.keys().all(|key| NOTES.contains(&&**key)) => Ok(self.any(path)),
            None => {
                let known = |key: &&String| !NOTES.contains(&&***key);
                let unknown: Vec<_> = object.keys().filter(known).map(|key| format!("`{key}`")).collect();
                Err(no_shape(&format!("wsx does not know the keyword {} of its JSON Schema", unknown.join(", "))))
            }
        }
    }

    /// The part without references and alternatives.
    fn own_shape(&mut self, object: &Map<String, Value>, path: &str) -> Result<Option<Shape>, NoShape> {
        if let Some(value) = object.get("const") {
            return Ok(Some(Shape::Constant(value.to_string())));
        }
        if let Some(Value::Array(values)) = object.get("enum") {
            return Ok(Some(Shape::one_of(values.iter().map(|value| Shape::Constant(value.to_string())))));
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
                "integer" => Shape::Integer(range(object)),
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
            Some(item) => self.shape(item, &format!("{path}[]"))?,
            // Nothing is in it.
            None if length.most == Some(0) => Shape::Null,
            None => self.any(&format!("{path}[]")),
        };
        Ok(Shape::List(Box::new(item), length))
    }

    fn object(&mut self, object: &Map<String, Value>, path: &str) -> Result<Shape, NoShape> {
        let inside = format!("{path}{{}}");
        if let Some(Value::Object(patterns)) = object.get("patternProperties") {
            let mut keys = patterns.iter();
            return match (keys.next(), keys.next()) {
                (Some((pattern, values)), None) if pattern.contains("\\d") => {
                    Ok(Shape::Map(Keys::Integer, Box::new(self.shape(values, &inside)?)))
                }
                _ => Err(NoShape { path: path.to_owned(), why: "the keys of its map have a pattern".to_owned() }),
            };
        }
        let rest = match object.get("additionalProperties").or(object.get("unevaluatedProperties")) {
            None => Rest::Ignored,
            Some(Value::Bool(false)) => Rest::Rejected,
            Some(entries) => Rest::Entries(Box::new(self.shape(entries, &inside)?)),
        };
        let required: Vec<&str> = match object.get("required") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let Some(Value::Object(properties)) = object.get("properties") else {
            return Ok(match rest {
                Rest::Entries(entries) => Shape::Map(Keys::Text, entries),
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
                let shapes = shapes.iter().map(|shape| self.shape(shape, path)).collect::<Result<Vec<_>, _>>()?;
                all.push(Shape::one_of(shapes));
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

/// The integers of a schema.
fn range(object: &Map<String, Value>) -> Range {
    let format = object.get("format").and_then(Value::as_str).unwrap_or("");
    let name = match format {
        "int" => "i64".to_owned(),
        "uint" => "u64".to_owned(),
        other => other.replacen("uint", "u", 1).replacen("int", "i", 1),
    };
    let bound = |key| object.get(key).and_then(Value::as_i64).map(i128::from);
    let Range { least, most } = Range::of(&name).unwrap_or(Range { least: i128::MIN, most: i128::MAX });
    Range {
        least: bound("minimum").map_or(least, |own| own.max(least)),
        most: bound("maximum").unwrap_or(most).min(most),
    }
}

fn text(object: &Map<String, Value>) -> Shape {
    let length = |key| object.get(key).and_then(Value::as_u64);
    if (length("minLength"), length("maxLength")) == (Some(1), Some(1)) {
        return Shape::Char;
    }
    Shape::Text(object.get("format").and_then(Value::as_str).map(str::to_owned))
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
