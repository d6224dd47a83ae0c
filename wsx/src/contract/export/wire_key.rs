//! The name that the key of a message has in its JSON.
use super::definitions::Definitions;
use crate::protocol::Travel;

/// The names of the keys of a protocol's messages. `None` is a message without a key.
pub(super) fn wire_key(definitions: &Definitions, travel: &Travel) -> Result<Option<String>, String> {
    let Some(key) = travel.policy.key else { return Ok(None) };
    let schema = definitions.resolve(definitions.find(travel).message.at_hub());
    let has = |name: &String| schema.get("properties").is_some_and(|properties| properties.get(name).is_some());
    names(key).into_iter().find(has).map(Some).ok_or_else(|| {
        format!(
            "the key `{key}` of the message {:?} has another name in its JSON: rename the field in Rust to the name in \
             its JSON, or use `rename_all`",
            travel.message_type
        )
    })
}

/// The names that a field may have with `rename_all`, its own first.
fn names(field: &str) -> Vec<String> {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    let pascal: String = field.split('_').map(capital).collect();
    let mut letters = pascal.chars();
    let camel = letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string());
    let upper = field.to_ascii_uppercase();
    vec![
        field.to_owned(),
        camel + letters.as_str(),
        pascal.clone(),
        field.replace('_', "-"),
        upper.replace('_', "-"),
        upper,
        field.to_ascii_lowercase(),
    ]
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_field_has_the_names_of_serde() {
        let expected = ["device_id", "deviceId", "DeviceId", "device-id", "DEVICE-ID", "DEVICE_ID", "device_id"]
            .map(str::to_owned);
        assert_eq!(names("device_id"), expected);
    }
}
