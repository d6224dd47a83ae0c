//! The payload of a received message, decoded into the type that its handler takes. It does not
//! know the handler.
use crate::{
    closed::Closed,
    envelope::{
        Envelope,
        incoming::{Data, Incoming, RawFrame},
        parse::{self, Parsed},
    },
    error::HandlerError,
};
use serde::Deserialize;
use std::any::type_name;

/// Returns the payload as `T`.
pub(crate) fn payload<'f, T: Deserialize<'f>>(incoming: &Incoming<'f>) -> Result<T, HandlerError> {
    match incoming.data {
        Data::Json(data) => decode(data, incoming.frame.and_then(RawFrame::as_text)),
        Data::Undecoded(data) => data.decode().map_or_else(|| decode_slowly(data.text), Ok),
    }
}

/// Decodes the payload of a text that could not be read in one pass, because it is unusual or
/// wrong. If the text is not an envelope, `dispatch` finds that too, and does not use the result.
#[cold]
fn decode_slowly<'f, T: Deserialize<'f>>(text: &'f str) -> Result<T, HandlerError> {
    match Parsed::parse(text) {
        // `dispatch` parses it completely.
        Ok(parsed) if parsed.has_late_keys(text) => {
            Err(HandlerError::Argument { argument: "a payload", why: "keys follow it".into() })
        }
        Ok(parsed) => decode(parsed.data, Some(text)),
        Err(source) => Err(HandlerError::Decode { expected: "an envelope", path: ".".to_owned(), source }),
    }
}

/// Decodes JSON as `T`. After a failure it decodes again, more slowly, to find the path of the
/// wrong value. Line and column are those of the text that contains the JSON.
fn decode<'f, T: Deserialize<'f>>(data: &'f str, text: Option<&str>) -> Result<T, HandlerError> {
    serde_json::from_str(data).map_err(|plain| {
        let mut json = serde_json::Deserializer::from_str(data);
        let (path, source) = match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Err(error) => (error.path().to_string(), error.into_inner()),
            // The type decodes differently the second time, or text follows its value.
            Ok(_) => (".".to_owned(), plain),
        };
        let source = match text {
            Some(text) => parse::locate_in_text(source, data, text),
            None => source,
        };
        HandlerError::Decode { expected: type_name::<T>(), path, source }
    })
}

/// Returns the payload in its envelope.
pub(crate) fn envelope<'f, T: Deserialize<'f>>(incoming: &Incoming<'f>) -> Result<Envelope<T>, HandlerError> {
    let data = payload(incoming)?;
    let mut envelope = Envelope::with_type(incoming.message_type.clone().into_owned(), data);
    (envelope.ver, envelope.ts) = incoming.ver_and_ts();
    Ok(envelope)
}

/// Returns the message itself. The opening and end of a connection do not have one.
pub(crate) fn raw_frame<'f>(incoming: &Incoming<'f>) -> Result<&'f RawFrame<'f>, HandlerError> {
    incoming.frame.ok_or(HandlerError::Argument {
        argument: "RawFrame",
        why: "`__open__` and `__close__` have no message".into(),
    })
}

/// Returns the reason for the end of the connection, in a handler of `__close__`.
pub(crate) fn closed(incoming: &Incoming<'_>) -> Result<Closed, HandlerError> {
    let closed = incoming.closed.cloned();
    closed.ok_or(HandlerError::Argument {
        argument: "Closed",
        why: "the connection has not ended: take it in a handler of `__close__`".into(),
    })
}
