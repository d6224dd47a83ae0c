//! The blocks of code on the pages of the project.
use std::{fs, path::Path};

/// One block of a page between two fences, and the file name above it.
#[derive(Debug)]
pub struct Block<'p> {
    /// The line of the opening fence in the page, counted from 1.
    pub line: usize,
    /// The words behind the opening fence, such as `rust`.
    pub language: &'p str,
    /// The file that the line above the block names.
    pub file: Option<&'p str>,
    /// The code, with an end at each line.
    pub text: String,
}

/// Returns the text of a page. `name` is its path in the repository.
///
/// # Panics
///
/// When it cannot be read.
#[must_use]
pub fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {name}: {error}"))
}

/// Returns all blocks, in order.
#[must_use]
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut file = None;
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let text = text.map(|line| format!("{line}\n")).collect();
            blocks.push(Block { line: at + 1, language, file: file.take(), text });
        } else if let Some(name) = line.strip_prefix('`').and_then(|line| line.strip_suffix('`')) {
            file = Some(name);
        } else if !line.is_empty() {
            file = None;
        }
    }
    blocks
}
