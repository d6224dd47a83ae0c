//! Compares the code with its lock file, and changes the file if the user wants that.
use super::{
    changes::{Change, Table, changes},
    lock::Lock,
    version::{Code, Version},
};
use crate::contract::Described;
use std::path::Path;

/// The environment variable that lets a check change the file.
pub(super) const VARIABLE: &str = "WSX_CONTRACT";

/// What a check does with a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is an error.
    Check,
    /// It goes into the file, if it breaks nothing that was released.
    Accept,
    /// It goes into the file, and the version counts as released from now on.
    Release,
}

impl Mode {
    /// Returns the mode that this value of [`VARIABLE`] names.
    pub(super) fn of(value: &str) -> Result<Self, String> {
        match value {
            "" | "check" => Ok(Self::Check),
            "accept" => Ok(Self::Accept),
            "release" => Ok(Self::Release),
            other => Err(format!("{VARIABLE} is {other:?}: expected `accept`, `release` or `check`")),
        }
    }
}

/// Compares a protocol with the lock file at this path. Returns what was done to the file.
pub(super) fn check<P: Described>(path: &Path, mode: Mode) -> Result<Option<String>, String> {
    let Code { version, gaps } = Code::of::<P>()?;
    if !gaps.is_empty() {
        let list = gaps.join("`, `");
        return Err(format!(
            "`{list}` can be any JSON, so no change of it would be found: give it a type, or say that this is meant \
             with `#[schemars(extend(\"x-wsx-any\" = true))]`"
        ));
    }
    let name = P::DESCRIPTION.name;
    let file = path.display();
    let Some(mut lock) = Lock::open(path)? else {
        if mode == Mode::Check {
            return Err(format!("{file} is not there: run this test once with {VARIABLE}=accept"));
        }
        let is_released = mode == Mode::Release;
        let number = version.number;
        let lock = Lock { protocol: name.to_owned(), versions: vec![Version { is_released, ..version }] };
        lock.write(path)?;
        return Ok(Some(format!("{file} has version {number} of {name}")));
    };
    if lock.protocol != name {
        return Err(format!("{file} is of the protocol {}, and this is {name}", lock.protocol));
    }
    let is_head = lock.versions.last().is_some_and(|head| head.is_same(&version));
    let is_done = is_head && (mode != Mode::Release || lock.versions.last().is_some_and(|head| head.is_released));
    if is_done {
        return Ok(None);
    }
    let released = lock.released();
    let found = released.map_or_else(Vec::new, |released| changes(released, &version));
    if mode == Mode::Check {
        let head = lock.versions.last();
        let since_head = head.map_or_else(Vec::new, |head| changes(head, &version));
        return Err(differs(path, name, &version, head, &since_head));
    }
    if let Some(released) = released.filter(|released| version.number < released.number) {
        return Err(format!("{name} is version {}, and version {} was released", version.number, released.number));
    }
    let number = version.number;
    for before in lock.versions.iter().filter(|before| before.is_released && before.number == number) {
        let found = changes(before, &version);
        if found.iter().any(|change| change.breaks.is_some()) {
            return Err(format!(
                "this breaks peers of version {number}, which was released:\n\n{}\n\
                 keep what they understand, or raise the version: `{name} v{}`\n",
                Table(&found),
                number + 1,
            ));
        }
    }
    // What was not released is replaced, and what was released stays.
    lock.versions.retain(|other| other.is_released && !other.is_same(&version));
    let is_released = mode == Mode::Release;
    lock.versions.push(Version { is_released, ..version });
    lock.write(path)?;
    let done = if is_released { "released" } else { "accepted" };
    Ok(Some(format!("{file}: {done} version {number} of {name}\n\n{}", Table(&found))))
}

fn differs(path: &Path, name: &str, code: &Version, head: Option<&Version>, found: &[Change]) -> String {
    let file = path.display();
    let what = match head {
        Some(head) if head.number != code.number => {
            format!("{name} is version {} in the code, and version {} in {file}", code.number, head.number)
        }
        _ => format!("{name} is not as in {file}"),
    };
    let breaks = found.iter().any(|change| change.breaks.is_some());
    let is_raised = head.is_some_and(|head| code.number > head.number);
    let advice = if breaks && !is_raised && head.is_some_and(|head| head.is_released) {
        format!(
            "raise the version in `protocol!`, or keep what the other end understands; then run this test with {VARIABLE}=accept"
        )
    } else {
        format!("if this is meant, run this test with {VARIABLE}=accept, and commit the file")
    };
    format!("{what}:\n\n{}\n{advice}\n", Table(found))
}
