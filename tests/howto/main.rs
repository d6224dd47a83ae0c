//! The code of the pages in `docs/howto`: row D3 of the specification.
//!
//! A page shows whole files. Each of them is a file here, so the compiler reads the code of the
//! page. The tests beside the files use it, with real sockets.
mod authorization;
mod checklist;
mod deployment;
mod evolution;
mod own_authority;

use std::{collections::BTreeMap, fs, path::Path};
use wsx_tests::page::{blocks, page};

/// A page shows each of its files as it is here, and no other code.
fn shows_its_files(name: &str, folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/howto").join(folder);
    let files = fs::read_dir(&folder).expect("each page has a folder").map(|entry| {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
        (name, fs::read_to_string(path).expect("a readable file"))
    });
    let mut files: BTreeMap<_, _> = files.collect();
    let page = page(name);
    for block in blocks(&page) {
        let place = format!("{name}:{}", block.line);
        match (block.language, block.file) {
            ("rust", Some(file)) => {
                let tested = files.remove(file).unwrap_or_else(|| panic!("{place}: {file} is not in {folder:?}"));
                assert_eq!(block.text, tested, "{place}: the page differs from the tested {file}");
            }
            // The tests of the page run commands, and compare output.
            ("sh" | "text" | "toml", None) => {}
            (language, file) => panic!("{place}: a block of {language:?} for {file:?} is not tested"),
        }
    }
    assert!(files.is_empty(), "{name} does not show {:?}", files.keys());
}

/// Row D3: each page shows the tested code.
#[test]
fn each_page_shows_the_tested_code() {
    for (name, folder) in [
        ("docs/howto/authorization.md", "authorization"),
        ("docs/howto/checklist.md", "checklist"),
        ("docs/howto/evolution.md", "evolution"),
        ("docs/howto/tls.md", "own_authority"),
    ] {
        shows_its_files(name, folder);
    }
}

/// Returns a new folder for the files of a test.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("howto").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the folder of the last run can be removed");
    }
    fs::create_dir_all(&folder).expect("the test can make its folder");
    folder
}
