//! Reads the reply to a request, or the failure in its place. It does not know who waits for it.
use crate::{
    connection::request_error::{PeerFailure, RequestError},
    envelope::{
        Refusal, codes,
        failure::Failure,
        parse::{self, Parsed},
    },
    message::Message,
    wire::data_message::DataMessage,
};
use serde::de::{DeserializeOwned, Error as _};

/// Reads a reply, or the failure in its place.
pub(super) fn read<R: Message + DeserializeOwned, F: Refusal>(reply: &DataMessage) -> Result<R, RequestError<F>> {
    let DataMessage::Text(text) = reply else { unreachable!("only a text has the key `re`") };
    if let Some(parsed) = Parsed::by_shortcut(text).filter(|parsed| parsed.message_type == R::TYPE) {
        if let Some(reply) = parsed.data.decode() {
            return Ok(reply);
        }
    }
    // An unusual or wrong reply, or a failure.
    let parsed = Parsed::parse(text).map_err(RequestError::BadReply)?;
    if let Some(err) = parsed.keys.err {
        return Err(failed(err));
    }
    if parsed.message_type != R::TYPE {
        let why = format!("the reply has the type {:?}, and {:?} was expected", parsed.message_type, R::TYPE);
        return Err(RequestError::BadReply(serde_json::Error::custom(why)));
    }
    serde_json::from_str(parsed.data)
        .map_err(|error| RequestError::BadReply(parse::locate_in_text(error, parsed.data, text)))
}

/// Returns the error of a failure that the peer sent.
fn failed<F: Refusal>(err: &str) -> RequestError<F> {
    let Failure { code, message, data } = Failure::from_json(err);
    let text = || message.clone().into_owned();
    match F::decode(&code, data.map_or("null", |data| data.get())) {
        Some(Ok(refusal)) => return RequestError::Refused(refusal),
        Some(Err(error)) => return RequestError::BadReply(error),
        None => {}
    }
    match &*code {
        codes::NOT_HANDLED => RequestError::NotHandled(text()),
        codes::NO_REPLY => RequestError::NoReply,
        codes::BAD_DATA => RequestError::BadData(text()),
        codes::FAILED => RequestError::Failed(text()),
        codes::BUSY => RequestError::Busy,
        codes::EXPIRED => RequestError::Expired,
        _ => {
            let (code, data) = (code.into_owned(), data.map(ToOwned::to_owned));
            RequestError::Other(Box::new(PeerFailure { code, message: text(), data }))
        }
    }
}
