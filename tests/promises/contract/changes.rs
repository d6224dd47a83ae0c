//! The table of changes: each message, each direction, and the end that breaks.
use crate::File;

mod before {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Telemetry {
        pub phases: Vec<Phase>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct Phase {
        pub watts: u32,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Health {
        pub ok: bool,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Log {
        pub text: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Reboot {
        pub delay_s: u8,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Rebooted {
        pub how: How,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) enum How {
        Warm,
        Cold,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Update {
        pub url: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Updated {}

    wsx::protocol! {
        pub(super) Fleet v1 {
            Edge -> Server: Telemetry, Health, Log;
            Server -> Edge: Reboot -> Rebooted, Update -> Updated;
        }
    }
}

mod after {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[wsx(delivery = at_least_once, ttl = "1h")]
    pub(super) struct Telemetry {
        pub phases: Vec<Phase>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct Phase {
        pub watts: i64,
    }

    /// Renamed.
    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Condition {
        pub ok: bool,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Reboot {
        pub delay_s: u32,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Rebooted {
        pub how: How,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) enum How {
        Warm,
        Cold,
        Soft,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Update {
        pub url: String,
    }

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Installed {}

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    pub(super) struct Refused {}

    wsx::protocol! {
        pub(super) Fleet v1 {
            Edge -> Server: Telemetry, Condition;
            Server -> Edge: Reboot -> Rebooted | Refused, Update -> Installed;
        }
    }
}

/// Row U2: a request is read by the end that is asked, and its reply by the end that asks. A
/// message that was renamed in Rust is found by its name.
#[test]
fn each_change_names_the_end_that_breaks() {
    let file = File::new("changes");
    file.release::<before::Fleet>();
    let why = file.run::<after::Fleet>("accept").unwrap_err();
    let rows: Vec<Vec<String>> = why
        .lines()
        .filter(|line| line.starts_with("  "))
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect())
        .collect();
    let expected = [
        ["message", "field", "change", "breaks"],
        [
            "health",
            "-",
            "renamed to \"condition\": `#[wsx(type = \"health\")]` keeps the name",
            "new Server, which reads old Edge",
        ],
        ["log", "-", "removed", "new Server, which reads old Edge"],
        ["telemetry", "phases[].watts", "is i64, not u32", "old Server, which reads new Edge"],
        ["telemetry", "-", "delivery was at_most_once, is at_least_once, ttl 1h", "nothing"],
        ["reboot", "delay_s", "is u32, not u8", "old Edge, which reads new Server"],
        [
            "reboot -> rebooted",
            "how",
            "may be \"Soft\", which is none of \"Warm\" or \"Cold\"",
            "old Server, which reads new Edge",
        ],
        ["reboot", "-", "the refusal was none, is \"refused\"", "nothing"],
        ["update", "-", "the reply was \"updated\", is \"installed\"", "old Server, which reads new Edge"],
        ["update", "-", "the reply was \"updated\", is \"installed\"", "new Server, which reads old Edge"],
        ["condition", "-", "new, and an old Server does not know it", "nothing"],
    ];
    assert_eq!(rows, expected, "{why}");
}

/// Row U2: the other way round, other ends break.
#[test]
fn the_way_back_breaks_the_other_ends() {
    let file = File::new("back");
    file.release::<after::Fleet>();
    let why = file.run::<before::Fleet>("accept").unwrap_err();
    let broken = |field: &str| {
        let line = why.lines().find(|line| line.contains(field)).unwrap_or_else(|| panic!("{field}: {why}"));
        line.rsplit("  ").next().unwrap().to_owned()
    };
    assert_eq!(broken("phases[].watts"), "new Server, which reads old Edge");
    assert_eq!(broken("delay_s"), "new Edge, which reads old Server");
    assert_eq!(broken("Soft"), "new Server, which reads old Edge");
}

/// Makes a protocol whose message is an enum without a tag.
macro_rules! untagged {
    ($name:ident, $($variant:tt)*) => {
        mod $name {
            use schemars::JsonSchema;
            use serde::{Deserialize, Serialize};

            #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
            #[serde(untagged)]
            pub(super) enum Sample { $($variant)* }

            wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
        }
    };
}
untagged!(long_first, Long { a: u8, b: u8 }, Short { a: u8 });
untagged!(short_first, Short { a: u8 }, Long { a: u8, b: u8 });

/// Row U2: without a tag, the first variant that fits is read.
#[test]
fn an_earlier_variant_without_a_tag_takes_the_message() {
    let file = File::new("untagged");
    file.release::<long_first::Fleet>();
    let why = file.run::<short_first::Fleet>("").unwrap_err();
    assert!(why.contains("object is read as object, which comes first"), "{why}");
}

mod tree_before {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Tree {
        pub value: u8,
        pub all: Vec<Self>,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Tree; } }
}
mod tree_after {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Tree {
        pub value: u32,
        pub all: Vec<Self>,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Tree; } }
}

/// Row U2: a type that has itself inside is in the file by its name.
#[test]
fn a_type_that_has_itself_inside_is_compared() {
    let file = File::new("tree");
    file.release::<tree_before::Fleet>();
    assert!(
        file.text().contains("\"types\": {\"Tree\": {\"all\": {\"@list\": \"#Tree\"}, \"value\": \"u8\"}}"),
        "{}",
        file.text()
    );
    assert_eq!(file.run::<tree_before::Fleet>(""), Ok(None));
    let why = file.run::<tree_after::Fleet>("").unwrap_err();
    assert!(why.contains("is u32, not u8"), "{why}");
}
