//! Lock files that are damaged, merged badly, or from elsewhere.
use crate::File;
use std::fs;

mod fleet {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Sample {
        pub a: u8,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}
mod other {
    wsx::protocol! { pub(super) Plant v1 { Edge -> Server: super::fleet::Sample; } }
}

/// Row U4: each names the line, and says what is wrong there.
#[test]
fn a_file_that_cannot_be_read_names_the_line() {
    let file = File::new("wrong");
    file.release::<fleet::Fleet>();
    let good = file.text();
    let line_of = |text: &str, what: &str| text[..text.find(what).unwrap()].matches('\n').count() + 1;
    let version = "\"version\": 1";
    let cases = [
        (good.replacen("\"released\": true,", "\"released\": true", 1), "\"messages\"", "this is not JSON: "),
        (good.replacen("\"released\": true", "\"released\": 1", 1), "\"released\"", "expected true or false"),
        (good.replacen("\"u8\"", "\"u9\"", 1), "\"u9\"", "\"u9\" is not a shape"),
        (
            good.replacen("\"wsx.lock\": 1", "\"wsx.lock\": 9", 1),
            "\"wsx.lock\"",
            "a later wsx wrote this file: it has the format 9",
        ),
        (
            good.replacen(version, "\"version\": 1, \"version\": 2", 1),
            "\"version\": 2",
            "the key \"version\" comes twice",
        ),
        (good.replacen(version, "\"versoin\": 1", 1), "{\n      \"versoin\"", "the key \"version\" is missing here"),
        (good.replacen(version, "\"more\": 1, \"version\": 1", 1), "\"more\"", "the key \"more\" is not known"),
        (
            good.replacen("{\"a\": \"u8\"}", "{\"a\": \"u8\", \"a?\": \"u8\"}", 1),
            "\"u8\"}",
            "the field \"a\" comes twice",
        ),
        (good.replacen("\"u8\"", "{\"@list(x)\": \"u8\"}", 1), "\"@list", "\"@list(x)\" is not a list"),
        (good.replacen("\"u8\"", "\"#Tree\"", 1), "{\"message\"", "the type \"Tree\" is not among the types"),
        (good.replacen("{\"a\": \"u8\"}", "{\"a??\": \"u8\"}", 1), "\"a??\"", "\"a??\" is not a field"),
        (format!("<<<<<<< ours\n{good}"), "<<<<<<<", "git could not merge this file"),
        (good.replace("  \"versions\"", "=======\n  \"versions\""), "=======", "git could not merge this file"),
        (String::new(), "", "this is not JSON: "),
    ];
    for (text, place, what) in cases {
        fs::write(&file.0, &text).unwrap();
        let line = line_of(&text, place);
        let why = file.run::<fleet::Fleet>("accept").unwrap_err();
        assert!(why.starts_with(&format!("wsx.lock, line {line}: {what}")), "{why}\n{text}");
    }
    fs::write(&file.0, &good).unwrap();
    assert_eq!(file.run::<fleet::Fleet>(""), Ok(None));
    let why = file.run::<other::Plant>("accept").unwrap_err();
    assert!(why.starts_with("wsx.lock is of the protocol Fleet, and this is Plant: name another file, as in"), "{why}");
}

/// Row U4: a merge that keeps the same version of both sides, or a version in a wrong place.
#[test]
fn versions_come_in_order_and_once() {
    let file = File::new("order");
    file.release::<fleet::Fleet>();
    let good = file.text();
    let start = good.find("    {\n      \"version\"").unwrap();
    let end = good.rfind("\n  ]").unwrap();
    let (head, version, tail) = (&good[..start], &good[start..end], &good[end..]);
    let cases = [
        (version.to_owned(), "this is the same as an earlier version 1: delete one of them"),
        (
            version.replacen("\"version\": 1", "\"version\": 0", 1),
            "version 0 comes after version 1: the oldest is first",
        ),
    ];
    for (second, what) in cases {
        fs::write(&file.0, format!("{head}{version},\n{second}{tail}")).unwrap();
        let why = file.run::<fleet::Fleet>("").unwrap_err();
        assert!(why.ends_with(what), "{why}");
    }
    let unreleased = version.replacen("true", "false", 1);
    let second = version.replacen("\"version\": 1", "\"version\": 2", 1);
    fs::write(&file.0, format!("{head}{unreleased},\n{second}{tail}")).unwrap();
    let why = file.run::<fleet::Fleet>("").unwrap_err();
    assert!(why.ends_with("version 1 is not released, and only the last one may be so"), "{why}");
}
