//! The folder of exported files: when it is stale, and what is written: row U8 of the
//! specification.
use std::{fs, path::PathBuf};
use wsx::contract::export_as;

mod plain {
    /// A text.
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Hello {
        /// Who greets.
        pub name: String,
        pub at: Option<u64>,
    }
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    #[wsx(delivery = latest, key = room)]
    pub(super) struct Light {
        pub room: u32,
        #[schemars(range(max = 18446744073709551615_u64))]
        pub lux: u64,
    }
    wsx::protocol! {
        /// The house.
        pub(super) House v3 { Phone -> Station: Hello; Station -> Phone: Hello, Light; }
    }
}
mod changed {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Hello {
        pub name: String,
        pub at: Option<u32>,
    }
    wsx::protocol! {
        /// The house.
        pub(super) House v3 { Phone -> Station: Hello; Station -> Phone: Hello, super::plain::Light; }
    }
}
mod any {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    pub(super) struct Sample {
        pub extra: Vec<serde_json::Value>,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}
mod keyed {
    #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, wsx::Message)]
    #[wsx(delivery = latest, key = device)]
    pub(super) struct Sample {
        #[serde(rename = "d")]
        pub device: u8,
    }
    wsx::protocol! { pub(super) Fleet v1 { Edge -> Server: Sample; } }
}

/// A folder of one test, which is not there yet.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("exports").join(name);
        // One of the tests leaves a file there.
        let _ = fs::remove_file(&folder);
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    /// Exports a protocol, as with this value of `WSX_CONTRACT`. The path is cut from the words.
    fn run<P: wsx::contract::Described>(&self, value: &str) -> Result<Option<String>, String> {
        let cut = |text: String| text.replace(&self.0.display().to_string(), "web");
        export_as::<P>(&self.0, None, value).map(|done| done.map(cut)).map_err(cut)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

#[test]
fn a_stale_file_is_an_error_that_shows_the_difference() {
    let folder = Folder::new("stale");
    let why = folder.run::<plain::House>("").unwrap_err();
    assert!(why.starts_with("the files in web are not those of House:\n\nweb/asyncapi.json is not there\n"), "{why}");
    let done = folder.run::<plain::House>("accept").unwrap();
    let names = "asyncapi.json, client.js, client.ts, protocol.md, store.js, store.ts, types.ts";
    assert_eq!(done, Some(format!("web has new files of House: {names}")));
    assert_eq!(folder.run::<plain::House>(""), Ok(None));

    let why = folder.run::<changed::House>("check").unwrap_err();
    let difference = "\nweb/types.ts is stale:\n@@ -11,17 +11,13 @@\n";
    assert!(why.contains(difference), "{why}");
    assert!(why.contains("\n-  at: Int64 | null;\n") && why.contains("\n+  at: number | null;\n"), "{why}");
    assert!(
        why.ends_with("\nif this is meant, run this test with WSX_CONTRACT=accept, and commit the files\n"),
        "{why}"
    );
    assert_eq!(folder.run::<plain::House>(""), Ok(None), "a check writes nothing");
    folder.run::<changed::House>("release").unwrap().expect("a release writes too");
    assert_eq!(folder.run::<changed::House>(""), Ok(None));
    let why = folder.run::<plain::House>("yes").unwrap_err();
    assert!(why.starts_with("WSX_CONTRACT is \"yes\": expected"), "{why}");
}

#[test]
fn only_stale_files_are_written() {
    let folder = Folder::new("only_stale");
    folder.run::<plain::House>("accept").unwrap();
    // As git may check it out.
    let with_returns = folder.text("types.ts").replace('\n', "\r\n");
    fs::write(folder.0.join("types.ts"), &with_returns).unwrap();
    fs::write(folder.0.join("own.ts"), "a file of the program\n").unwrap();
    assert_eq!(folder.run::<plain::House>(""), Ok(None));
    fs::remove_file(folder.0.join("client.js")).unwrap();
    let done = folder.run::<plain::House>("accept").unwrap();
    assert_eq!(done.as_deref(), Some("web has new files of House: client.js"));
    assert_eq!(folder.text("types.ts"), with_returns);
    let mut names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["asyncapi.json", "client.js", "client.ts", "own.ts", "protocol.md", "store.js", "store.ts", "types.ts",]
    );
}

#[test]
fn a_file_or_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new("unusable");
    folder.run::<plain::House>("accept").unwrap();
    fs::write(folder.0.join("types.ts"), [0xff]).unwrap();
    let why = folder.run::<plain::House>("").unwrap_err();
    assert!(why.starts_with("web/types.ts cannot be read: "), "{why}");
    fs::remove_file(folder.0.join("types.ts")).unwrap();
    fs::create_dir(folder.0.join("types.ts")).unwrap();
    let why = folder.run::<plain::House>("accept").unwrap_err();
    assert!(why.starts_with("web/types.ts cannot be read: "), "{why}");
    fs::remove_dir_all(&folder.0).unwrap();
    fs::create_dir_all(folder.0.join("types.ts.new")).unwrap();
    let why = folder.run::<plain::House>("accept").unwrap_err();
    assert!(why.starts_with("web/types.ts cannot be written: "), "{why}");
    fs::remove_dir_all(&folder.0).unwrap();
    fs::write(&folder.0, "a file").unwrap();
    let why = folder.run::<plain::House>("accept").unwrap_err();
    assert!(why.starts_with("web/asyncapi.json cannot be read: "), "{why}");
}

#[test]
fn what_has_no_type_is_named() {
    let folder = Folder::new("no_type");
    let why = folder.run::<any::Fleet>("accept").unwrap_err();
    assert!(why.starts_with("`sample.extra[]` can be any JSON"), "{why}");
    let why = folder.run::<keyed::Fleet>("accept").unwrap_err();
    assert!(why.starts_with("the key `device` of the message \"sample\" has another name in its JSON"), "{why}");
    let why = export_as::<plain::House>(&folder.0, Some("Server"), "accept").unwrap_err();
    assert_eq!(why, "`Server` is not a side of House: name one of `Phone`, `Station`");
    assert!(!folder.0.exists(), "nothing is written");
}

#[test]
fn the_files_have_docs_directions_and_exact_numbers() {
    let folder = Folder::new("text");
    folder.run::<plain::House>("accept").unwrap();
    let types = "// House v3, written by `wsx::contract::export!`. Change the types in Rust, not this file.

/** An integer of 64 bits or more: a number up to 2^53 - 1, and a bigint beyond. */
export type Int64 = number | bigint;

/** What Phone says and hears in House v3. */
export interface HousePhone {
  sends: { hello: HelloSent };
  requests: {};
  receives: { hello: Hello; light: Light };
  answers: {};
}

/** A text. */
export interface Hello {
  at: Int64 | null;
  /** Who greets. */
  name: string;
}

/** A text. */
export interface HelloSent {
  at?: Int64 | null;
  /** Who greets. */
  name: string;
}

export interface Light {
  lux: Int64;
  room: number;
}
";
    assert_eq!(folder.text("types.ts"), types);
    let asyncapi: serde_json::Value = serde_json::from_str(&folder.text("asyncapi.json")).unwrap();
    assert_eq!(asyncapi["info"]["description"], "The house.");
    assert_eq!(asyncapi["components"]["messages"]["phone.hello"]["summary"], "A text.");
    let delivery = &asyncapi["components"]["messages"]["phone.light"]["x-wsx-delivery"];
    assert_eq!(*delivery, serde_json::json!({"delivery": "latest", "key": "room"}));
    let lux = &asyncapi["components"]["schemas"]["Light"]["properties"]["lux"];
    assert_eq!(lux["x-wsx-maximum"], "18446744073709551615", "{lux}");
    assert_eq!(lux["maximum"], serde_json::Value::Null);
    let reference = folder.text("protocol.md");
    for part in [
        "# House v3\n\nThe house.\n",
        "| `Station` | `Phone` |",
        "| Station | Phone | [`light`](#light-from-station-to-phone) |  |  | latest, key room |\n",
        "## `hello` from Phone to Station\n\nA text.\n\n| field | type | required | meaning |\n|---|---|---|---|\n\
         | `at` | `u64` or `null` | no |  |\n| `name` | a string | yes | Who greets. |\n",
    ] {
        assert!(reference.contains(part), "{part}\n{reference}");
    }
    // The other end dials.
    export_as::<plain::House>(&folder.0, Some("Phone"), "accept").unwrap();
    assert!(folder.text("client.ts").contains("export const HouseStation: Side<types.HouseStation> = {"));
    assert!(folder.text("types.ts").contains("  receives: { hello: Hello };\n"));
}
