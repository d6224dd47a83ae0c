//! The lock file: every version of a protocol that was released, and the next one. It does not know
//! the code.
use super::{
    node::{Json, Node, Wrong},
    version::{Keys, Version},
};
use std::{fs, io, path::Path};

/// The format of the file. A later wsx may have a later one.
const FORMAT: u32 = 1;
/// What the marks in the file mean, for those who read it.
const LEGEND: [(&str, &str); 4] = [
    ("name?", "a reader takes the message without this field"),
    ("name~", "a writer may leave this field out"),
    ("name>", "this field is only written"),
    ("name<", "this field is only read"),
];

/// The versions of a protocol, the oldest first. A number may come more than once, if nothing broke
/// in between. At most the last one is not released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Lock {
    pub(in crate::contract) protocol: String,
    pub(in crate::contract) versions: Vec<Version>,
}

impl Lock {
    /// Reads the file. Returns `None` if it is not there.
    pub(in crate::contract) fn open(path: &Path) -> Result<Option<Self>, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        Self::read(&text).map(Some).map_err(|Wrong { line, what }| format!("{}, line {line}: {what}", path.display()))
    }

    /// Reads the text of a file.
    pub(in crate::contract) fn read(text: &str) -> Result<Self, Wrong> {
        let is_mark =
            |line: &str| ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| line.starts_with(mark));
        if let Some(at) = text.lines().position(is_mark) {
            let what = "git could not merge this file: keep the released versions of both sides, and accept or \
                        release the version of the code again";
            return Err(Wrong { line: at + 1, what: what.to_owned() });
        }
        let root = Node::of(text)?;
        let mut keys = Keys::of(&root)?;
        let format = keys.take("wsx.lock")?;
        let number = format.number()?;
        if number > FORMAT {
            return Err(format.wrong(format!(
                "a later wsx wrote this file: it has the format {number}, and this wsx knows up to {FORMAT}"
            )));
        }
        let _ = keys.take_if_there("marks");
        let protocol = keys.take("protocol")?.string()?;
        let mut versions = Vec::<Version>::new();
        for node in keys.take("versions")?.list()? {
            let version = Version::read(&node)?;
            if let Some(last) = versions.last() {
                if version.number < last.number {
                    let what =
                        format!("version {} comes after version {}: the oldest is first", version.number, last.number);
                    return Err(node.wrong(what));
                }
                if versions.iter().any(|other| other.is_same(&version)) {
                    let number = version.number;
                    return Err(
                        node.wrong(format!("this is the same as an earlier version {number}: delete one of them"))
                    );
                }
                if !last.is_released {
                    let what = format!("version {} is not released, and only the last one may be so", last.number);
                    return Err(node.wrong(what));
                }
            }
            versions.push(version);
        }
        keys.end()?;
        Ok(Self { protocol, versions })
    }

    /// Returns the text of the file.
    pub(in crate::contract) fn text(&self) -> String {
        let legend = LEGEND.iter().map(|(mark, meaning)| ((*mark).to_owned(), Json::text(*meaning)));
        Json::Object(vec![
            ("wsx.lock".to_owned(), Json::Number(FORMAT)),
            ("marks".to_owned(), Json::Object(legend.collect())),
            ("protocol".to_owned(), Json::text(&self.protocol)),
            ("versions".to_owned(), Json::List(self.versions.iter().map(Version::json).collect())),
        ])
        .pretty()
    }

    /// Writes the file, in one step.
    pub(in crate::contract) fn write(&self, path: &Path) -> Result<(), String> {
        let mut next = path.as_os_str().to_owned();
        next.push(".new");
        fs::write(&next, self.text())
            .and_then(|()| fs::rename(&next, path))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// Returns the last version that was released.
    pub(in crate::contract) fn released(&self) -> Option<&Version> {
        self.versions.iter().rfind(|version| version.is_released)
    }
}
