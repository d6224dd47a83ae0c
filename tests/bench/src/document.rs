//! Puts the tables into the document, between two markers.
use std::{fs, io, path::Path};

const BEGIN: &str = "<!-- Written by `wsx-bench compare --plot`, up to the end marker. -->";
const END: &str = "<!-- The end of what is written. -->";

/// Writes `tables` into the document at `path`. A directory without a document gets only the
/// charts.
pub(crate) fn refresh(path: &Path, tables: &str) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let replaced = replace(&text, tables)
        .ok_or_else(|| io::Error::other(format!("{} does not have the two markers of its tables", path.display())))?;
    fs::write(path, replaced)
}

fn replace(text: &str, tables: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let once = replace(&format!("a\n{BEGIN}\nold\n{END}\nb\n"), "new\n").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert_eq!(replace(&once, "new\n"), Some(once));
        assert_eq!(replace("no markers", "new"), None);
    }
}
