//! JSON that JavaScript reads without rounding.
use super::links::VALUES;
use serde_json::{Map, Value};

/// The integers up to this one have a number of JavaScript of their own.
const MAX: i128 = (1 << 53) - 1;
/// Keywords with a value of the type, which is then given as a text.
const PREFIX: &str = "x-wsx-";

/// Returns a schema without numbers that JavaScript rounds. Such a bound, default or constant
/// becomes an extension with its text: `"maximum": 18446744073709551615` becomes
/// `"x-wsx-maximum": "18446744073709551615"`.
pub(super) fn exact(schema: Value) -> Value {
    match schema {
        Value::Object(object) => Value::Object(object.into_iter().flat_map(|(key, value)| entry(key, value)).collect()),
        Value::Array(all) => Value::Array(all.into_iter().map(exact).collect()),
        other => other,
    }
}

fn entry(key: String, value: Value) -> Map<String, Value> {
    let is_value = VALUES.contains(&&*key);
    let text = match &value {
        Value::Number(_) if is_rounded(&value) => Some(value.to_string()),
        _ if is_value && has_rounded(&value) => Some(value.to_string()),
        _ => None,
    };
    let entry = match text {
        Some(text) => (format!("{PREFIX}{key}"), Value::from(text)),
        None if is_value => (key, value),
        None => (key, exact(value)),
    };
    Map::from_iter([entry])
}

fn has_rounded(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.values().any(has_rounded),
        Value::Array(all) => all.iter().any(has_rounded),
        other => is_rounded(other),
    }
}

/// Whether this is an integer that JavaScript rounds.
fn is_rounded(value: &Value) -> bool {
    let unsigned = value.as_u64().map(i128::from);
    unsigned.or(value.as_i64().map(i128::from)).is_some_and(|number| !(-MAX..=MAX).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::exact;
    use serde_json::json;

    /// Row U9: JSON for JavaScript has no number that it rounds.
    #[test]
    fn a_number_that_javascript_rounds_becomes_a_text() {
        let max = (1_u64 << 53) - 1;
        let schema = json!({
            "maximum": u64::MAX,
            "minimum": i64::MIN,
            "default": { "limit": max + 1 },
            "enum": [1, u64::MAX],
            "properties": { "default": { "maximum": max, "minimum": 0 } },
            "anyOf": [{ "const": max + 1 }, { "const": 1.5 }],
        });
        let expected = json!({
            "x-wsx-maximum": "18446744073709551615",
            "x-wsx-minimum": "-9223372036854775808",
            "x-wsx-default": "{\"limit\":9007199254740992}",
            "x-wsx-enum": "[1,18446744073709551615]",
            "properties": { "default": { "maximum": max, "minimum": 0 } },
            "anyOf": [{ "x-wsx-const": "9007199254740992" }, { "const": 1.5 }],
        });
        assert_eq!(exact(schema), expected);
    }
}
