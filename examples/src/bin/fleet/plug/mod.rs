//! `--pull-the-plug`: an office and its meters in processes of their own, which are killed, over
//! links that are cut. At the end, their books show whether a message was lost.
//!
//! `ends` has the programs that are killed, and `books` their files, which `comparison` reads.
//! `child` and `link` are what goes wrong.
mod books;
mod child;
mod comparison;
pub(crate) mod ends;
mod link;

use crate::plug::{child::Child, comparison::Comparison, ends::OFFICE, link::Link};
use fleet_protocol::PATH;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fmt, fs, path::Path, pin::pin, process, process::ExitCode};
use tokio::time::{Instant, timeout_at};
use tokio::{net::TcpListener, sync::watch};
use wsx::BoxError;

/// Longest time between two faults, in milliseconds.
const BETWEEN: usize = 400;
/// Time in which every message must have arrived, when everything works again.
const CALM: Duration = Duration::from_secs(60);

/// The arguments of this mode.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Plug {
    /// Kill an office and its meters at random, cut their links, and count what is lost
    #[arg(long, conflicts_with = "compress")]
    pub(crate) pull_the_plug: bool,
    /// Number of meters
    #[arg(long, value_name = "NUMBER", requires = "pull_the_plug", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    meters: u8,
    /// Number that chooses the faults; without it, a new one
    #[arg(long, value_name = "NUMBER", requires = "pull_the_plug")]
    seed: Option<u64>,
}

/// Pulls plugs until `stop`, puts them back, and compares the books. Returns the last line and
/// the exit status.
pub(crate) async fn run(
    Plug { meters, seed, .. }: Plug,
    stop: impl Future<Output = io::Result<()>>,
) -> Result<(String, ExitCode), BoxError> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = seed.unwrap_or_else(|| u64::from(now().subsec_nanos()));
    let directory = env::temp_dir().join(format!("fleet-{}-{}", process::id(), now().as_millis()));
    fs::create_dir(&directory)?;
    say(format_args!("seed {seed}, with the files in {}", directory.display()))?;

    let mut fleet = Fleet::start(&directory, meters).await?;
    fleet.pull(Random(seed), stop).await?;
    let unrest = fleet.restore().await.err();
    drop(fleet);

    let names: Vec<_> = (1..=meters).map(meter).chain([OFFICE.to_owned()]).collect();
    let mut comparison = Comparison::of(&directory, &names)?;
    comparison.faults.extend(unrest.map(|error| error.to_string()));
    comparison.faults.iter().try_for_each(|fault| say(format_args!("{fault}")))?;
    say(format_args!(
        "suppressed by the ledger {}, handled although the sender was killed before it knew {}",
        comparison.suppressed, comparison.unknown
    ))?;
    if comparison.faults.is_empty() {
        fs::remove_dir_all(&directory)?;
    }
    Ok((comparison.to_string(), crate::status(comparison.faults.is_empty())))
}

/// All that can go wrong.
struct Fleet {
    /// The office, and then the meters.
    children: Vec<Child>,
    links: Vec<watch::Sender<Link>>,
}

impl Fleet {
    async fn start(directory: &Path, meters: u8) -> Result<Self, BoxError> {
        let names: Vec<_> = (1..=meters).map(meter).collect();
        let office = Child::new("office", OFFICE, directory, names.join(","));
        let mut fleet = Self { children: Vec::new(), links: Vec::new() };
        for name in names {
            let (listener, link) = (TcpListener::bind("127.0.0.1:0").await?, watch::Sender::new(Link::Whole));
            let url = format!("ws://{}{PATH}", listener.local_addr()?);
            fleet.children.push(Child::new("meter", &name, directory, url));
            tokio::spawn(link::run(listener, office.said(), link.subscribe()));
            fleet.links.push(link);
        }
        fleet.children.insert(0, office);
        fleet.children.iter_mut().try_for_each(Child::start)?;
        Ok(fleet)
    }

    /// Kills children and breaks links, and repairs them, until `stop`.
    async fn pull(&mut self, mut random: Random, stop: impl Future<Output = io::Result<()>>) -> Result<(), BoxError> {
        let (start, mut stop) = (Instant::now(), pin!(stop));
        let mut next = start;
        loop {
            next += Duration::from_millis(random.below(BETWEEN) as u64);
            if let Ok(stopped) = timeout_at(next, &mut stop).await {
                return Ok(stopped?);
            }
            self.children.iter_mut().try_for_each(Child::check)?;
            let mut news = Vec::new();
            // Half of what is broken is repaired, and one thing breaks.
            for child in self.children.iter_mut().filter(|child| !child.is_running()) {
                if random.below(2) == 0 {
                    child.start()?;
                    news.push(format!("{} starts", child.name));
                }
            }
            for (link, meter) in self.links.iter().zip(1..).filter(|(link, _)| *link.borrow() != Link::Whole) {
                if random.below(2) == 0 {
                    link.send_replace(Link::Whole);
                    news.push(format!("link {meter} is whole"));
                }
            }
            match random.below(self.children.len() + self.links.len()) {
                link if link < self.links.len() => {
                    let fault = Link::FAULTS[random.below(Link::FAULTS.len())];
                    self.links[link].send_replace(fault);
                    news.push(format!("link {} is {}", link + 1, format!("{fault:?}").to_lowercase()));
                }
                child => {
                    let child = &mut self.children[child - self.links.len()];
                    if child.kill()? {
                        news.push(format!("{} is killed", child.name));
                    }
                }
            }
            say(format_args!("{:.1} s: {}", start.elapsed().as_secs_f64(), news.join(", ")))?;
        }
    }

    /// Lets everything work again, and waits until no message waits.
    async fn restore(&mut self) -> Result<(), BoxError> {
        self.links.iter().for_each(|link| link.send_modify(|link| *link = Link::Whole));
        self.children.iter_mut().filter(|child| !child.is_running()).try_for_each(Child::start)?;
        say(format_args!("everything works again"))?;
        self.children.iter_mut().try_for_each(Child::calm)?;
        let end = Instant::now() + CALM;
        for child in &self.children {
            child.calmed(end).await?;
        }
        self.children.iter_mut().try_for_each(Child::end)
    }
}

/// A random sequence that begins with a seed: the generator `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound
    }
}

fn meter(number: u8) -> String {
    format!("meter-{number}")
}

fn say(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush())
}
