//! Links of rustdoc in docs, which lead nowhere in other documents.
use serde_json::Value;

/// The keywords whose value is not a schema, but a value of the type.
pub(super) const VALUES: [&str; 4] = ["const", "default", "enum", "examples"];

/// Removes the links from the docs of a schema, and of the schemas inside of it.
pub(super) fn remove_links(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object.iter_mut().filter(|(key, _)| !VALUES.contains(&&***key)) {
                match value {
                    Value::String(text) if key == "description" || key == "title" => *text = without_links(text),
                    other => remove_links(other),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(remove_links),
        _ => {}
    }
}

/// Returns the docs with plain code for each link to code: [`Stamp`] is `Stamp`.
pub(super) fn without_links(docs: &str) -> String {
    let mut text = String::new();
    let mut rest = docs;
    while let Some((before, after)) = rest.split_once("[`") {
        text += before;
        match after.split_once("`]") {
            Some((name, after)) if !name.contains(['`', '\n']) => {
                text += &format!("`{name}`");
                rest = without_target(after);
            }
            _ => {
                text += "[`";
                rest = after;
            }
        }
    }
    text + rest
}

/// The text after `(crate::Stamp)` or `[stamp]`.
fn without_target(text: &str) -> &str {
    let after = |open, close| text.strip_prefix::<char>(open)?.split_once::<char>(close);
    after('(', ')').or_else(|| after('[', ']')).map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_to_code_becomes_code() {
        for (docs, expected) in [
            ("The reply to [`SetRate`].", "The reply to `SetRate`."),
            ("[`A`](crate::A), [`B`][b] and [`C`]", "`A`, `B` and `C`"),
            ("[a page](https://example.org) and [`open", "[a page](https://example.org) and [`open"),
        ] {
            assert_eq!(without_links(docs), expected);
        }
        let mut schema = json!({
            "description": "[`A`]",
            "properties": { "description": { "title": "[`B`]", "default": { "title": "[`C`]" } } },
        });
        remove_links(&mut schema);
        let expected = json!({
            "description": "`A`",
            "properties": { "description": { "title": "`B`", "default": { "title": "[`C`]" } } },
        });
        assert_eq!(schema, expected);
    }
}
