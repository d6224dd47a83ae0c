//! The files for other languages: what they say is what Rust writes and reads: row U9 of the
//! specification.
mod web;
mod zoo;

use serde_json::{Value, json};
use std::{fmt::Write as _, fs, path::PathBuf};
use wsx::contract::{Described, export_as};
use zoo::{Zoo, samples};

/// A folder of one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("export").join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// Writes the files of a protocol.
fn export<P: Described>(name: &str) -> PathBuf {
    let folder = folder(name);
    export_as::<P>(&folder, None, "accept").unwrap().expect("the folder was not there");
    folder
}

/// The type in TypeScript, such as `Keeper["sends"]["weighed"]`.
fn type_of(path: &str) -> String {
    let keys: String =
        path.splitn(if path.starts_with("rec") { 2 } else { 3 }, '.').fold(String::new(), |mut text, key| {
            let _ = write!(text, "[{key:?}]");
            text
        });
    format!("ZooKeeper{keys}")
}

/// Strict TypeScript takes each value that Rust writes, and rejects values with a mistake.
#[test]
fn what_rust_writes_has_its_type_in_typescript() {
    let folder = export::<Zoo>("typescript");
    let mut good = "import type { ZooKeeper } from \"./types.js\";\n".to_owned();
    for (at, sample) in samples().iter().enumerate() {
        let _ = writeln!(good, "export const value{at}: {} = {};", type_of(sample.of), sample.data);
    }
    fs::write(folder.join("good.ts"), &good).unwrap();
    let errors = web::type_check(&[&folder.join("good.ts"), &folder.join("client.ts"), &folder.join("store.ts")]);
    assert_eq!(errors, "", "{good}\n{}", fs::read_to_string(folder.join("types.ts")).unwrap());
}

/// The constant of a side in JavaScript has its messages by their types, with their delivery.
#[test]
fn the_side_in_javascript_says_how_messages_are_delivered() {
    let folder = export::<Zoo>("javascript");
    let side: Value = serde_json::from_str(&web::constant(&folder.join("client.js"), "ZooKeeper")).unwrap();
    let at_most_once = || json!({"delivery": "at_most_once"});
    let expected = json!({
        "protocol": "Zoo",
        "version": 2,
        "fingerprint": format!("{:016x}", Zoo::FINGERPRINT),
        "side": "Keeper",
        "sends": {
            "moved": {"delivery": "latest", "key": "animalId"},
            "note": at_most_once(),
            "seen": at_most_once(),
            "signed": at_most_once(),
            "weighed": {"delivery": "at_least_once", "ttl": 3_600_000, "full": "drop_oldest"},
        },
        "requests": {"feed": {"reply": "fed", "refusal": "not_hungry"}},
        "receives": {
            "animals": {"delivery": "state"},
            "closed: now/soon": at_most_once(),
            "names": at_most_once(),
            "note": at_most_once(),
            "seen": at_most_once(),
            "signed": at_most_once(),
        },
        "answers": {"count": {"reply": "counted", "refusal": null}},
    });
    assert_eq!(side, expected);
}

/// Each mistake is an error of its own: a line without one would be an error too.
#[test]
fn a_mistake_is_an_error_in_typescript() {
    let folder = export::<Zoo>("mistakes");
    let head = "import type { ZooKeeper, NoteSent, Note } from \"./types.js\";\n\
                type Sends = ZooKeeper[\"sends\"]; type Receives = ZooKeeper[\"receives\"];\n";
    let lines = [
        ("a field is missing", "a: Sends[\"note\"] = {}"),
        ("a field has another type", "b: Sends[\"note\"] = { text: 1 }"),
        ("a field is unknown", "c: Sends[\"note\"] = { text: \"a\", txt: \"b\" }"),
        ("null is not undefined", "d: Sends[\"note\"] = { text: \"a\", reply_to: undefined }"),
        ("a received option is always there", "e: Receives[\"note\"] = { text: \"a\", limit: 1 }"),
        ("a text is not an integer", "f: NoteSent = { text: \"a\", limit: \"5\" }"),
        ("the other direction", "g: Sends[\"animals\"] = null"),
        ("a request is not sent", "h: Sends[\"feed\"] = { at: \"\" }"),
        ("a variant is unknown", "i: ZooKeeper[\"requests\"][\"feed\"][\"request\"] = { at: \"\", with: [\"Grass\"] }"),
        ("a variant has no data", "j: ZooKeeper[\"requests\"][\"feed\"][\"refusal\"] = { t: \"Ate\" }"),
        ("a variant has too much", "k: ZooKeeper[\"requests\"][\"feed\"][\"refusal\"] = { t: \"Sleeps\", c: 1 }"),
        ("an empty struct has no fields", "l: Receives[\"closed: now/soon\"] = { a: 1 }"),
        ("nothing refuses it", "m: ZooKeeper[\"answers\"][\"count\"][\"refusal\"] = null"),
        ("what was sent is not what is received", "n: (note: NoteSent) => Note = (note) => note"),
        ("a flattened field is missing", "o: Sends[\"moved\"] = { animalId: 1, left: true, north: 1, mood: \"calm\" }"),
        ("a value of a map", "p: Receives[\"names\"] = { first: \"a\", other: true }"),
        ("a tuple is too short", "q: Sends[\"weighed\"][\"not_zero\"] = [1]"),
        ("an option inside", "s: Receives[\"signed\"] = { stamp: {} }"),
        ("an unknown value is checked before use", "r: (all: Receives[\"animals\"]) => number = (all) => all.extra"),
    ];
    let mut text = head.to_owned();
    lines.iter().for_each(|(why, line)| {
        let _ = writeln!(text, "// @ts-expect-error {why}\nexport const {line};");
    });
    text += "export const exact: NoteSent = { text: \"a\", limit: 18446744073709551615n };\n\
             export const inside: Sends[\"signed\"] = { stamp: {} };\n\
             export const at = (seen: Receives[\"seen\"]): number => seen.at;\n";
    fs::write(folder.join("mistakes.ts"), &text).unwrap();
    assert_eq!(web::type_check(&[&folder.join("mistakes.ts")]), "", "{text}");
}

/// AsyncAPI's own parser finds no error and no warning, and each envelope is valid.
#[test]
fn what_rust_writes_is_valid_in_asyncapi() {
    let folder = export::<Zoo>("asyncapi");
    let samples = samples();
    let mut envelopes: Vec<(&str, &str)> = samples.iter().map(|one| (one.message, &*one.envelope)).collect();
    let failure = r#"{"type":"feed","re":"a","err":{"code":"busy","message":"later"}}"#;
    envelopes.push(("keeper.feed.failed", failure));
    fs::write(folder.join("envelopes.json"), serde_json::to_string(&envelopes).unwrap()).unwrap();
    let said = web::asyncapi(&folder.join("asyncapi.json"), &folder.join("envelopes.json"));
    let mut expected = "operations with a reply: 2\n".to_owned();
    for (message, _) in &envelopes {
        let _ = writeln!(expected, "{message}: valid");
    }
    assert_eq!(said, expected);
}

/// What Rust would not read, or never writes, is not valid.
#[test]
fn an_envelope_with_a_mistake_is_not_valid_in_asyncapi() {
    let folder = export::<Zoo>("not_valid");
    let envelopes = [
        ("keeper.note", r#"{"type":"note","data":{}}"#, "data/data must have required property 'text'"),
        ("keeper.note_", r#"{"type":"note","data":{"text":"a"}}"#, "data/data must have required property 'reply_to'"),
        ("keeper.note", r#"{"type":"other","data":{"text":"a"}}"#, "data/type must be equal to constant"),
        ("keeper.note", r#"{"data":{"text":"a"}}"#, "data must have required property 'type'"),
        ("keeper.note", r#"{"type":"note","ver":-1,"data":{"text":"a"}}"#, "data/ver must be >= 0"),
        ("keeper.feed", r#"{"type":"feed","id":1,"data":{"at":"","a":1}}"#, "data/data must NOT have additional"),
        ("keeper.feed", r#"{"type":"feed","data":{"at":""}}"#, "data must have required property 'id'"),
        ("keeper.weighed", r#"{"type":"weighed","seq":0,"data":{}}"#, "data/seq must be >= 1"),
        ("keeper.feed.fed", r#"{"type":"fed","data":[]}"#, "data must have required property 're'"),
        ("keeper.feed.failed", r#"{"type":"feed","re":1,"err":{}}"#, "data/err must have required property 'code'"),
    ];
    let list: Vec<_> = envelopes.iter().map(|(message, envelope, _)| (message, envelope)).collect();
    fs::write(folder.join("envelopes.json"), serde_json::to_string(&list).unwrap()).unwrap();
    let said = web::asyncapi(&folder.join("asyncapi.json"), &folder.join("envelopes.json"));
    assert_eq!(said.lines().count(), envelopes.len() + 1, "{said}");
    for ((message, _, why), line) in envelopes.iter().zip(said.lines().skip(1)) {
        assert!(line.starts_with(&format!("{message}: ")) && line.contains(why), "{line}");
    }
}
