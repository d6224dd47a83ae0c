//! Types in the words of TypeScript. It does not know messages.
use super::model::{Field, Object, Type, Variant};
use std::fmt::Write as _;

/// The name of an integer of 64 bits or more.
pub(super) const INT64: &str = "Int64";
/// The integers that a number of JavaScript has without rounding. Others are [`INT64`].
const NUMBERS: [&str; 6] = ["int8", "int16", "int32", "uint8", "uint16", "uint32"];
/// The highest integer that a number of JavaScript has without rounding.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Names that a type cannot have.
const TAKEN: [&str; 16] = [
    INT64,
    "any",
    "bigint",
    "boolean",
    "false",
    "intrinsic",
    "never",
    "null",
    "number",
    "object",
    "string",
    "symbol",
    "true",
    "undefined",
    "unknown",
    "void",
];
/// Words of the language that could be the name of a type in Rust.
const WORDS: [&str; 12] =
    ["await", "case", "class", "default", "delete", "function", "import", "instanceof", "new", "this", "typeof", "var"];
/// Maximum length of a line with a type that has parts, in characters.
const WIDTH: usize = 100;

/// Whether the name means something else in TypeScript.
pub(super) fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name) || WORDS.contains(&name)
}

/// Appends the definition of a type, after an empty line.
pub(super) fn define(text: &mut String, name: &str, docs: &str, value: &Type) {
    text.push('\n');
    comment(text, docs, 0);
    let _ = match value {
        Type::Object(object @ Object { rest: None, fields }) if !fields.is_empty() => {
            writeln!(text, "export interface {name} {}", block(object, 0))
        }
        other => {
            let value = written(other, 0);
            // Alternatives begin with a line break.
            let space = if value.starts_with('\n') { "" } else { " " };
            writeln!(text, "export type {name} ={space}{value};")
        }
    };
}

/// Appends docs as a comment.
pub(super) fn comment(text: &mut String, docs: &str, indent: usize) {
    let docs = docs.trim().replace("*/", "*\\/");
    let space = "  ".repeat(indent);
    let lines: Vec<&str> = docs.lines().map(str::trim_end).collect();
    let _ = match &*lines {
        [] => Ok(()),
        [line] => writeln!(text, "{space}/** {line} */"),
        lines => {
            let _ = writeln!(text, "{space}/**");
            for line in lines {
                let _ = writeln!(text, "{}", format!("{space} * {line}").trim_end());
            }
            writeln!(text, "{space} */")
        }
    };
}

/// The name of a field, in quotes if it is not an identifier.
pub(super) fn key(name: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$';
    let is_plain = name.chars().all(is_letter) && name.starts_with(|first: char| !first.is_ascii_digit());
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A string. Its JSON is its literal in JavaScript too.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// The type, in one line if it fits.
fn written(value: &Type, indent: usize) -> String {
    if let Some(line) = in_a_line(value).filter(|line| 2 * indent + line.chars().count() < WIDTH) {
        return line;
    }
    match value {
        Type::List(item) if is_compound(item) => format!("({})[]", inside(item, indent)),
        Type::List(item) => format!("{}[]", written(item, indent)),
        Type::Tuple(items) => {
            let items = items.iter().map(|item| written(item, indent)).collect::<Vec<_>>();
            format!("[{}]", items.join(", "))
        }
        Type::Object(object) => block(object, indent),
        Type::OneOf(variants) => lines(variants, indent + 1),
        Type::All(parts) => {
            let part = |part: &Type| match beside_others(part) {
                part @ Type::OneOf(_) => format!("({})", inside(&part, indent)),
                part => written(&part, indent),
            };
            parts.iter().map(part).collect::<Vec<_>>().join(" & ")
        }
        // The others are always one line.
        other => in_a_line(other).unwrap_or_default(),
    }
}

/// A type between parentheses.
fn inside(value: &Type, indent: usize) -> String {
    let text = written(value, indent);
    if text.contains('\n') { format!("{text}\n{}", "  ".repeat(indent)) } else { text }
}

/// The type without line breaks. There is none if a part has docs.
fn in_a_line(value: &Type) -> Option<String> {
    let joined = |all: Option<Vec<String>>, with: &str| all.map(|all| all.join(with));
    Some(match value {
        Type::Any => "unknown".to_owned(),
        Type::Null => "null".to_owned(),
        Type::Bool => "boolean".to_owned(),
        Type::Integer { format, .. } if NUMBERS.contains(&&**format) => "number".to_owned(),
        Type::Integer { .. } => INT64.to_owned(),
        Type::Float => "number".to_owned(),
        Type::Text(_) => "string".to_owned(),
        Type::Literal(json) => match json.strip_prefix('-').unwrap_or(json).parse::<u128>() {
            Ok(number) if number > u128::from(MAX_NUMBER) => INT64.to_owned(),
            _ => json.clone(),
        },
        Type::Named(name) => name.clone(),
        Type::List(item) => {
            let text = in_a_line(item)?;
            if is_compound(item) { format!("({text})[]") } else { format!("{text}[]") }
        }
        Type::Tuple(items) => format!("[{}]", joined(items.iter().map(in_a_line).collect(), ", ")?),
        Type::OneOf(variants) if variants.is_empty() => "never".to_owned(),
        Type::OneOf(variants) => {
            let one = |Variant { docs, value }: &Variant| in_a_line(value).filter(|_| docs.is_empty());
            joined(variants.iter().map(one).collect(), " | ")?
        }
        Type::All(parts) => {
            let part = |part: &Type| match beside_others(part) {
                part @ Type::OneOf(_) => Some(format!("({})", in_a_line(&part)?)),
                part => in_a_line(&part),
            };
            joined(parts.iter().map(part).collect(), " & ")?
        }
        Type::Object(object) => {
            let one = |own: &Field| Some(field(own, &in_a_line(&own.value)?)).filter(|_| own.docs.is_empty());
            let mut all: Vec<String> = object.fields.iter().map(one).collect::<Option<_>>()?;
            if let Some(others) = others(object) {
                all.push(index(&in_a_line(&others)?));
            }
            format!("{{ {} }}", all.join("; "))
        }
    })
}

/// An object over several lines.
fn block(object: &Object, indent: usize) -> String {
    let mut text = "{\n".to_owned();
    let space = "  ".repeat(indent + 1);
    for own in &object.fields {
        comment(&mut text, &own.docs, indent + 1);
        let _ = writeln!(text, "{space}{};", field(own, &written(&own.value, indent + 1)));
    }
    if let Some(others) = others(object) {
        let _ = writeln!(text, "{space}{};", index(&written(&others, indent + 1)));
    }
    text + &"  ".repeat(indent) + "}"
}

/// Alternatives, each on a line of its own.
fn lines(variants: &[Variant], indent: usize) -> String {
    let mut text = String::new();
    let space = "  ".repeat(indent);
    for Variant { docs, value } in variants {
        text.push('\n');
        comment(&mut text, docs, indent);
        let _ = write!(text, "{space}| {}", written(value, indent + 1));
    }
    text
}

fn field(own: &Field, value: &str) -> String {
    format!("{}{}: {value}", key(&own.name), if own.is_optional { "?" } else { "" })
}

fn index(value: &str) -> String {
    format!("[key: string]: {value}")
}

/// The type of the fields without a name. An object without fields has none at all.
fn others(object: &Object) -> Option<Type> {
    let Some(rest) = &object.rest else {
        return object.fields.is_empty().then(|| Type::OneOf(Vec::new()));
    };
    // In TypeScript, the fields with a name have to fit too.
    let optional = object.fields.iter().any(|field| field.is_optional);
    let undefined = optional.then(|| Type::Named("undefined".to_owned()));
    let named = object.fields.iter().map(|field| field.value.clone());
    Some(Type::plain([(**rest).clone()].into_iter().chain(named).chain(undefined)))
}

/// The part of an intersection. What it says of fields without a name has to fit the fields of the
/// other parts, so it says nothing.
fn beside_others(part: &Type) -> Type {
    match part {
        Type::Object(object) if *object == Object::default() => Type::Named("{}".to_owned()),
        Type::Object(object) => {
            let rest = object.rest.as_ref().map(|_| Box::new(Type::Any));
            Type::Object(Object { rest, ..object.clone() })
        }
        Type::OneOf(variants) => {
            let variant = |own: &Variant| Variant { value: beside_others(&own.value), ..own.clone() };
            Type::OneOf(variants.iter().map(variant).collect())
        }
        other => other.clone(),
    }
}

/// Whether a type needs parentheses beside another one.
fn is_compound(value: &Type) -> bool {
    matches!(value, Type::All(_)) || matches!(value, Type::OneOf(variants) if variants.len() > 1)
}
