//! The file `asyncapi.json`: the protocol in AsyncAPI 3.0.0, as the hub sees it.
use super::{
    definitions::{Definitions, Ends, identifier},
    envelopes,
    exact::exact,
    model::docs,
    talk::{Sides, Talk},
};
use crate::{
    contract::Described,
    protocol::{Description, Travel},
};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Returns the schemas for `asyncapi.json`. AsyncAPI has those of draft 7.
pub(super) fn definitions<P: Described>(sides: &Sides) -> Result<Definitions, String> {
    let settings = SchemaSettings::draft07().with(|settings| settings.definitions_path = "/components/schemas".into());
    Definitions::of::<P>(sides, &settings, |_| false)
}

/// Returns `asyncapi.json`. `wire_key` gives the name of a message's key in its JSON.
pub(super) fn asyncapi(
    description: &Description,
    docs: &str,
    sides: &Sides,
    definitions: &Definitions,
    wire_key: impl Fn(&Travel) -> Option<String>,
) -> String {
    let mut document = Document { definitions, wire_key, messages: Map::new(), operations: Map::new() };
    let talks = sides.dialling();
    let channels: Map<String, Value> = talks.iter().map(|talk| document.channel(talk, sides.hub)).collect();
    let schemas = definitions.all.iter().map(|(name, schema)| (name.clone(), exact(schema.clone())));
    let keys = envelopes::keys().into_iter().map(|(name, schema)| (name.to_owned(), schema));
    let schemas: Map<String, Value> = schemas.chain(keys).collect();
    let Description { name, version, fingerprint, .. } = description;
    let mut info = json!({
        "title": name,
        "version": version.to_string(),
        "x-wsx-fingerprint": format!("{fingerprint:016x}"),
        "x-wsx-side": sides.hub,
    });
    if !docs.is_empty() {
        info["description"] = docs.into();
    }
    let mut all = json!({
        "asyncapi": "3.0.0",
        "info": info,
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": document.operations,
        "components": { "messages": document.messages, "schemas": schemas },
    });
    // Their order would otherwise depend on the features of another crate.
    all.sort_all_objects();
    format!("{all:#}\n")
}

/// The parts that all channels share.
struct Document<'d, K> {
    definitions: &'d Definitions,
    wire_key: K,
    messages: Map<String, Value>,
    operations: Map<String, Value>,
}

/// The connection of one side.
struct Channel {
    name: String,
    /// References to the messages, by their keys.
    messages: Map<String, Value>,
}

impl<K: Fn(&Travel) -> Option<String>> Document<'_, K> {
    /// Adds the messages and the operations of a side. Returns its channel, with its name.
    fn channel(&mut self, talk: &Talk, hub: &str) -> (String, Value) {
        let mut channel = Channel { name: identifier(&talk.side.to_lowercase()), messages: Map::new() };
        let Talk { sends, requests, receives, answers, side } = talk;
        for (action, group) in [("receive", sends), ("receive", requests), ("send", receives), ("send", answers)] {
            // What two sides that dial say to each other is not for the hub.
            for travel in group.iter().filter(|travel| travel.from == hub || travel.to == hub) {
                self.operation(&mut channel, action, travel);
            }
        }
        let value = json!({
            "title": side,
            "description": format!("The connection of {side}: a WebSocket. Each message is one text message."),
            "address": null,
            "messages": channel.messages,
        });
        (channel.name, value)
    }

    fn operation(&mut self, channel: &mut Channel, action: &str, travel: &Travel) {
        let schemas = self.definitions.find(travel);
        let data = |ends: &Ends| exact(ends.at_hub().clone());
        let own = travel.message_type;
        let mut message = self.message(own, &schemas.message, &envelopes::message(travel, &data(&schemas.message)));
        if travel.reply.is_some() {
            message["correlationId"] = json!({ "location": "$message.payload#/id" });
        }
        if !travel.policy.is_default() {
            let mut delivery = json!(travel.policy);
            (self.wire_key)(travel).into_iter().for_each(|key| delivery["key"] = key.into());
            message["x-wsx-delivery"] = delivery;
        }
        let mut operation = json!({
            "action": action,
            "channel": { "$ref": format!("#/channels/{}", channel.name) },
            "messages": [self.add(channel, &identifier(own), message)],
        });
        if let Some((reply, ends)) = travel.reply.as_ref().zip(schemas.reply.as_ref()) {
            let envelope = envelopes::reply(reply.message_type, &data(ends));
            let mut replies = vec![(identifier(reply.message_type), self.message(reply.message_type, ends, &envelope))];
            if let Some((refusal, ends)) = travel.refusal.as_ref().zip(schemas.refusal.as_ref()) {
                let envelope = envelopes::refusal(travel, refusal.message_type, &data(ends));
                replies.push((identifier(refusal.message_type), self.message(refusal.message_type, ends, &envelope)));
            }
            let failed = json!({
                "name": format!("{own} failed"),
                "title": format!("{own} failed"),
                "summary": "The request was not answered.",
                "payload": envelopes::failure(travel),
            });
            replies.push(("failed".to_owned(), failed));
            let replies: Vec<Value> = replies
                .into_iter()
                .map(|(key, mut message)| {
                    message["correlationId"] = json!({ "location": "$message.payload#/re" });
                    self.add(channel, &format!("{}.{key}", identifier(own)), message)
                })
                .collect();
            operation["reply"] =
                json!({ "channel": { "$ref": format!("#/channels/{}", channel.name) }, "messages": replies });
        }
        let mut name = format!("{}.{action}.{}", channel.name, identifier(own));
        while self.operations.contains_key(&name) {
            name.push('_');
        }
        self.operations.insert(name, operation);
    }

    /// A message with its docs.
    fn message(&self, message_type: &str, ends: &Ends, payload: &Value) -> Value {
        let mut message = json!({ "name": message_type, "title": message_type, "payload": payload });
        let docs = docs(self.definitions.resolve(ends.at_hub()));
        let summary = docs.lines().next().unwrap_or_default();
        if !summary.is_empty() {
            message["summary"] = summary.into();
        }
        if docs != summary {
            message["description"] = docs.into();
        }
        message
    }

    /// Adds a message to the document and to the channel. Returns a reference to the latter. A
    /// message that goes both ways, and is the same in both, is one.
    fn add(&mut self, channel: &mut Channel, key: &str, message: Value) -> Value {
        let mut key = key.to_owned();
        let full = |key: &str| format!("{}.{key}", channel.name);
        while self.messages.get(&full(&key)).is_some_and(|other| *other != message) {
            key.push('_');
        }
        let full = full(&key);
        channel.messages.insert(key.clone(), json!({ "$ref": format!("#/components/messages/{full}") }));
        self.messages.insert(full, message);
        json!({ "$ref": format!("#/channels/{}/messages/{key}", channel.name) })
    }
}
