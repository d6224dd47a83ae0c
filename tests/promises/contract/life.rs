//! A protocol from its first version to its second.
use crate::File;

/// Makes a protocol with one message.
macro_rules! protocol {
    ($name:ident, $version:ident, { $($fields:tt)* }) => {
        mod $name {
            use serde::{Deserialize, Serialize};

            #[derive(Serialize, Deserialize, schemars::JsonSchema, wsx::Message)]
            pub(super) struct Telemetry { $($fields)* }

            wsx::protocol! {
                pub(super) Fleet $version { Edge -> Server: Telemetry; }
            }
        }
    };
}

protocol!(first, v1, { celsius: f64 });
protocol!(with_option, v1, { celsius: f64, volts: Option<f64> });
protocol!(other_option, v1, { celsius: f64, amperes: Option<f64> });
protocol!(with_field, v1, { celsius: f64, volts: f64 });
protocol!(second, v2, { celsius: f64, volts: f64 });

/// Row U1: without its file, the check says how to make it.
#[test]
fn the_file_is_made_once() {
    let file = File::new("made");
    let why = file.run::<first::Fleet>("").unwrap_err();
    assert_eq!(why, "wsx.lock is not there: run this test once with WSX_CONTRACT=accept");
    assert_eq!(file.run::<first::Fleet>("accept"), Ok(Some("wsx.lock has version 1 of Fleet".to_owned())));
    assert_eq!(file.run::<first::Fleet>(""), Ok(None));
    assert_eq!(file.run::<first::Fleet>("accept"), Ok(None));
    let why = file.run::<first::Fleet>("yes").unwrap_err();
    assert_eq!(why, "WSX_CONTRACT is \"yes\": expected `accept`, `release` or `check`");
}

/// Row U1: what was not released may change in any way.
#[test]
fn a_version_that_was_not_released_is_replaced() {
    let file = File::new("replaced");
    file.run::<first::Fleet>("accept").unwrap();
    let why = file.run::<with_field::Fleet>("").unwrap_err();
    let expected = "\
Fleet is not as in wsx.lock:

  message    field  change                       breaks
  telemetry  volts  is missing, and is required  new Server, which reads old Edge

if this is meant, run this test with WSX_CONTRACT=accept, and commit the file
";
    assert_eq!(why, expected);
    file.run::<with_field::Fleet>("accept").unwrap();
    assert_eq!(file.run::<with_field::Fleet>(""), Ok(None));
    assert!(file.run::<first::Fleet>("").is_err());
}

/// Row U1: what was released stays. A change that breaks nobody is accepted, and any other needs a
/// higher version.
#[test]
fn a_version_that_was_released_stays() {
    let file = File::new("stays");
    file.release::<first::Fleet>();
    let why = file.run::<with_option::Fleet>("").unwrap_err();
    let expected = "\
Fleet is not as in wsx.lock:

  message    field  change                                             breaks
  telemetry  -      another shape, and each end still reads the other  nothing

if this is meant, run this test with WSX_CONTRACT=accept, and commit the file
";
    assert_eq!(why, expected);
    file.run::<with_option::Fleet>("accept").unwrap();
    assert_eq!(file.run::<with_option::Fleet>(""), Ok(None));
    file.release::<with_option::Fleet>();
    assert_eq!(file.text().matches("\"released\": true").count(), 2);

    for value in ["", "accept", "release"] {
        let why = file.run::<with_field::Fleet>(value).unwrap_err();
        assert!(why.starts_with("this breaks peers of version 1, which was released:"), "{why}");
        assert!(why.ends_with("\nkeep what they understand, or raise the version: `Fleet v2`\n"), "{why}");
    }
    let done = file.run::<second::Fleet>("accept").unwrap().unwrap();
    assert!(done.starts_with("wsx.lock: accepted version 2 of Fleet\n\n  message "), "{done}");
    assert_eq!(file.run::<second::Fleet>(""), Ok(None));
    file.release::<second::Fleet>();
    assert_eq!(file.text().matches("\"released\": true").count(), 3);
    assert_eq!(file.run::<second::Fleet>("release"), Ok(None), "it was released before");

    let why = file.run::<other_option::Fleet>("accept").unwrap_err();
    assert_eq!(why, "Fleet is version 1, and version 2 was released: raise the version in `protocol!`");
    let why = file.run::<other_option::Fleet>("").unwrap_err();
    assert!(why.starts_with("Fleet is version 1 in the code, and version 2 in wsx.lock:"), "{why}");
    assert_eq!(file.run::<first::Fleet>(""), Ok(None), "the code may be a version that was released");
}

/// Row U1: a version that was released stays, also if the code returns to it. What was accepted in
/// between gives its place.
#[test]
fn the_code_may_return_to_a_released_version() {
    let file = File::new("returns");
    file.release::<first::Fleet>();
    file.run::<with_option::Fleet>("accept").unwrap();
    assert_eq!(file.run::<first::Fleet>(""), Ok(None));
    let done = file.run::<first::Fleet>("accept").unwrap();
    assert_eq!(done.as_deref(), Some("wsx.lock: accepted version 1 of Fleet"));
    assert_eq!(file.text().matches("\"released\": true").count(), 1);
    assert!(!file.text().contains("false") && !file.text().contains("volts"), "{}", file.text());
    file.release::<with_option::Fleet>();
    assert_eq!(file.run::<first::Fleet>("release"), Ok(None));
    assert_eq!(file.text().matches("\"released\": true").count(), 2);
}

/// Row U1: a change of Rust alone may change the fingerprint, by which peers know each other.
#[test]
fn the_file_has_each_fingerprint() {
    mod alias {
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
        pub(super) struct Telemetry {
            #[serde(alias = "degrees")]
            celsius: f64,
        }
        wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Telemetry; } }
    }
    let digits = |fingerprint: u64| format!("\"{fingerprint:016x}\"");
    let (one, other) = (digits(first::Fleet::FINGERPRINT), digits(alias::Fleet::FINGERPRINT));
    let file = File::new("fingerprints");
    file.release::<first::Fleet>();
    assert!(file.text().contains(&format!("\"fingerprints\": [{one}]")), "{}", file.text());
    let why = file.run::<alias::Fleet>("").unwrap_err();
    assert!(why.starts_with("nothing has changed on the wire, but wsx.lock does not have the fingerprint"), "{why}");
    file.run::<alias::Fleet>("accept").unwrap();
    assert!(file.text().contains(&format!("\"fingerprints\": [{one}, {other}]")), "{}", file.text());
    assert_eq!((file.run::<alias::Fleet>(""), file.run::<first::Fleet>("")), (Ok(None), Ok(None)));
}

/// Row U1: a merge may put a version beside a released one of the same number, which it breaks.
#[test]
fn a_merged_version_that_breaks_a_released_one_is_found() {
    let (file, theirs) = (File::new("ours"), File::new("theirs"));
    file.release::<first::Fleet>();
    theirs.run::<with_field::Fleet>("accept").unwrap();
    let start = |text: &str| text.find("    {\n      \"version\"").unwrap();
    let (ours, other) = (file.text(), theirs.text());
    let end = ours.rfind("\n  ]").unwrap();
    let merged = format!("{},\n{}", &ours[..end], &other[start(&other)..]);
    std::fs::write(&file.0, merged).unwrap();
    let why = file.run::<with_field::Fleet>("").unwrap_err();
    assert!(why.starts_with("this breaks peers of version 1, which was released:"), "{why}");
}
