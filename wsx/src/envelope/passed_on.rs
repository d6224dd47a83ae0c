//! The envelope of a message that another node of a cluster has written, as a frame of this node.
//! It does not know nodes.
use crate::{
    envelope::keys::Sent,
    wire::{
        header::Opcode,
        role::Role,
        write::{self, Draft, Frame},
    },
};
use std::{convert::Infallible, ops::Range};

/// An envelope that another node has written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassedOn<'e> {
    text: &'e str,
    /// See [`Frame::message_type`].
    message_type: &'static str,
    may_shrink: bool,
}

impl<'e> PassedOn<'e> {
    /// Returns the envelope, if it is text.
    pub(crate) fn new(envelope: &'e [u8], message_type: &'static str, may_shrink: bool) -> Option<Self> {
        let text = std::str::from_utf8(envelope).ok()?;
        Some(Self { text, message_type, may_shrink })
    }

    /// Returns the frame of a server with this envelope.
    pub(crate) fn frame(self) -> Frame {
        self.with("", 0..0).finish(Opcode::TEXT, Role::Server)
    }

    /// Returns the request in this envelope, with these keys in place of its own. `None` if the
    /// envelope is not a request of wsx.
    pub(crate) fn request(self, keys: Sent<'_>) -> Option<Draft> {
        let place = self.place_of_keys()?;
        let mut written = Vec::with_capacity(64);
        keys.write(&mut written).expect("the buffer grows");
        Some(self.with(std::str::from_utf8(&written).expect("JSON is UTF-8"), place))
    }

    /// Returns where `,"id":…,"ttl":…` is.
    fn place_of_keys(self) -> Option<Range<usize>> {
        // Neither can be part of the type before it: JSON escapes its quotes.
        let head = &self.text[..self.text.find(",\"data\":")?];
        let start = head.find(",\"id\":")?;
        let after = |rest: &'e str, key: &str| -> Option<&'e str> {
            let digits = rest.strip_prefix(key)?;
            let rest = digits.trim_start_matches(|digit: char| digit.is_ascii_digit());
            (rest.len() < digits.len()).then_some(rest)
        };
        let rest = after(after(&head[start..], ",\"id\":")?, ",\"ttl\":")?;
        Some(start..head.len() - rest.len())
    }

    /// Returns the envelope with a text in place of this part.
    fn with(self, text: &str, place: Range<usize>) -> Draft {
        let draft = write::draft(self.message_type, |buffer| {
            for part in [&self.text[..place.start], text, &self.text[place.end..]] {
                buffer.extend_from_slice(part.as_bytes());
            }
            Ok::<_, Infallible>(())
        });
        match draft {
            Ok(mut draft) => {
                draft.set_may_shrink(self.may_shrink);
                draft
            }
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;

    fn passed_on(envelope: &str) -> PassedOn<'_> {
        PassedOn::new(envelope.as_bytes(), "what", true).expect("it is text")
    }

    #[test]
    fn an_envelope_is_passed_on_unchanged() {
        let envelope = r#"{"ver":1,"type":"what","ts":5,"data":{"id":1}}"#;
        for may_shrink in [false, true] {
            let frame = PassedOn::new(envelope.as_bytes(), "what", may_shrink).expect("it is text").frame();
            assert_eq!((frame.message_type, frame.may_shrink), ("what", may_shrink));
            assert_eq!(frame.as_bytes(), [&[0x81, 46], envelope.as_bytes()].concat());
        }
        assert!(PassedOn::new(b"{\xff}", "what", true).is_none(), "a text frame carries UTF-8");
    }

    #[test]
    fn a_request_has_the_keys_of_the_node_that_sends_it() {
        let keys = Sent::Request { id: 71, ttl: 9000 };
        for (envelope, expected) in [
            (
                r#"{"ver":1,"type":"what","ts":5,"id":0,"ttl":10,"data":{"x":1,"id":3,"ttl":4}}"#,
                r#"{"ver":1,"type":"what","ts":5,"id":71,"ttl":9000,"data":{"x":1,"id":3,"ttl":4}}"#,
            ),
            (
                r#"{"ver":1,"type":"a,\"id\":1,\"ttl\":1,\"data\":","ts":5,"id":0,"ttl":1,"data":1}"#,
                r#"{"ver":1,"type":"a,\"id\":1,\"ttl\":1,\"data\":","ts":5,"id":71,"ttl":9000,"data":1}"#,
            ),
        ] {
            let draft = passed_on(envelope).request(keys).expect("it is a request");
            assert_eq!((draft.message_type(), std::str::from_utf8(draft.payload())), ("what", Ok(expected)));
            assert!(draft.finish(Opcode::TEXT, Role::Server).may_shrink);
        }
    }

    /// Another program may publish on the subject of a node.
    #[test]
    fn what_is_not_a_request_of_wsx_is_not_sent() {
        for envelope in [
            "",
            "no envelope",
            r#"{"type":"what","data":{"x":1,"id":0,"ttl":1}}"#,
            r#"{"type":"what","id":0,"data":1}"#,
            r#"{"type":"what","ttl":0,"data":1}"#,
            r#"{"type":"what","ttl":0,"id":0,"data":1}"#,
            r#"{"type":"what","id":"0","ttl":1,"data":1}"#,
            r#"{"type":"what","id":,"ttl":1,"data":1}"#,
            r#"{"type":"what","id":0,"ttl":,"data":1}"#,
            r#"{"type":"what","id":0,"ttl":1}"#,
        ] {
            assert!(passed_on(envelope).request(Sent::Request { id: 1, ttl: 1 }).is_none(), "{envelope}");
        }
    }
}
