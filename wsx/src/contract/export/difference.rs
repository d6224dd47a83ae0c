//! The lines in which two texts differ, in the unified format. It does not know files.
use std::{fmt::Write as _, ops::Range};

/// Maximum number of lines that are shown. More than a screen of them is not read.
const MAX_LINES: usize = 40;
/// Number of equal lines around a change.
const CONTEXT: usize = 3;
/// Maximum number of pairs of lines that are compared, once equal lines at both ends are cut. It
/// needs 16 MiB. Texts that differ in more are shown as one change.
const MAX_PAIRS: usize = 4_000_000;

/// A line of both texts, or of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// Returns what changes from the old text to the new one.
pub(super) fn difference(old: &str, new: &str) -> String {
    let lines = lines(old, new);
    let mut text = String::new();
    for hunk in hunks(&lines) {
        let count = |lines: &[Line<'_>], is: fn(&Line<'_>) -> bool| lines.iter().filter(|line| is(line)).count();
        let in_old = |line: &Line<'_>| !matches!(line, Line::New(_));
        let in_new = |line: &Line<'_>| !matches!(line, Line::Old(_));
        let (before, inside) = (&lines[..hunk.start], &lines[hunk.clone()]);
        let place = |is| {
            let length = count(inside, is);
            format!("{},{length}", count(before, is) + usize::from(length > 0))
        };
        let _ = writeln!(text, "@@ -{} +{} @@", place(in_old), place(in_new));
        for line in inside {
            let (mark, line) = match line {
                Line::Same(line) => (' ', line),
                Line::Old(line) => ('-', line),
                Line::New(line) => ('+', line),
            };
            let _ = writeln!(text, "{mark}{line}");
        }
    }
    cut(&text)
}

fn cut(text: &str) -> String {
    let length = text.lines().count();
    if length <= MAX_LINES {
        return text.to_owned();
    }
    let shown: String = text.split_inclusive('\n').take(MAX_LINES).collect();
    format!("{shown}... and {} lines more\n", length - MAX_LINES)
}

fn lines<'t>(old: &'t str, new: &'t str) -> Vec<Line<'t>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let ends = old[start..].iter().rev().zip(new[start..].iter().rev());
    let end = ends.take_while(|(one, other)| one == other).count();
    let mut lines: Vec<Line<'_>> = old[..start].iter().copied().map(Line::Same).collect();
    lines.extend(changed(&old[start..old.len() - end], &new[start..new.len() - end]));
    lines.extend(old[old.len() - end..].iter().copied().map(Line::Same));
    lines
}

/// The lines by their longest common subsequence.
fn changed<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let is_too_long = old.len().saturating_mul(new.len()) > MAX_PAIRS;
    let width = new.len() + 1;
    // The length of the longest common subsequence of what follows each pair of lines.
    let mut longest = vec![0_u32; if is_too_long { 0 } else { (old.len() + 1) * width }];
    if !is_too_long {
        for one in (0..old.len()).rev() {
            for other in (0..new.len()).rev() {
                longest[one * width + other] = if old[one] == new[other] {
                    longest[(one + 1) * width + other + 1] + 1
                } else {
                    longest[(one + 1) * width + other].max(longest[one * width + other + 1])
                };
            }
        }
    }
    let mut lines = Vec::new();
    let (mut one, mut other) = (0, 0);
    while one < old.len() && other < new.len() && !is_too_long {
        if old[one] == new[other] {
            lines.push(Line::Same(old[one]));
            (one, other) = (one + 1, other + 1);
        } else if longest[(one + 1) * width + other] >= longest[one * width + other + 1] {
            lines.push(Line::Old(old[one]));
            one += 1;
        } else {
            lines.push(Line::New(new[other]));
            other += 1;
        }
    }
    lines.extend(old[one..].iter().copied().map(Line::Old));
    lines.extend(new[other..].iter().copied().map(Line::New));
    lines
}

/// The changes with the lines around them. Those that touch are one.
fn hunks(lines: &[Line<'_>]) -> Vec<Range<usize>> {
    let mut hunks = Vec::<Range<usize>>::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| !matches!(line, Line::Same(_))) {
        let (start, end) = (at.saturating_sub(CONTEXT), (at + 1 + CONTEXT).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => hunks.push(start..end),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row U8: the difference of a stale file.
    #[test]
    fn a_change_is_shown_with_the_lines_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\nl\nm\n";
        let expected = "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n@@ -10,3 +10,4 @@\n j\n k\n l\n+m\n";
        assert_eq!(difference(old, new), expected);
        assert_eq!(difference("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(difference("a\nb\nc\n", "b\nc\nd\n"), "@@ -1,3 +1,3 @@\n-a\n b\n c\n+d\n");
        assert_eq!(difference("a\n", "a\n"), "");
    }

    /// Row U8: the difference of a stale file.
    #[test]
    fn a_long_difference_is_cut() {
        let long: String = (0..3_000).map(|number| format!("{number}\n")).collect();
        let other: String = (0..3_000).map(|number| format!("n{number}\n")).collect();
        let text = difference(&long, &other);
        assert_eq!(text.lines().count(), MAX_LINES + 1);
        assert!(text.starts_with("@@ -1,3000 +1,3000 @@\n-0\n-1\n"), "{text}");
        assert!(text.ends_with("\n-38\n... and 5961 lines more\n"), "{text}");
    }
}
