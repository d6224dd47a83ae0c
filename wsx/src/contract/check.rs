//! Compares the code with its lock file, and changes the file if the user wants that.
use super::{
    changes::{Table, changes},
    code::Code,
    locked::lock::Lock,
    locked::version::Version,
};
use crate::contract::Described;
use std::{
    io::{self, Write as _},
    path::Path,
};

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

/// Shows what was done, or panics with what is wrong.
#[track_caller]
pub(super) fn finish(result: Result<Option<String>, String>) {
    match result {
        Ok(None) => {}
        // Not by a macro: a test that passes shows nothing of these.
        Ok(Some(done)) => drop(writeln!(io::stderr(), "{done}")),
        Err(why) => panic!("{why}"),
    }
}

/// Compares a protocol with the lock file at this path. Returns what was done to the file.
pub(super) fn check<P: Described>(path: &Path, mode: Mode) -> Result<Option<String>, String> {
    let version = Code::of::<P>()?.without_gaps()?;
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
        return Err(format!(
            "{file} is of the protocol {}, and this is {name}: name another file, as in `check!({name}, \"{}.lock\")`, or \
             change the name in the file if the protocol was renamed",
            lock.protocol,
            name.to_lowercase(),
        ));
    }
    let number = version.number;
    // Also without a difference: a merge may have put two versions beside each other.
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
    if let Some(at) = lock.versions.iter().position(|known| known.is_same(&version)) {
        return known(lock, at, &version.fingerprints[0], path, mode);
    }
    if mode == Mode::Check {
        return Err(differs(path, name, &version, lock.versions.last()));
    }
    let released = lock.released();
    if let Some(released) = released.filter(|released| number < released.number) {
        return Err(format!(
            "{name} is version {number}, and version {} was released: raise the version in `protocol!`",
            released.number
        ));
    }
    let found = released.map_or_else(Vec::new, |released| changes(released, &version));
    // What was not released is replaced, and what was released stays.
    lock.versions.retain(|other| other.is_released);
    let is_released = mode == Mode::Release;
    lock.versions.push(Version { is_released, ..version });
    lock.write(path)?;
    Ok(Some(format!("{file}: {} version {number} of {name}\n\n{}", done(mode), Table(&found))))
}

/// The file has this version at `at`, with the fingerprint or without it.
fn known(mut lock: Lock, at: usize, fingerprint: &str, path: &Path, mode: Mode) -> Result<Option<String>, String> {
    let file = path.display();
    let is_head = at + 1 == lock.versions.len();
    let has_other_head = !is_head && lock.versions.last().is_some_and(|head| !head.is_released);
    let version = &mut lock.versions[at];
    let has_fingerprint = version.fingerprints.iter().any(|own| own == fingerprint);
    let is_released_now = mode == Mode::Release && !version.is_released;
    if has_fingerprint && !is_released_now && (mode == Mode::Check || !has_other_head) {
        return Ok(None);
    }
    let number = version.number;
    if mode == Mode::Check {
        return Err(format!(
            "nothing has changed on the wire, but {file} does not have the fingerprint {fingerprint} of version {number}: \
             run this test with {VARIABLE}=accept, and commit the file"
        ));
    }
    if !version.is_released {
        version.fingerprints.clear();
    }
    if !version.fingerprints.iter().any(|own| own == fingerprint) {
        version.fingerprints.push(fingerprint.to_owned());
    }
    version.is_released |= mode == Mode::Release;
    if has_other_head {
        lock.versions.pop();
    }
    lock.write(path)?;
    Ok(Some(format!("{file}: {} version {number} of {}", done(mode), lock.protocol)))
}

fn done(mode: Mode) -> &'static str {
    if mode == Mode::Release { "released" } else { "accepted" }
}

fn differs(path: &Path, name: &str, code: &Version, head: Option<&Version>) -> String {
    let found = head.map_or_else(Vec::new, |head| changes(head, code));
    let file = path.display();
    let what = match head {
        Some(head) if head.number != code.number => {
            format!("{name} is version {} in the code, and version {} in {file}", code.number, head.number)
        }
        _ => format!("{name} is not as in {file}"),
    };
    format!(
        "{what}:\n\n{}\nif this is meant, run this test with {VARIABLE}=accept, and commit the file\n",
        Table(&found)
    )
}
