//! Functions that generated code calls during compilation.

/// The first type string among the arguments, or the other one.
#[must_use]
pub const fn first(found: &[Option<&'static str>], otherwise: &'static str) -> &'static str {
    let mut at = 0;
    while at < found.len() {
        if let Some(message_type) = found[at] {
            return message_type;
        }
        at += 1;
    }
    otherwise
}

/// Whether any of the flags is set.
#[must_use]
pub const fn any(flags: &[bool]) -> bool {
    let mut at = 0;
    while at < flags.len() {
        if flags[at] {
            return true;
        }
        at += 1;
    }
    false
}

/// The place of the message among the arguments; their number if there is none.
#[must_use]
pub const fn position(found: &[Option<&'static str>]) -> usize {
    let mut at = 0;
    while at < found.len() && found[at].is_none() {
        at += 1;
    }
    at
}

/// Whether a probe found a text.
#[must_use]
pub const fn is_some(text: Option<&'static str>) -> bool {
    text.is_some()
}

/// The text that a probe found. If it found none, another check reports the mistake.
#[must_use]
pub const fn found(text: Option<&'static str>) -> &'static str {
    match text {
        Some(text) => text,
        None => "",
    }
}

/// Whether two type strings are the same.
#[must_use]
pub const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Whether the text is among these; an empty list stands for any text.
#[must_use]
pub const fn is_among(texts: &[&str], text: &str) -> bool {
    let mut at = 0;
    while at < texts.len() {
        if same(texts[at], text) {
            return true;
        }
        at += 1;
    }
    texts.is_empty()
}

/// Whether the text is one of these.
#[must_use]
pub const fn is_one_of(texts: &[&str], text: &str) -> bool {
    !texts.is_empty() && is_among(texts, text)
}

/// Whether an earlier type string is the same as the one at this place. A type that is not a
/// message has an empty one, which does not count.
#[must_use]
pub const fn repeats(types: &[&str], at: usize) -> bool {
    let mut before = 0;
    while before < at {
        if !types[at].is_empty() && same(types[before], types[at]) {
            return true;
        }
        before += 1;
    }
    false
}

/// Whether two module paths begin with the same crate.
#[must_use]
pub const fn same_crate(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    loop {
        let (end_a, end_b) = (at == a.len() || a[at] == b':', at == b.len() || b[at] == b':');
        if end_a || end_b {
            return end_a && end_b;
        }
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
}
