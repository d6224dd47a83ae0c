//! Records what a process writes and syncs, with strace. It does not know stores.
use crate::{
    Result,
    notes::{End, Note},
};
use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    path::Path,
    process::Command,
};

/// What a process did, when the system had answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Create(String),
    Write {
        file: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        len: u64,
    },
    Sync(String),
    /// The names of the folder are durable.
    SyncFolder,
    Remove(String),
    /// The process said something about the messages of an end.
    Say(End, Note),
}

/// What was recorded.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    pub(crate) steps: Vec<Step>,
    /// Calls without an answer: the process ended meanwhile. The system may have done them.
    pub(crate) unanswered: Vec<Step>,
}

/// Runs `record` in a folder that exists, and returns its steps.
pub(crate) fn record(folder: &Path, first: u64, seed: u64) -> Result<Recording> {
    let log = folder.with_extension("strace");
    let calls = "trace=open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,\
                 fsync,fdatasync,sync_file_range,unlink,unlinkat,rename,renameat,renameat2,link,linkat,mmap";
    let mut command = Command::new("strace");
    // All texts in hexadecimal, and the paths of descriptors.
    command.args(["-f", "-qq", "-y", "-xx", "-s", "1000000", "--seccomp-bpf", "-e", "signal=none", "-e", calls]);
    command.arg("-o").arg(&log).arg(env::current_exe()?).arg("record").arg(folder);
    let output = command.args([first.to_string(), seed.to_string()]).output();
    let output = output.map_err(|error| format!("strace does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("the recorded process failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let recording = parse(&fs::read_to_string(&log)?, folder)?;
    fs::remove_file(&log)?;
    Ok(recording)
}

fn parse(log: &str, folder: &Path) -> Result<Recording> {
    let (mut recording, mut begun) = (Recording::default(), HashMap::new());
    for line in log.lines() {
        let (process, call) = line.trim_start().split_once(' ').ok_or("a line of strace is empty")?;
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(process, start.to_owned());
            continue;
        }
        let call = match call.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, rest)) => begun.remove(process).ok_or("strace resumes what did not begin")? + rest,
            None => call.to_owned(),
        };
        if let Some((call, "?")) = call.rsplit_once(" = ") {
            // The process ended meanwhile.
            begun.insert(process, call.trim_end().trim_end_matches(')').to_owned());
            continue;
        }
        let step = step(&call, folder).map_err(|error| format!("{error} in: {}", call.get(..300).unwrap_or(&call)))?;
        recording.steps.extend(step);
    }
    for call in begun.into_values().filter(|call| call.starts_with("pwrite64") || call.starts_with("ftruncate")) {
        let answer = call.split(", ").nth(2).unwrap_or("0");
        recording.unanswered.extend(step(&format!("{call}) = {answer}"), folder)?);
    }
    Ok(recording)
}

/// Returns the step of a call that has ended, if it is one of the folder.
fn step(call: &str, folder: &Path) -> Result<Vec<Step>> {
    let Some((call, result)) = call.rsplit_once(" = ") else { return Ok(Vec::new()) };
    let (name, arguments) = call.trim_end().strip_suffix(')').and_then(|call| call.split_once('(')).ok_or("no call")?;
    if result.starts_with(['-', '?']) {
        return Ok(Vec::new());
    }
    // No text has a comma: all are hexadecimal.
    let arguments: Vec<&str> = arguments.split(", ").collect();
    let argument = |at: usize| arguments.get(at).copied().ok_or("an argument is missing");
    let number = |at: usize| -> Result<u64> { Ok(argument(at)?.parse()?) };
    // The name in the folder of a descriptor or a path; an empty one is the folder itself.
    let file = |argument: &str| -> Result<Option<String>> {
        let path = match argument.split_once(['<', '"']) {
            Some((_, path)) => String::from_utf8(unescape(path.trim_end_matches(['>', '"']))?)?,
            None => return Ok(None),
        };
        let path = Path::new(&path);
        Ok(path.strip_prefix(folder).ok().map(|name| name.to_string_lossy().into_owned()))
    };
    let first = file(argument(0)?)?;
    let step = match (name, first) {
        ("open" | "openat" | "creat", _) => {
            let opened = file(argument(usize::from(name == "openat"))?)?;
            let flags = arguments.iter().find(|argument| argument.starts_with("O_")).copied().unwrap_or_default();
            match opened {
                Some(file) if flags.contains("O_TRUNC") => return Err(format!("{file} is cut at its open").into()),
                Some(file) if flags.contains("O_CREAT") => Step::Create(file),
                _ => return Ok(Vec::new()),
            }
        }
        ("write", None) if argument(0)?.starts_with("1<") => {
            let said = String::from_utf8(unescape(argument(1)?.trim_matches('"'))?)?;
            return said.lines().map(say).collect();
        }
        ("pwrite64", Some(file)) => {
            let mut bytes = unescape(argument(1)?.trim_matches('"'))?;
            bytes.truncate(result.trim().parse()?);
            if bytes.len() as u64 != number(2)? {
                return Err("a write is not complete".into());
            }
            Step::Write { file, at: number(3)?, bytes }
        }
        ("ftruncate", Some(file)) => Step::Truncate { file, len: number(1)? },
        ("fsync" | "fdatasync", Some(file)) if file.is_empty() => Step::SyncFolder,
        ("fsync" | "fdatasync", Some(file)) => Step::Sync(file),
        ("unlink", Some(file)) => Step::Remove(file),
        ("mmap", _) => {
            let mapped = arguments.get(4).map(|argument| file(argument)).transpose()?.flatten();
            if mapped.is_some() && argument(2)?.contains("PROT_WRITE") && argument(3)?.contains("MAP_SHARED") {
                return Err("a file is mapped, and its writes are not seen".into());
            }
            return Ok(Vec::new());
        }
        (_, Some(_)) => return Err("this call is not known to the model".into()),
        _ => return Ok(Vec::new()),
    };
    Ok(vec![step])
}

fn say(line: &str) -> Result<Step> {
    let (end, note) = line.split_once(' ').ok_or("a line of one word")?;
    let end = End::BOTH.into_iter().find(|known| format!("{known:?}") == end).ok_or("a line of nobody")?;
    match note.parse()? {
        Note::Fault(what) => Err(format!("the recorded process: {what}").into()),
        note => Ok(Step::Say(end, note)),
    }
}

/// Returns the bytes of a text as `\x2f\x74`.
fn unescape(text: &str) -> Result<Vec<u8>> {
    if text.contains("...") {
        return Err("strace has cut a text".into());
    }
    text.split("\\x").skip(1).map(|byte| Ok(u8::from_str_radix(byte.get(..2).ok_or("a short byte")?, 16)?)).collect()
}

/// Returns the files of a folder.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
        })
        .collect()
}
