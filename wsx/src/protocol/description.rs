//! A protocol as a value, to print or to serialize. The compiler's checks do not use it.
use crate::policy::Policy;
use serde::{Serialize, Serializer};
use std::fmt;

/// A protocol as a value, to print or to serialize. [`protocol!`](crate::protocol!) makes one for
/// each protocol.
///
/// ```
/// # mod fleet {
/// #     #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// #     pub struct Health { pub ok: bool }
/// #     wsx::protocol! { pub Fleet v1 { Edge -> Server: Health; } }
/// # }
/// # use fleet::Fleet;
/// println!("{}", Fleet::DESCRIPTION);
/// assert_eq!(Fleet::DESCRIPTION.messages[0].message_type, "health");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The name of the protocol.
    pub name: &'static str,
    /// The version of the protocol.
    pub version: u32,
    /// A hash of all messages, their directions, their replies and their policies. The order of the
    /// lines does not count.
    ///
    /// It covers as much of a message as
    /// [`Message::FINGERPRINT`](crate::Message::FINGERPRINT). In JSON it has 16 hexadecimal digits,
    /// because JavaScript rounds long numbers.
    #[serde(serialize_with = "as_digits")]
    pub fingerprint: u64,
    /// Every message, in the order of the protocol.
    pub messages: &'static [Travel],
}

/// One message of a [`Description`], in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Travel {
    /// The side that sends it.
    pub from: &'static str,
    /// The side that receives it.
    pub to: &'static str,
    /// The type string of the message.
    pub message_type: &'static str,
    /// The fingerprint of the message. In JSON it has 16 hexadecimal digits.
    #[serde(serialize_with = "as_digits")]
    pub fingerprint: u64,
    /// How the message is delivered. In JSON it is missing if the message does not declare it.
    #[serde(skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
    /// The reply, if the message is a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Answer>,
    /// The message with which the receiver may refuse the request, if the protocol names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Answer>,
}

/// The reply or the refusal of a request, in a [`Travel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Answer {
    /// The type string of the message.
    pub message_type: &'static str,
    /// The fingerprint of the message. In JSON it has 16 hexadecimal digits.
    #[serde(serialize_with = "as_digits")]
    pub fingerprint: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(super) fn as_digits<S: Serializer>(fingerprint: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:016x}"))
}

impl Answer {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(message_type: &'static str, fingerprint: u64) -> Self {
        Self { message_type, fingerprint }
    }
}

impl Travel {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(from: &'static str, to: &'static str, message_type: &'static str, fingerprint: u64) -> Self {
        Self { from, to, message_type, fingerprint, policy: Policy::AT_MOST_ONCE, reply: None, refusal: None }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn delivered(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn answered(self, reply: Answer, refusal: Option<Answer>) -> Self {
        Self { reply: Some(reply), refusal, ..self }
    }
}

impl Description {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, version: u32, fingerprint: u64, messages: &'static [Travel]) -> Self {
        Self { name, version, fingerprint, messages }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{} ({:016x})", self.name, self.version, self.fingerprint)?;
        self.messages.iter().try_for_each(|message| {
            write!(f, "\n  {} -> {}: {}", message.from, message.to, message.message_type)?;
            if let Some(reply) = &message.reply {
                write!(f, " -> {}", reply.message_type)?;
            }
            if let Some(refusal) = &message.refusal {
                write!(f, " | {}", refusal.message_type)?;
            }
            if !message.policy.is_default() {
                write!(f, " [{}]", message.policy)?;
            }
            write!(f, " ({:016x}", message.fingerprint)?;
            let answers = [&message.reply, &message.refusal];
            answers.into_iter().flatten().try_for_each(|answer| write!(f, ", {:016x}", answer.fingerprint))?;
            f.write_str(")")
        })
    }
}
