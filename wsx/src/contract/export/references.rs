//! References between schemas. It does not know messages.
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// New names of definitions, by the old ones.
pub(super) type Names = BTreeMap<String, String>;

/// Returns the definitions that these schemas need.
pub(super) fn reachable<'s>(
    roots: impl Iterator<Item = &'s Value>,
    definitions: &Map<String, Value>,
    prefix: &str,
) -> Map<String, Value> {
    let mut open = BTreeSet::new();
    roots.for_each(|root| references(root, prefix, &mut open));
    let mut found = Map::new();
    while let Some(name) = open.pop_first() {
        if let Some(schema) = definitions.get(&name).filter(|_| !found.contains_key(&name)) {
            references(schema, prefix, &mut open);
            found.insert(name, schema.clone());
        }
    }
    found
}

/// Adds the names of the definitions that a schema refers to.
pub(super) fn references(schema: &Value, prefix: &str, to: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            to.extend(object.get("$ref").and_then(|reference| referred(reference, prefix)));
            object.values().for_each(|value| references(value, prefix, to));
        }
        Value::Array(all) => all.iter().for_each(|value| references(value, prefix, to)),
        _ => {}
    }
}

/// Gives each reference the name that its definition has here.
pub(super) fn rename(schema: &mut Value, prefix: &str, names: &Names) {
    match schema {
        Value::Object(object) => {
            let name = object.get("$ref").and_then(|reference| referred(reference, prefix));
            if let Some(own) = name.and_then(|name| names.get(&name)) {
                object.insert("$ref".to_owned(), Value::from(format!("{prefix}{own}")));
            }
            object.values_mut().for_each(|value| rename(value, prefix, names));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| rename(value, prefix, names)),
        _ => {}
    }
}

/// The name in a reference, which is a part of a URL, and of a JSON pointer.
fn referred(reference: &Value, prefix: &str) -> Option<String> {
    let name = reference.as_str()?.strip_prefix(prefix)?;
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = rest.get(1..3).filter(|_| first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &rest[3..] } else { after };
    }
    Some(String::from_utf8(bytes).ok()?.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_in_a_reference_is_decoded() {
        let schema = json!({ "anyOf": [{ "$ref": "#/$defs/A%20%F0%9F%9A%80~1~0" }, { "$ref": "#/$defs/100%" }] });
        let mut names = BTreeSet::new();
        references(&schema, "#/$defs/", &mut names);
        assert_eq!(names, ["100%", "A \u{1f680}/~"].map(str::to_owned).into());
    }
}
