//! Power losses: opens the stores as they may be after one, and checks what they have.
use crate::{
    Result,
    ends::{Entry, ID},
    medium::Medium,
    notes::{End, Note},
    random::Random,
    record::{self, Seen, file_of},
    trace::{self, Recording, Step},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
    sync::Mutex,
    thread,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use wsx::{
    CancellationToken, Report,
    delivery::{Disk, Store},
};

/// Losses of one recording.
const LOSSES_OF_A_RECORDING: u64 = 1_000;
/// After one loss of this many, both ends run again until nothing waits.
const RUN_AGAIN: u64 = 20;
/// A recording is used only if it leads to the files that the process has left. At the end of a
/// process, the last call of a thread may be missing.
const ATTEMPTS: usize = 10;
const DEADLINE: Duration = Duration::from_secs(60);

/// The figures.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Lost {
    losses: u64,
    recordings: u64,
    steps: u64,
    /// Messages that had to be there.
    durable: u64,
    /// Losses after which both ends ran again.
    again: u64,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { losses, recordings, steps, durable, again } = self;
        write!(f, "{losses} power losses at {steps} steps of {recordings} recordings ({again} ran on), ")?;
        write!(f, "{durable} durable messages looked for, lost 0, wrong 0")
    }
}

/// What is known of the messages of an end.
#[derive(Debug, Default, Clone)]
struct Known {
    epoch: Option<String>,
    accepted: BTreeSet<u64>,
    /// The number of each handled message.
    handled: BTreeMap<u64, u64>,
    /// Those whose sender knew that they were handled.
    done: BTreeSet<u64>,
}

type Both = BTreeMap<End, Known>;

/// Loses the power this often. Each recording but the first begins with stores after a loss.
pub(crate) fn run(folder: &Path, losses: u64, seed: u64) -> Result<Lost> {
    let mut figures = Lost::default();
    let (mut files, mut known) = (BTreeMap::new(), Both::default());
    // At least three, so that a short campaign opens stores after a loss, too.
    let each = LOSSES_OF_A_RECORDING.min(losses.div_ceil(3)).max(1);
    while figures.losses < losses {
        let number = figures.recordings;
        let here = folder.join(number.to_string());
        fs::create_dir_all(&here)?;
        let here = here.canonicalize()?;
        let start = Medium::new(files.clone());
        let steps = recorded(&here.join("recorded"), &files, &start, number, seed)?;
        let mut random = Random::new(seed, 1 << 32 | number);
        let count = each.min(losses - figures.losses);
        let mut points: Vec<usize> = (0..count).map(|_| random.index(steps.len() + 1)).collect();
        points.sort_unstable();
        let points: Vec<_> = points.into_iter().zip(0..).collect();
        let total = Mutex::new((0, 0));
        thread::scope(|scope| {
            let halves = points.chunks(points.len().div_ceil(2).max(1)).enumerate();
            let (start, known, steps, total, here) = (&start, &known, &steps, &total, &here);
            let workers: Vec<_> = halves
                .map(|(half, points)| {
                    let folder = here.join(format!("lost-{half}"));
                    let random = Random::new(seed, 1 << 33 | number << 1 | half as u64);
                    scope.spawn(move || -> Result {
                        let found = lose(&folder, steps, points, start.clone(), known.clone(), random)?;
                        let mut total = total.lock().expect("nobody panics");
                        *total = (total.0 + found.0, total.1 + found.1);
                        Ok(())
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("nobody panics"))
        })?;
        let (durable, again) = total.into_inner().expect("nobody panics");
        figures.losses += count;
        figures.recordings += 1;
        figures.steps += steps.len() as u64;
        figures.durable += durable;
        figures.again += again;
        // The next recording begins with one more loss, somewhere in the second half.
        let (mut medium, cut) = (start, steps.len() / 2 + random.index(steps.len() / 2));
        for step in &steps[..cut] {
            medium.apply(step);
            learn(&mut known, step);
        }
        files = medium.after_a_loss(&mut random);
        write(&here.join("next"), &files)?;
        settle(&here.join("next"), &mut known)?;
        fs::remove_dir_all(here)?;
    }
    Ok(figures)
}

/// Records what a process does that begins with these files.
fn recorded(
    folder: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    start: &Medium,
    number: u64,
    seed: u64,
) -> Result<Vec<Step>> {
    for _ in 0..ATTEMPTS {
        write(folder, files)?;
        let Recording { steps, unanswered } = trace::record(folder, 1 + number * 1_000_000, seed + number)?;
        let mut end = start.clone();
        steps.iter().for_each(|step| end.apply(step));
        let left = trace::files(folder)?;
        if end.files() != left {
            unanswered.iter().for_each(|step| end.apply(step));
        }
        if end.files() == left {
            return Ok(steps);
        }
    }
    Err("the recordings do not lead to the files that the process has left".into())
}

/// Loses the power at these steps. Returns how many messages had to be there, and how often both
/// ends ran again.
fn lose(
    folder: &Path,
    steps: &[Step],
    points: &[(usize, u64)],
    mut medium: Medium,
    mut known: Both,
    mut random: Random,
) -> Result<(u64, u64)> {
    let runtime = Runtime::new()?;
    let (mut applied, mut durable, mut again) = (0, 0, 0);
    for (at, number) in points {
        for step in &steps[applied..*at] {
            medium.apply(step);
            learn(&mut known, step);
        }
        applied = *at;
        let files = medium.after_a_loss(&mut random);
        write(folder, &files)?;
        let mut found = check(folder, &known).map(|count| durable += count);
        if found.is_ok() && number % RUN_AGAIN == 0 {
            again += 1;
            found = runtime.block_on(run_again(folder, &known));
        }
        if let Err(error) = found {
            let proof = folder.with_extension("proof");
            write(&proof, &files)?;
            return Err(format!("a power loss after step {at}: {error} (stores in {})", proof.display()).into());
        }
    }
    Ok((durable, again))
}

fn learn(known: &mut Both, step: &Step) {
    let Step::Say(end, note) = step else { return };
    let known = known.entry(*end).or_default();
    match note {
        Note::Accepted(n) => drop(known.accepted.insert(*n)),
        Note::Done(n) => drop(known.done.insert(*n)),
        Note::Handled { epoch, seq, n } => {
            known.epoch = Some(epoch.clone());
            known.handled.insert(*n, *seq);
        }
        Note::Open | Note::Empty | Note::Fault(_) => {}
    }
}

fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    files.iter().try_for_each(|(name, content)| Ok(fs::write(folder.join(name), content)?))
}

/// What a store has.
#[derive(Debug, Default)]
struct Content {
    epoch: Option<String>,
    /// The messages, by their `n`.
    messages: BTreeMap<u64, u64>,
    /// The last handled number of each epoch.
    handled: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Handled {
    seq: u64,
}

#[derive(Deserialize)]
struct Envelope {
    data: Entry,
}

fn content(folder: &Path, end: End) -> Result<Content> {
    let mut disk = Disk::open(folder.join(file_of(end))).map_err(|error| Report(&error).to_string())?;
    let (mut content, mut fault) = (Content::default(), None);
    disk.load(&mut |key, value| {
        if let Err(error) = read(&mut content, key, value) {
            fault = Some(format!("the record {key}: {error}"));
        }
    })?;
    fault.map_or(Ok(content), |fault| Err(fault.into()))
}

fn read(content: &mut Content, key: &str, value: &[u8]) -> Result {
    let parts: Vec<&str> = key.split('/').collect();
    match &*parts {
        ["epoch"] => content.epoch = Some(String::from_utf8(value.to_vec())?),
        ["out", _, "seq", number] => {
            let text = value.splitn(2, |byte| *byte == b'\n').nth(1).ok_or("it has one line")?;
            let Envelope { data } = serde_json::from_slice(text)?;
            if !data.is_right() {
                return Err("its text is wrong".into());
            }
            content.messages.insert(data.n, number.parse()?);
        }
        ["in", _, epoch] => {
            let Handled { seq } = serde_json::from_slice(value)?;
            content.handled.insert((*epoch).to_owned(), seq);
        }
        _ => {}
    }
    Ok(())
}

/// Checks both stores after a loss. Returns how many messages had to be there.
fn check(folder: &Path, known: &Both) -> Result<u64> {
    let mut count = 0;
    for (end, known) in known {
        let (own, other) = (content(folder, *end)?, content(folder, end.other())?);
        if own.epoch != known.epoch && known.epoch.is_some() {
            return Err(format!("the {end:?} has the epoch {:?}, and had {:?}", own.epoch, known.epoch).into());
        }
        for n in known.accepted.iter().filter(|n| !known.handled.contains_key(n)) {
            count += 1;
            if !own.messages.contains_key(n) {
                return Err(format!("message {n} of the {end:?} was accepted, and is lost").into());
            }
        }
        for (n, seq) in &own.messages {
            if known.handled.get(n).is_some_and(|handled| handled != seq) {
                return Err(format!("message {n} of the {end:?} has another number").into());
            }
        }
        let remembered = known.epoch.as_ref().and_then(|epoch| other.handled.get(epoch)).copied().unwrap_or(0);
        for n in &known.done {
            if known.handled.get(n).is_some_and(|seq| *seq > remembered) {
                return Err(format!("message {n} of the {end:?} was acknowledged, and would be handled again").into());
            }
        }
    }
    Ok(count)
}

/// Runs both ends until nothing waits, each with one more message.
async fn run_again(folder: &Path, known: &Both) -> Result {
    let last = u64::MAX;
    let seen = Seen::default();
    let (client, server) = record::open(folder, Some(seen.clone())).await?;
    client.start(CancellationToken::new()).await?;
    let run = async {
        client.deliver(&Entry::new(last)).await?;
        server.hub.deliver(ID, &Entry::new(last)).await?;
        while client.waiting() > 0 || !server.hub.waiting(ID).is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    let outcome: Result = timeout(DEADLINE, run).await.unwrap_or_else(|_| Err("what waits is not handled".into()));
    client.close();
    client.closed().await;
    server.stop().await;
    outcome?;
    let seen = seen.lock().expect("nobody panics");
    for (end, known) in known {
        let handled: Vec<u64> = seen.iter().filter(|(sender, _)| sender == end).map(|(_, n)| *n).collect();
        if !handled.is_sorted_by(|one, next| one < next) || handled.last() != Some(&last) {
            return Err(format!("the messages of the {end:?} came as {handled:?}").into());
        }
        if let Some(n) = known.done.iter().find(|n| handled.contains(n)) {
            return Err(format!("message {n} of the {end:?} was acknowledged, and handled again").into());
        }
        let mut waiting = known.accepted.iter().filter(|n| !known.handled.contains_key(n));
        if let Some(n) = waiting.find(|n| !handled.contains(n)) {
            return Err(format!("message {n} of the {end:?} was accepted, and not handled").into());
        }
    }
    Ok(())
}

/// Corrects what is known by what the stores have, for a recording that begins with them.
fn settle(folder: &Path, known: &mut Both) -> Result {
    check(folder, known)?;
    for end in End::BOTH {
        let own = content(folder, end)?;
        let known = known.entry(end).or_default();
        known.epoch = own.epoch;
        // A message that was handled and is still there is handled again, or ignored.
        known.accepted.retain(|n| own.messages.contains_key(n));
        known.accepted.extend(own.messages.keys());
        known.accepted.retain(|n| !known.handled.contains_key(n));
    }
    Ok(())
}
