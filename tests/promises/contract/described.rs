//! What the lock file says of a type.
use crate::File;

mod everything {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use std::{
        borrow::Cow,
        collections::{BTreeMap, BTreeSet},
        num::NonZeroU8,
    };

    #[derive(Serialize, Deserialize, JsonSchema, wsx::Message)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Sample<'a> {
        #[serde(borrow)]
        pub device: Cow<'a, str>,
        pub celsius: f64,
        pub count: u64,
        pub rate: NonZeroU8,
        pub note: Option<String>,
        #[serde(default)]
        pub retries: u8,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub tags: Vec<String>,
        #[serde(skip_serializing)]
        #[expect(dead_code, reason = "it is only read")]
        pub secret: Option<char>,
        pub pair: (u8, bool),
        pub three: [i32; 3],
        pub seen: BTreeSet<i8>,
        pub names: BTreeMap<String, u16>,
        pub numbers: BTreeMap<u32, Kind>,
        pub state: State,
        #[serde(rename = "@odd?")]
        pub odd: (),
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Kind {
        /// The one at home.
        AtHome,
        Away,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    pub(super) enum State {
        Off,
        On { since_s: u64 },
    }

    wsx::protocol! { pub(super) Fleet v3 { Edge -> Server: Sample<'_>; } }
}

/// Row U3: the file is for people too: what fits into a line is in one line.
#[test]
fn the_file_has_the_shape_of_each_message() {
    let file = File::new("everything");
    file.release::<everything::Fleet>();
    let text = file.text();
    let messages = text.split_once("\"messages\"").unwrap().1;
    let expected = r#": [
        {
          "message": "sample",
          "from": "Edge",
          "to": "Server",
          "data": {
            "@name(5)@odd?": "null",
            "celsius": "float",
            "count": "u64",
            "device": "string",
            "names": {"@map": "u16"},
            "note?": ["string", "null"],
            "numbers": {"@map(unsigned)": ["=\"away\"", "=\"at_home\""]},
            "pair": {"@tuple": ["u8", "bool"]},
            "rate": "1..255",
            "retries?": "u8",
            "secret?<": ["char", "null"],
            "seen": {"@list": "i8"},
            "state": [{"kind": "=\"Off\""}, {"kind": "=\"On\"", "since_s": "u64"}],
            "tags?~": {"@list": "string"},
            "three": {"@list(3..3)": "i32"},
            "@rejects_others": true
          }
        }
      ]
    }
  ]
}
"#;
    assert_eq!(messages, expected);
    assert_eq!(file.run::<everything::Fleet>(""), Ok(None), "what was written is read again");
}

mod any {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Sample {
        pub extra: Vec<serde_json::Value>,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}
mod meant {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Sample {
        #[schemars(extend("x-wsx-any" = true))]
        pub extra: serde_json::Value,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}
mod without {
    #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
    pub(super) struct Sample {
        pub a: u8,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}

/// Row U3: what has no shape is an error that names it, unless it is meant.
#[test]
fn what_has_no_shape_is_named() {
    let file = File::new("any");
    let why = file.run::<any::Fleet>("accept").unwrap_err();
    assert!(why.starts_with("`sample.extra[]` can be any JSON, so no change of it would be found"), "{why}");
    let why = file.run::<without::Fleet>("accept").unwrap_err();
    assert!(why.starts_with("the message \"sample\" has no schema: add `#[derive(schemars::JsonSchema)]`"), "{why}");
    file.release::<meant::Fleet>();
    assert!(file.text().contains("\"data\": {\"extra\": \"any\"}"), "{}", file.text());
    assert_eq!(file.run::<meant::Fleet>(""), Ok(None));
}
