//! What a program calls wsx, by the manifest of its crate: a macro cannot know it otherwise.
use std::{env, fs, path::Path};

/// The name that the crate which is being compiled has for wsx; `wsx` where no manifest says otherwise.
pub(crate) fn name_of_wsx() -> String {
    let renamed = || {
        let folder = env::var_os("CARGO_MANIFEST_DIR")?;
        let own = fs::read_to_string(Path::new(&folder).join("Cargo.toml")).ok()?;
        if own.contains("workspace") {
            // The name may be the workspace's, which is declared in one of the folders above.
            let above = Path::new(&folder).ancestors().skip(1);
            let shared = above.filter_map(|folder| fs::read_to_string(folder.join("Cargo.toml")).ok());
            return renamed(&own)
                .or_else(|| shared.filter_map(|shared| renamed(&shared)).find(|name| inherits(&own, name)));
        }
        renamed(&own)
    };
    renamed().map_or_else(|| "wsx".to_owned(), |name| name.replace('-', "_"))
}

/// The other name that a manifest gives wsx, if it does not have it by its own too.
fn renamed(manifest: &str) -> Option<String> {
    let mut found = None;
    for (name, value) in dependencies(manifest) {
        match package(value) {
            Some("wsx") => found = Some(name.to_owned()),
            None if name == "wsx" => return None,
            _ => {}
        }
    }
    found
}

/// Whether the manifest takes the dependency of this name from its workspace.
fn inherits(manifest: &str, name: &str) -> bool {
    dependencies(manifest).any(|(known, value)| known == name && value.contains("workspace"))
}

/// Each line about a dependency, with the dependency's name: `name = …`, `name.key = …`, and what stands under
/// `[dependencies.name]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut inside = false;
    let mut under = None;
    manifest.lines().map(str::trim).filter_map(move |line| {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            inside = header.ends_with("dependencies");
            under = header.rsplit_once("dependencies.").map(|(_, name)| unquoted(name));
            return None;
        }
        let (key, value) = line.split_once('=')?;
        match under {
            Some(name) => Some((name, line)),
            None if inside => match key.split_once('.') {
                Some((name, _)) => Some((unquoted(name), &line[name.len() + 1..])),
                None => Some((unquoted(key), value)),
            },
            None => None,
        }
    })
}

/// The package that a dependency is, where it is renamed.
fn package(value: &str) -> Option<&str> {
    let (before, after) = value.split_once("package")?;
    let is_key = before.is_empty() || before.ends_with([' ', ',', '{', '\t']);
    let value = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\'') && is_key)?;
    value[1..].split(quote).next()
}

fn unquoted(key: &str) -> &str {
    key.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::{inherits, renamed};

    #[test]
    fn a_renamed_dependency_is_found_however_it_is_written() {
        for (manifest, expected) in [
            ("[dependencies]\nsockets = { package = \"wsx\", version = \"0.1\" }", Some("sockets")),
            ("[dependencies]\nsockets = { version='0.1',package='wsx' } # the name", Some("sockets")),
            ("[dependencies.sockets]\nversion = \"0.1\"\npackage = \"wsx\"", Some("sockets")),
            ("[dependencies]\n\"sockets\".package = \"wsx\"\nsockets.version = \"0.1\"", Some("sockets")),
            ("[dev-dependencies]\nsockets = { package = \"wsx\" }", Some("sockets")),
            ("[target.'cfg(unix)'.dependencies]\nsockets = { package = \"wsx\" }", Some("sockets")),
            ("[workspace.dependencies]\nsockets = { package = \"wsx\" }", Some("sockets")),
            ("[dependencies]\nwsx = \"0.2\"\nold = { package = \"wsx\", version = \"0.1\" }", None),
            ("[dependencies]\nwsx = \"0.1\"\nserde = { package = \"serde\" }", None),
            ("[dependencies]\nsockets = { package = \"wsx-macros\" }", None),
            ("[package]\nname = \"wsx\"\n[dependencies]\nbytes = \"1\"", None),
            ("[dependencies]\nother = { repackage = \"wsx\" }", None),
            ("", None),
        ] {
            assert_eq!(renamed(manifest).as_deref(), expected, "{manifest}");
        }
    }

    #[test]
    fn a_name_of_the_workspace_counts_where_it_is_inherited() {
        assert!(inherits("[dependencies]\nsockets.workspace = true", "sockets"));
        assert!(inherits("[dependencies]\nsockets = { workspace = true }", "sockets"));
        assert!(inherits("[dependencies.sockets]\nworkspace = true", "sockets"));
        assert!(!inherits("[dependencies]\nsockets = \"1\"\nserde.workspace = true", "sockets"));
    }
}
