//! What goes wrong: chosen at random, up to two things at a time, each for some seconds.
use crate::{
    fleet::Fleet,
    network::{End, GROUPS, Member, NODES, Way},
    random::Random,
};
use std::{
    fmt, thread,
    time::{Duration, Instant},
};
use wsx_cluster_tests::Failure;

/// Things that are wrong at a time.
const AT_ONCE: usize = 2;

/// A thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `kill -9`, and a new process later.
    Kill(Member),
    /// `SIGSTOP`, and `SIGCONT` later.
    Pause(Member),
    /// A node and another member lose each other's packets.
    Cut(Member, Member, Way),
    /// The cable of a member is pulled.
    Unplug(Member, End),
}

/// How often each kind of fault has happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kills: usize,
    pauses: usize,
    cuts: usize,
    unplugged: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, cuts, unplugged } = self;
        write!(f, "{kills} kills, {pauses} pauses, {cuts} cuts, {unplugged} cables unplugged")
    }
}

impl Fault {
    fn random(random: &mut Random) -> Self {
        let node = Member::Node(random.index(NODES));
        let boxes = Member::Boxes(random.index(GROUPS));
        let member = [Member::Nats, node, boxes][random.index(3)];
        match random.below(5) {
            0 => Self::Kill(member),
            1 => Self::Pause(member),
            2 => Self::Unplug(member, if random.is_heads() { End::Own } else { End::Far }),
            _ => {
                let way = [Way::Silent, Way::Deaf, Way::Mute, Way::Reset][random.index(4)];
                Self::Cut(node, if random.is_heads() { Member::Nats } else { boxes }, way)
            }
        }
    }

    /// Whether two faults can happen at a time.
    fn agrees_with(self, other: Self) -> bool {
        match (self, other) {
            (Self::Kill(one) | Self::Pause(one), Self::Kill(two) | Self::Pause(two))
            | (Self::Unplug(one, _), Self::Unplug(two, _)) => one != two,
            (Self::Cut(node, other, _), Self::Cut(second, third, _)) => (node, other) != (second, third),
            _ => true,
        }
    }

    fn is_of_nats_alone(self) -> bool {
        matches!(self, Self::Kill(Member::Nats) | Self::Pause(Member::Nats) | Self::Unplug(Member::Nats, _))
    }

    fn begin(self, fleet: &mut Fleet, counts: &mut Counts) -> Result<(), Failure> {
        match self {
            Self::Kill(member) => {
                counts.kills += 1;
                fleet.kill(member);
                Ok(())
            }
            Self::Pause(member) => {
                counts.pauses += 1;
                fleet.pause(member, true)
            }
            Self::Cut(node, other, way) => {
                counts.cuts += 1;
                fleet.network.cut(node, other, way, true)
            }
            Self::Unplug(member, end) => {
                counts.unplugged += 1;
                fleet.network.unplug(member, end, true)
            }
        }
    }

    fn end(self, fleet: &mut Fleet) -> Result<(), Failure> {
        match self {
            Self::Kill(member) => fleet.start(member),
            Self::Pause(member) => fleet.pause(member, false),
            Self::Cut(node, other, way) => fleet.network.cut(node, other, way, false),
            Self::Unplug(member, end) => fleet.network.unplug(member, end, false),
        }
    }
}

/// Makes faults for this time. At its end, nothing is wrong.
pub(crate) fn run(
    fleet: &mut Fleet,
    random: &mut Random,
    time: Duration,
    counts: &mut Counts,
    said: Instant,
) -> Result<(), Failure> {
    let end = Instant::now() + time;
    let mut active: Vec<(Fault, Instant)> = Vec::new();
    let mut next = Instant::now();
    while Instant::now() < end || !active.is_empty() {
        let now = Instant::now();
        let is_over = |until: Instant| until <= now || now >= end;
        for (fault, _) in active.iter().filter(|(_, until)| is_over(*until)) {
            fault.end(fleet)?;
            println!("{:7.1} s: no {fault:?}", said.elapsed().as_secs_f64());
        }
        active.retain(|(_, until)| !is_over(*until));
        if now < end && now >= next && active.len() < AT_ONCE {
            let fault = Fault::random(random);
            // Shorter than the time after which a node is lost, or longer.
            let length = if random.is_heads() { 200 + random.below(3000) } else { 3000 + random.below(7000) };
            if active.iter().all(|(other, _)| fault.agrees_with(*other)) {
                println!("{:7.1} s: {fault:?} for {length} ms", said.elapsed().as_secs_f64());
                fault.begin(fleet, counts)?;
                active.push((fault, Instant::now() + Duration::from_millis(length)));
            }
            next = now + Duration::from_millis(random.below(3000));
        }
        let phase = match &active[..] {
            [] => 2,
            active if active.iter().all(|(fault, _)| fault.is_of_nats_alone()) => 1,
            _ => 2,
        };
        fleet.set_phase(phase)?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
