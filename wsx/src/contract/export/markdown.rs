//! Types in Markdown: tables, and links between them. It does not know messages.
use super::model::{Field, Object, Type, Variant};
use std::fmt::Write as _;

/// Returns what a type is: a table of its fields, or a list of its alternatives.
pub(super) fn describe(value: &Type) -> String {
    match value {
        Type::Object(object) => table(object),
        Type::OneOf(variants) if variants.iter().all(|one| matches!(one.value, Type::Literal(_) | Type::Null)) => {
            let rows =
                variants.iter().map(|Variant { docs, value }| format!("| {} | {} |\n", words(value), cell(docs)));
            format!("| value | meaning |\n|---|---|\n{}", rows.collect::<String>())
        }
        Type::OneOf(variants) => format!("One of these:\n\n{}", alternatives(variants)),
        Type::All(parts) => {
            let part = |part: &Type| match part {
                Type::Object(object) => table(object),
                Type::OneOf(variants) => format!("And the fields of one of these:\n\n{}", alternatives(variants)),
                other => format!("And the fields of {}.\n", words(other)),
            };
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        }
        other => format!("Its JSON is {}.\n", words(other)),
    }
}

/// The text in a table.
pub(super) fn cell(text: &str) -> String {
    let paragraphs: Vec<String> =
        text.trim().split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    paragraphs.join("<br>").replace('|', "\\|")
}

/// The text as code.
pub(super) fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn table(object: &Object) -> String {
    let mut text = String::new();
    if !object.fields.is_empty() {
        text += "| field | type | required | meaning |\n|---|---|---|---|\n";
    }
    for Field { name, docs, is_optional, value } in &object.fields {
        let required = if *is_optional { "no" } else { "yes" };
        let _ = writeln!(text, "| {} | {} | {required} | {} |", cell(&code(name)), cell(&words(value)), cell(docs));
    }
    match &object.rest {
        Some(rest) if object.fields.is_empty() => format!("An object. Each value is {}.\n", words(rest)),
        Some(rest) => format!("{text}\nOther fields are {}.\n", words(rest)),
        None if object.fields.is_empty() => "An object without fields: `{}`.\n".to_owned(),
        None => text,
    }
}

fn alternatives(variants: &[Variant]) -> String {
    let mut text = String::new();
    for Variant { docs, value } in variants {
        let docs = docs.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = match &*docs {
            "" => writeln!(text, "- {}", words(value)),
            docs => writeln!(text, "- {}: {docs}", words(value)),
        };
        for field in fields_with_docs(value) {
            let docs = field.docs.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(text, "  - {}: {docs}", code(&field.name));
        }
    }
    text
}

/// The fields of a variant, also of one that has its fields in an object of its own.
fn fields_with_docs(value: &Type) -> Vec<&Field> {
    let Type::Object(object) = value else { return Vec::new() };
    let inner = object.fields.iter().flat_map(|field| fields_with_docs(&field.value));
    object.fields.iter().filter(|field| !field.docs.is_empty()).chain(inner).collect()
}

/// The type in a sentence.
pub(super) fn words(value: &Type) -> String {
    let joined = |all: Vec<String>, with: &str| all.join(with);
    match value {
        Type::Any => "any JSON".to_owned(),
        Type::Null => "`null`".to_owned(),
        Type::Bool => "`bool`".to_owned(),
        Type::Integer { format, is_positive } => {
            let name = match &**format {
                "" => "an integer".to_owned(),
                "int" => "`i64`".to_owned(),
                "uint" => "`u64`".to_owned(),
                other => code(&other.replacen("uint", "u", 1).replacen("int", "i", 1)),
            };
            if *is_positive { name + " (at least 1)" } else { name }
        }
        Type::Float => "a number".to_owned(),
        Type::Text(None) => "a string".to_owned(),
        Type::Text(Some(format)) => format!("a string ({format})"),
        Type::Literal(json) => code(json),
        Type::Named(name) => format!("[{name}](#{})", name.to_lowercase()),
        Type::List(item) => format!("a list of {}", words(item)),
        Type::Tuple(items) if items.is_empty() => "an empty list".to_owned(),
        Type::Tuple(items) if items.iter().all(|item| *item == items[0]) => {
            format!("a list of {} {}", items.len(), words(&items[0]))
        }
        Type::Tuple(items) => format!("a list of {}: {}", items.len(), joined(items.iter().map(words).collect(), ", ")),
        Type::OneOf(variants) => joined(variants.iter().map(|one| words(&one.value)).collect(), " or "),
        Type::All(parts) => joined(parts.iter().map(words).collect(), " and "),
        Type::Object(Object { fields, rest }) => {
            let field = |field: &Field| {
                let may = if field.is_optional { " (optional)" } else { "" };
                format!("{}{may}: {}", code(&field.name), words(&field.value))
            };
            let mut all: Vec<String> = fields.iter().map(field).collect();
            match rest {
                Some(rest) if fields.is_empty() => return format!("a map of {}", words(rest)),
                Some(rest) => all.push(format!("other fields: {}", words(rest))),
                None => {}
            }
            if all.is_empty() { "`{}`".to_owned() } else { format!("{{ {} }}", joined(all, ", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_without_bars() {
        assert_eq!(cell("One\nline | two.\n\nA paragraph.\n"), "One line \\| two.<br>A paragraph.");
        assert_eq!(code("a`b"), "`` a`b ``");
    }
}
