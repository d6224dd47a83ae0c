//! The messages that were recorded while the example `fleet` ran: one server, its page, and three
//! boxes on one machine. Each file has one envelope a line, in the order in which they were sent.

/// What one box sent to the hub.
const BOX: &str = include_str!("../../samples/box.jsonl");
/// What the hub sent to this box.
const HUB: &str = include_str!("../../samples/hub.jsonl");
/// What the hub of the page sent to a browser.
const PAGE: &str = include_str!("../../samples/page.jsonl");

/// The samples of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Samples {
    /// Telemetry of a box.
    Telemetry,
    /// Requests of a hub to a box.
    Orders,
    /// Changes that a hub broadcasts to all pages.
    Changes,
}

impl Samples {
    /// Returns the envelopes. Envelopes with a number or an id of a reply are left out: they belong
    /// to the connection on which they were recorded.
    pub(super) fn lines(self) -> Vec<&'static str> {
        let (file, types): (_, &[&str]) = match self {
            Self::Telemetry => (BOX, &["telemetry"]),
            Self::Orders => (HUB, &["check_health", "set_rate"]),
            Self::Changes => (PAGE, &["changes"]),
        };
        let is_chosen = |line: &&str| types.iter().any(|name| line.contains(&format!(r#""type":"{name}""#)));
        file.lines().filter(is_chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_an_envelope_and_each_direction_has_some() {
        for line in [BOX, HUB, PAGE].into_iter().flat_map(str::lines) {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        let counts = [Samples::Telemetry, Samples::Orders, Samples::Changes].map(|samples| samples.lines().len());
        assert!(counts[0] > 400 && counts[1] > 20 && counts[2] > 80, "{counts:?}");
    }
}
