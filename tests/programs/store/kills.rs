//! Kills a box and its station at random moments, and checks what they said.
use crate::{
    Result,
    ends::ID,
    notes::{End, Note},
    random::Random,
};
use std::{
    collections::{HashMap, HashSet},
    env, fmt, fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Kills of one pair of stores.
const KILLS_OF_A_PAIR: u64 = 200;
/// Pairs at a time: more than the cores, so that the moments of the kills differ more.
const AT_A_TIME: usize = 4;
/// Long enough for anything that happens.
const DEADLINE: Duration = Duration::from_secs(60);
/// Numbers of a run of an end. Each run has its own, because a message may be accepted without a
/// line.
const RUN: u64 = 1_000_000;

/// The figures.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Killed {
    kills: u64,
    /// How many of them were before the store was open.
    early: u64,
    accepted: u64,
    handled: u64,
    /// Handled again, because the receiver was killed before its store had the number.
    again: u64,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, early, accepted, handled, again } = self;
        write!(f, "{kills} kills ({early} during an open), accepted {accepted}, handled {handled}, lost 0, ")?;
        write!(f, "handled twice 0, out of order 0 ({again} handled again by a receiver that was killed meanwhile)")
    }
}

/// Kills this often, in several pairs of stores.
pub(crate) fn run(folder: &Path, kills: u64, seed: u64) -> Result<Killed> {
    let pairs: Vec<u64> = (0..kills).step_by(usize::try_from(KILLS_OF_A_PAIR)?).collect();
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Killed::default());
    thread::scope(|scope| {
        let work = || -> Result {
            while let Some(first) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let folder = folder.join(first.to_string());
                fs::create_dir_all(&folder)?;
                let random = Random::new(seed, *first);
                let found = Pair::new(folder.clone(), random)?.run(KILLS_OF_A_PAIR.min(kills - first));
                let found = found.map_err(|error| format!("{error} (stores in {})", folder.display()))?;
                let mut total = total.lock().expect("nobody panics");
                total.kills += found.kills;
                total.early += found.early;
                total.accepted += found.accepted;
                total.handled += found.handled;
                total.again += found.again;
                drop(total);
                fs::remove_dir_all(&folder)?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("nobody panics"))
    })?;
    Ok(total.into_inner().expect("nobody panics"))
}

/// All that happened to a pair, in the order in which the parent noticed it.
#[derive(Debug, Default)]
struct Log {
    events: Mutex<Vec<(End, Event)>>,
    changed: Condvar,
}

#[derive(Debug, Clone)]
enum Event {
    /// A run begins.
    Start,
    Said(Note),
}

impl Log {
    fn add(&self, end: End, event: Event) {
        self.events.lock().expect("nobody panics").push((end, event));
        self.changed.notify_all();
    }

    /// Waits until this end has said something since its start.
    fn wait_for(&self, end: End, note: &Note) -> Result {
        let events = self.events.lock().expect("nobody panics");
        let is_missing = |events: &mut Vec<(End, Event)>| {
            let mut run = events.iter().rev().filter(|(of, _)| *of == end).map(|(_, event)| event);
            !run.by_ref()
                .take_while(|event| !matches!(event, Event::Start))
                .any(|event| matches!(event, Event::Said(said) if said == note || matches!(said, Note::Fault(_))))
        };
        let waited = self.changed.wait_timeout_while(events, DEADLINE, is_missing).expect("nobody panics");
        if waited.1.timed_out() { Err(format!("the {end:?} did not say {note:?} in time").into()) } else { Ok(()) }
    }
}

/// A process, and the thread that reads what it says.
struct Run {
    process: Child,
    reader: thread::JoinHandle<()>,
}

struct Pair {
    folder: PathBuf,
    random: Random,
    listener: TcpListener,
    log: Arc<Log>,
    runs: HashMap<End, Run>,
    started: u64,
}

impl Pair {
    fn new(folder: PathBuf, random: Random) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok(Self { folder, random, listener, log: Arc::default(), runs: HashMap::new(), started: 0 })
    }

    fn run(mut self, kills: u64) -> Result<Killed> {
        let outcome = self.kill(kills);
        for end in End::BOTH {
            // Also after an error.
            if let Some(mut run) = self.runs.remove(&end) {
                let _ = run.process.kill();
                let _ = run.process.wait();
                run.reader.join().expect("nobody panics");
            }
        }
        let early = outcome?;
        let events = self.log.events.lock().expect("nobody panics");
        let mut figures = Killed { kills, early, ..Killed::default() };
        for sender in End::BOTH {
            check(&events, sender, &mut figures)?;
        }
        Ok(figures)
    }

    /// Kills, and returns how many kills were before the store was open.
    fn kill(&mut self, kills: u64) -> Result<u64> {
        let (mut left, mut early) = (kills, 0);
        while left > 0 {
            for end in End::BOTH {
                if !self.runs.contains_key(&end) {
                    self.start(end, true)?;
                }
            }
            let victim = if self.random.is_heads() { End::Box } else { End::Station };
            let also = (self.random.below(4) == 0 && left > 1).then_some(victim.other());
            if self.random.below(4) > 0 {
                self.log.wait_for(victim, &Note::Open)?;
            }
            thread::sleep(Duration::from_micros(self.random.below(10_000)));
            for end in [Some(victim), also].into_iter().flatten() {
                early += u64::from(self.end(end)?);
                left -= 1;
            }
            if self.random.is_heads() {
                // The other end goes on alone.
                thread::sleep(Duration::from_micros(self.random.below(8_000)));
            }
        }
        for end in End::BOTH {
            if self.runs.contains_key(&end) {
                self.end(end)?;
            }
            self.start(end, false)?;
        }
        let start = Instant::now();
        for end in End::BOTH {
            self.log.wait_for(end, &Note::Empty)?;
        }
        assert!(start.elapsed() < 2 * DEADLINE);
        Ok(early)
    }

    fn start(&mut self, end: End, sends: bool) -> Result {
        self.started += 1;
        let (first, sends) = ((self.started * RUN).to_string(), if sends { "sends" } else { "waits" });
        let mut command = Command::new(env::current_exe()?);
        let folder = self.folder.as_os_str();
        match end {
            End::Box => {
                let url = format!("ws://{}/ws?id={ID}", self.listener.local_addr()?);
                command.args(["box", &url]).arg(folder).stdin(Stdio::null())
            }
            End::Station => {
                let listener = OwnedFd::from(self.listener.try_clone()?);
                command.arg("station").arg(folder).stdin(Stdio::from(listener))
            }
        };
        self.log.add(end, Event::Start);
        let mut process = command.args([&*first, sends]).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let log = self.log.clone();
        let reader = thread::spawn(move || {
            for line in lines.lines() {
                let note: Result<Note> = line.map_err(Into::into).and_then(|line| line.parse());
                log.add(end, Event::Said(note.unwrap_or_else(|error| Note::Fault(error.to_string()))));
            }
        });
        self.runs.insert(end, Run { process, reader });
        Ok(())
    }

    /// Kills an end, and reads the rest of what it said. Returns whether its store was not open.
    fn end(&mut self, end: End) -> Result<bool> {
        let mut run = self.runs.remove(&end).expect("it runs");
        run.process.kill()?;
        let status = run.process.wait()?;
        run.reader.join().expect("nobody panics");
        let events = self.log.events.lock().expect("nobody panics");
        let fault = events.iter().find_map(|(of, event)| match event {
            Event::Said(Note::Fault(what)) => Some(format!("the {of:?}: {what}")),
            _ => None,
        });
        match fault {
            Some(fault) => Err(fault.into()),
            None if status.signal() != Some(9) => Err(format!("the {end:?} ended by itself: {status}").into()),
            None => {
                let last = events.iter().rev().find(|(of, _)| *of == end);
                Ok(matches!(last, Some((_, Event::Start))))
            }
        }
    }
}

/// Checks the messages of one end. `Err` says what is broken.
fn check(events: &[(End, Event)], sender: End, figures: &mut Killed) -> Result {
    let mut accepted = Vec::new();
    // Those whose sender knew that they were handled.
    let mut done = HashSet::new();
    // Those that were done when the run of the receiver began: its store has their numbers.
    let mut done_before = HashSet::new();
    let (mut numbers, mut highest, mut last) = (HashMap::new(), 0, None);
    let mut epochs = HashSet::new();
    for (end, event) in events {
        match event {
            Event::Said(Note::Accepted(n)) if *end == sender => accepted.push(*n),
            Event::Said(Note::Done(n)) if *end == sender => {
                done.insert(*n);
            }
            Event::Start if *end != sender => {
                done_before.clone_from(&done);
                last = None;
            }
            Event::Said(Note::Handled { epoch, seq, n }) if *end != sender => {
                epochs.insert(epoch);
                if last.is_some_and(|last| last >= *seq) {
                    return Err(
                        format!("number {seq} of the {sender:?} was handled twice, or after a later one").into()
                    );
                }
                last = Some(*seq);
                match numbers.insert(*seq, *n) {
                    None if *n <= highest => {
                        return Err(format!("message {n} of the {sender:?} was handled after {highest}").into());
                    }
                    None => {
                        highest = *n;
                        figures.handled += 1;
                    }
                    Some(other) if other != *n => {
                        return Err(format!("number {seq} of the {sender:?} was {other}, and then {n}").into());
                    }
                    Some(_) if done_before.contains(n) => {
                        return Err(format!("message {n} of the {sender:?} was acknowledged, and handled again").into());
                    }
                    Some(_) => figures.again += 1,
                }
            }
            _ => {}
        }
    }
    if epochs.len() > 1 {
        return Err(format!("the store of the {sender:?} has had the epochs {epochs:?}").into());
    }
    let handled: HashSet<u64> = numbers.into_values().collect();
    let lost: Vec<_> = accepted.iter().filter(|n| !handled.contains(n)).collect();
    if !lost.is_empty() {
        return Err(format!("{} accepted messages of the {sender:?} are lost: {lost:?}", lost.len()).into());
    }
    figures.accepted += accepted.len() as u64;
    Ok(())
}
