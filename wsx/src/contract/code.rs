//! The version that the code has now, from its types. It does not know lock files.
use super::{
    describe::{Contract, Describer, NoShape},
    locked::notation::Both,
    locked::version::{BothTypes, Entry, Payload, Version},
};
use crate::{
    contract::{Described, SchemaOf},
    protocol::{Answer, Travel},
};

/// The version of the code, and what is wrong with its description.
pub(super) struct Code {
    pub(super) version: Version,
    pub(super) gaps: Vec<String>,
}

impl Code {
    /// Describes a protocol.
    pub(super) fn of<P: Described>() -> Result<Self, String> {
        let description = P::DESCRIPTION;
        let (mut written, mut read) = (Describer::new(Contract::Written), Describer::new(Contract::Read));
        let mut payload = |message_type: &str, schema: Option<SchemaOf>| -> Result<Payload, String> {
            let schema = schema.ok_or_else(|| no_schema(message_type))?;
            let wrong = |NoShape { path, why }| format!("`{path}` cannot be described: {why}");
            let data = Both {
                written: written.shape(message_type, schema).map_err(wrong)?,
                read: read.shape(message_type, schema).map_err(wrong)?,
            };
            Ok(Payload { message_type: message_type.to_owned(), data })
        };
        let mut messages = Vec::new();
        for (travel, [schema, of_reply, of_refusal]) in description.messages.iter().zip(P::schemas()) {
            let Travel { from, to, message_type, policy, reply, refusal, .. } = travel;
            let mut answer =
                |answer: &Option<Answer>, schema| answer.map(|own| payload(own.message_type, schema)).transpose();
            let (reply, refusal) = (answer(reply, of_reply)?, answer(refusal, of_refusal)?);
            messages.push(Entry {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                message: payload(message_type, schema)?,
                reply,
                refusal,
                delivery: if policy.is_default() { String::new() } else { policy.to_string() },
            });
        }
        messages.sort_by(|one, other| one.place().cmp(&other.place()));
        let mut gaps = written.gaps;
        gaps.extend(read.gaps);
        gaps.sort();
        gaps.dedup();
        let version = Version {
            number: description.version,
            fingerprints: vec![format!("{:016x}", description.fingerprint)],
            is_released: false,
            messages,
            types: BothTypes { written: written.types, read: read.types },
        };
        Ok(Self { version, gaps })
    }

    /// Returns the version, if each part of it has a type.
    pub(super) fn without_gaps(self) -> Result<Version, String> {
        if self.gaps.is_empty() {
            return Ok(self.version);
        }
        let list = self.gaps.join("`, `");
        Err(format!(
            "`{list}` can be any JSON, so no change of it would be found: give it a type, or say that this is meant \
             with `#[schemars(extend(\"x-wsx-any\" = true))]`"
        ))
    }
}

fn no_schema(message_type: &str) -> String {
    format!(
        "the message {message_type:?} has no schema: add `#[derive(schemars::JsonSchema)]` of schemars 1 to its type, \
         and to the types of its fields"
    )
}
