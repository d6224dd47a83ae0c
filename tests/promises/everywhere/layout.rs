//! The layout of the library's source: which folder may import from which, and how long a file may
//! be.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The folders and files of `wsx/src`, each before those that may import from it. `internals`,
/// `private` and `lib` may import from all.
const ORDER: [&str; 24] = [
    "catch_panic",
    "config",
    "policy",
    "store_error",
    "message",
    "protocol",
    "error",
    "contract",
    "wire",
    "closed",
    "envelope",
    "connection",
    "observer",
    "delivery",
    "dispatch",
    "handshake",
    "task",
    "cluster",
    "server",
    "client",
    "testing",
    "internals",
    "private",
    "lib",
];
/// The documented exception: a handler may take `&Hub`.
const EXCEPTION: (&str, &str) = ("dispatch", "server");
/// The documented exceptions: most programs do not use the methods of a connection without a
/// protocol, or the options of a hub behind a proxy or in a cluster.
const IN_MORE_FILES: [&str; 2] = ["Connection", "HubBuilder"];
/// Maximum length of a file without its tests, in lines.
const MAX_LINES: usize = 400;

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("wsx/src"), &mut found);
    walk(&root().join("wsx-macros/src"), &mut found);
    assert!(found.len() > 60, "{} files: the sources have moved", found.len());
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The file's text up to its tests. A file of tests has none.
fn without_tests(path: &Path) -> String {
    if ["tests.rs", "loom_tests.rs", "table_tests.rs"].iter().any(|name| path.ends_with(name))
        || path.parent().is_some_and(|folder| folder.ends_with("tests"))
        || path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("model_tests"))
    {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().take_while(|line| !(line.starts_with("#[cfg(") && line.contains("(test")));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The modules at the root of the crate that a text names, in its code and not in its comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let name = |text: &str| -> String {
            text.trim_start().chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
        };
        if let Some(list) = rest.strip_prefix('{') {
            // The first name of each item at the top of the list.
            let (mut depth, mut start) = (0, true);
            for (offset, letter) in list.char_indices() {
                if start && !letter.is_whitespace() {
                    found.insert(name(&list[offset..]));
                    start = false;
                }
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    _ => {}
                }
            }
        } else {
            found.insert(name(rest));
        }
    }
    found
}

/// Imports between folders point one way, so that a folder can be read without those after it.
#[test]
fn a_folder_imports_only_from_folders_before_it() {
    let places: BTreeMap<&str, usize> = ORDER.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let (mut wrong, mut arrows, mut exceptions) = (Vec::new(), 0, 0);
    let source = root().join("wsx/src");
    for path in sources().iter().filter(|path| path.starts_with(&source)) {
        let inside = path.strip_prefix(&source).unwrap();
        let own = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let own_place = places.get(own).unwrap_or_else(|| panic!("`{own}` has no place in ORDER"));
        for name in imports(&without_tests(path)) {
            let Some(place) = places.get(&*name) else { continue };
            arrows += 1;
            if (own, &*name) == EXCEPTION {
                exceptions += 1;
            } else if place > own_place {
                wrong.push(format!("{} imports from `{name}`", inside.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(arrows > 150 && exceptions > 0, "{arrows} imports, {exceptions} exceptions: the test reads nothing");
}

/// `ls wsx/src` reads as the architecture: few files beside the folders.
#[test]
fn few_files_stand_beside_the_folders() {
    let beside = fs::read_dir(root().join("wsx/src")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file());
    let count = beside.count();
    assert!((1..=8).contains(&count), "{count} files beside the folders of wsx/src");
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let lengths = sources().into_iter().map(|path| (without_tests(&path).lines().count(), path));
    let long: Vec<_> = lengths.filter(|(length, _)| *length > MAX_LINES).collect();
    assert!(long.is_empty(), "{long:?}");
}

/// The types with public methods of their own in a text. A type that is generic is there by its
/// name alone.
fn types_with_public_methods(text: &str) -> BTreeSet<String> {
    let (mut found, mut current) = (BTreeSet::new(), None);
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("impl") {
            current = (!header.contains(" for ")).then(|| name_of(header));
        } else if line == "}" {
            current = None;
        } else if ["pub fn ", "pub async fn ", "pub const fn "].iter().any(|start| line.trim_start().starts_with(start))
        {
            found.extend(current.clone());
        }
    }
    found
}

/// The name of the type in the header of an `impl`, after `impl` itself.
fn name_of(header: &str) -> String {
    let mut depth = 0;
    let outside = header.char_indices().find(|(at, letter)| {
        match letter {
            '<' => depth += 1,
            '>' if !header[..*at].ends_with('-') => depth -= 1,
            _ => {}
        }
        depth == 0 && letter.is_alphabetic()
    });
    let name = outside.map_or("", |(at, _)| &header[at..]);
    name.chars().take_while(|letter| letter.is_alphanumeric()).collect()
}

/// A reader finds all methods of a type where its first method is.
#[test]
fn the_public_methods_of_a_type_are_in_one_file() {
    let mut files = BTreeMap::<String, Vec<PathBuf>>::new();
    let library = root().join("wsx/src");
    for path in sources().into_iter().filter(|path| path.starts_with(&library)) {
        for name in types_with_public_methods(&without_tests(&path)) {
            files.entry(name).or_default().push(path.clone());
        }
    }
    assert!(files.len() > 20, "{files:?}: the test reads nothing");
    files.retain(|name, files| files.len() > 1 && !IN_MORE_FILES.contains(&name.as_str()));
    assert!(files.is_empty(), "{files:?}");
}
