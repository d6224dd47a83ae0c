//! The schemas of envelopes, as they are on the wire. It does not know documents.
use crate::{policy::Delivery, protocol::Travel};
use serde_json::{Map, Value, json};

/// The highest number of a kept message.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// The codes of failures that wsx itself has.
const CODES: [&str; 6] = ["not_handled", "bad_data", "failed", "busy", "expired", "no_reply"];

/// The keys that envelopes share, as schemas by name. A type has no such name, because of its dot.
pub(super) fn keys() -> [(&'static str, Value); 6] {
    let id = |description: &str| json!({ "description": description, "type": ["integer", "string"], "maxLength": 128 });
    [
        (
            "wsx.ver",
            json!({
                "description": "The version of the envelope. It is 1 if it is missing.",
                "type": "integer",
                "minimum": 0,
                "maximum": u32::MAX,
            }),
        ),
        (
            "wsx.ts",
            json!({
                "description": "When the message was made, in seconds since 1970-01-01 UTC. It is 0 if it is missing.",
                "type": "integer",
            }),
        ),
        ("wsx.id", id("The sender waits for a reply that has this as `re`.")),
        ("wsx.re", id("The `id` of the request.")),
        (
            "wsx.ttl",
            json!({
                "description": "How long the sender waits for the reply, in milliseconds.",
                "type": "integer",
                "minimum": 0,
            }),
        ),
        (
            "wsx.number",
            json!({
                "description": "The number of a message that its sender keeps until it is acknowledged.",
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_NUMBER,
            }),
        ),
    ]
}

/// Returns the envelope of a message or of a request, with this schema of its payload.
pub(super) fn message(travel: &Travel, data: &Value) -> Value {
    let mut keys = vec![data_key(data)];
    if travel.reply.is_some() {
        keys.push(("id", true, shared("id")));
        keys.push(("ttl", false, shared("ttl")));
    }
    let number = match travel.policy.delivery {
        Delivery::AtMostOnce => None,
        Delivery::AtLeastOnce => Some("seq"),
        Delivery::Latest => Some("latest"),
        Delivery::State => Some("state"),
    };
    keys.extend(number.map(|key| (key, false, shared("number"))));
    envelope(travel.message_type, keys)
}

/// Returns the envelope of a reply.
pub(super) fn reply(message_type: &str, data: &Value) -> Value {
    envelope(message_type, vec![data_key(data), re()])
}

/// Returns the envelope of a refusal, which has the type of the request.
pub(super) fn refusal(travel: &Travel, message_type: &str, data: &Value) -> Value {
    let code = json!({ "const": message_type });
    envelope(travel.message_type, vec![re(), failed(&code, Some(data))])
}

/// Returns the envelope of any other failure.
pub(super) fn failure(travel: &Travel) -> Value {
    let code = json!({
        "description": "One of the examples, or another one of the peer's own.",
        "type": "string",
        "examples": CODES,
    });
    envelope(travel.message_type, vec![re(), failed(&code, None)])
}

type Key = (&'static str, bool, Value);

fn data_key(data: &Value) -> Key {
    ("data", true, data.clone())
}

fn re() -> Key {
    ("re", true, shared("re"))
}

fn shared(key: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/wsx.{key}") })
}

fn failed(code: &Value, data: Option<&Value>) -> Key {
    let mut properties = json!({
        "code": code,
        "message": { "description": "A text for people.", "type": "string" },
    });
    let mut required = vec!["code"];
    if let Some(data) = data {
        properties["data"] = data.clone();
        required.push("data");
    }
    ("err", true, json!({ "type": "object", "required": required, "properties": properties }))
}

fn envelope(message_type: &str, keys: Vec<Key>) -> Value {
    let mut required = vec!["type"];
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({ "const": message_type }));
    properties.insert("ver".to_owned(), shared("ver"));
    properties.insert("ts".to_owned(), shared("ts"));
    for (key, is_required, schema) in keys {
        if is_required {
            required.push(key);
        }
        properties.insert(key.to_owned(), schema);
    }
    json!({ "type": "object", "required": required, "properties": properties })
}
