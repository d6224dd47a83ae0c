//! How a message is delivered, as its type declares it. It does not know messages, queues or
//! stores.
use serde::{Serialize, Serializer};
use std::{fmt, time::Duration};

/// How the messages of a type are delivered: [`Message::POLICY`](crate::Message::POLICY).
///
/// The [derive](macro@crate::Message#delivery) makes it of `#[wsx(delivery = .., ttl = .., ..)]`.
/// A program can read it. It cannot change it at a call.
///
/// Its `Display` is the text of the attribute, without its quotes and equals signs.
///
/// ```
/// use wsx::{Message, message::{Delivery, Policy}};
/// use std::time::Duration;
///
/// #[derive(serde::Serialize, wsx::Message)]
/// #[wsx(delivery = at_least_once, ttl = "1h")]
/// struct Meter { watt_hours: u64 }
///
/// assert_eq!(Meter::POLICY.delivery, Delivery::AtLeastOnce);
/// assert_eq!(Meter::POLICY.ttl, Some(Duration::from_secs(3_600)));
/// assert_eq!(Meter::POLICY.to_string(), "at_least_once, ttl 1h");
///
/// #[derive(serde::Serialize, wsx::Message)]
/// struct Telemetry { celsius: f64 }
///
/// assert_eq!(Telemetry::POLICY, Policy::AT_MOST_ONCE);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Policy {
    /// How often the message is delivered, and which of several.
    pub delivery: Delivery,
    /// How long a message may wait until it is sent. Without it, a message waits without a limit of
    /// time.
    ///
    /// It is between 1 ms and 365 days. In JSON it is a number of milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_milliseconds")]
    pub ttl: Option<Duration>,
    /// The name of the field that distinguishes messages of [`Delivery::Latest`]. Without it, the
    /// type has one newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'static str>,
    /// What happens to a message of [`Delivery::AtLeastOnce`] if the store of waiting messages is
    /// full.
    #[serde(skip_serializing_if = "Full::is_default")]
    pub full: Full,
    /// Whether the message is also sent to a peer of a version that does not understand it, as far
    /// as this end knows. It is for a message that brings an update.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// Whether the message may be compressed. This is not part of how a message is delivered, so
    /// neither `Display` nor JSON has it, and a version of a protocol may change it.
    #[serde(skip)]
    pub compress: Compress,
}

/// Whether the messages of a type may be compressed, in a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compress {
    /// They are compressed if both ends agreed on it, and if that makes them shorter.
    #[default]
    Allowed,
    /// They are sent uncompressed. Use it for a type that has a secret: compression can reveal the
    /// secret to an eavesdropper; see `docs/SECURITY.md`, section "Compression".
    Never,
}

#[cfg(feature = "__engine")]
impl Compress {
    pub(crate) const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// How often a message is delivered, in a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// Once, or not at all if the connection breaks. The message is not kept.
    #[default]
    AtMostOnce,
    /// Until the peer has handled it. The messages of one sender arrive in order.
    AtLeastOnce,
    /// Only the newest message waits. It replaces an older one of the same type and key.
    Latest,
    /// The newest message is a state, which the receiver remembers. It does not expire.
    State,
}

/// What happens to a new message if the store of waiting messages is full, in a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Full {
    /// The send returns an error, and waiting messages stay.
    #[default]
    Reject,
    /// The oldest waiting messages of its type make room, if it then fits. Their loss is reported
    /// at both ends.
    DropOldest,
}

impl Policy {
    /// The policy of a type that does not declare one.
    pub const AT_MOST_ONCE: Self = Self::of(Delivery::AtMostOnce);

    /// Whether messages of this policy are kept until the peer has handled them: all but those of
    /// [`Delivery::AtMostOnce`].
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        !matches!(self.delivery, Delivery::AtMostOnce)
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn of(delivery: Delivery) -> Self {
        Self { delivery, ttl: None, key: None, full: Full::Reject, always: false, compress: Compress::Allowed }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_ttl(self, milliseconds: u64) -> Self {
        Self { ttl: Some(Duration::from_millis(milliseconds)), ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn with_key(self, field: &'static str) -> Self {
        Self { key: Some(field), ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn dropping_oldest(self) -> Self {
        Self { full: Full::DropOldest, ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn sent_always(self) -> Self {
        Self { always: true, ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn never_compressed(self) -> Self {
        Self { compress: Compress::Never, ..self }
    }

    /// Whether the type declares nothing about its delivery.
    pub(crate) const fn is_default(&self) -> bool {
        !self.is_kept() && self.ttl.is_none() && !self.always
    }

    /// The time to live in milliseconds. It is 0 if there is none.
    pub(crate) const fn ttl_milliseconds(&self) -> u64 {
        match self.ttl {
            Some(ttl) => milliseconds(ttl),
            None => 0,
        }
    }
}

impl Delivery {
    /// The name in the attribute.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AtMostOnce => "at_most_once",
            Self::AtLeastOnce => "at_least_once",
            Self::Latest => "latest",
            Self::State => "state",
        }
    }
}

impl Full {
    /// The name in the attribute.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::DropOldest => "drop_oldest",
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(crate) const fn is_default(&self) -> bool {
        matches!(self, Self::Reject)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.delivery)?;
        if let Some(ttl) = self.ttl {
            let (number, unit) = in_units(milliseconds(ttl));
            write!(f, ", ttl {number}{unit}")?;
        }
        if let Some(key) = self.key {
            write!(f, ", key {key}")?;
        }
        if !self.full.is_default() {
            write!(f, ", full {}", self.full)?;
        }
        if self.always { f.write_str(", always") } else { Ok(()) }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn milliseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000).saturating_add(duration.subsec_millis() as u64)
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference")]
fn as_milliseconds<S: Serializer>(ttl: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    ttl.map(milliseconds).serialize(serializer)
}

/// The duration in the largest unit of the attribute in which it is a whole number.
fn in_units(milliseconds: u64) -> (u64, &'static str) {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.into_iter().find(|(unit, _)| milliseconds % unit == 0);
    fits.map_or((milliseconds, "ms"), |(unit, name)| (milliseconds / unit, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Rows G1, U6: a policy is printed as in the attribute, with the ttl in its largest unit.
    #[test]
    fn a_policy_is_printed_as_it_is_declared() {
        let at_least_once = Policy::of(Delivery::AtLeastOnce);
        for (policy, expected) in [
            (Policy::AT_MOST_ONCE, "at_most_once"),
            (Policy::AT_MOST_ONCE.with_ttl(1_500), "at_most_once, ttl 1500ms"),
            (at_least_once, "at_least_once"),
            (at_least_once.with_ttl(90_000), "at_least_once, ttl 90s"),
            (at_least_once.with_ttl(300_000), "at_least_once, ttl 5m"),
            (at_least_once.with_ttl(3_600_000), "at_least_once, ttl 1h"),
            (at_least_once.with_ttl(31_536_000_000).dropping_oldest(), "at_least_once, ttl 365d, full drop_oldest"),
            (Policy::of(Delivery::Latest).with_key("device"), "latest, key device"),
            (Policy::of(Delivery::State), "state"),
            (Policy::AT_MOST_ONCE.sent_always(), "at_most_once, always"),
            (at_least_once.dropping_oldest().sent_always(), "at_least_once, full drop_oldest, always"),
        ] {
            assert_eq!(policy.to_string(), expected);
        }
    }

    /// Row G1: in JSON, the options have the names of the attribute, and the ttl is in
    /// milliseconds.
    #[test]
    fn a_policy_is_serialized_with_the_names_of_its_options() {
        let json = |policy: Policy| serde_json::to_value(policy).unwrap();
        assert_eq!(json(Policy::AT_MOST_ONCE), json!({"delivery": "at_most_once"}));
        let all = Policy::of(Delivery::AtLeastOnce).with_ttl(1_500).with_key("device").dropping_oldest();
        assert_eq!(
            json(all),
            json!({"delivery": "at_least_once", "ttl": 1500, "key": "device", "full": "drop_oldest"})
        );
        for (delivery, name) in [(Delivery::Latest, "latest"), (Delivery::State, "state")] {
            assert_eq!(json(Policy::of(delivery)), json!({ "delivery": name }));
        }
        for full in [Full::Reject, Full::DropOldest] {
            assert_eq!(serde_json::to_value(full).unwrap(), full.to_string());
        }
    }
}
