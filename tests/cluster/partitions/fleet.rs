//! The processes of the campaign: they are started, killed, paused and asked.
use crate::network::{GROUPS, Member, NODES, Network};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use wsx_cluster_tests::{Failure, Told};

/// The number of boxes.
pub(crate) const BOXES: usize = 60;
/// How long a process may take for an answer. All of them run when they are asked.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the cluster may take to be one again, once nothing is wrong any more.
const SETTLES: Duration = Duration::from_secs(30);
/// After this time, the heartbeat of a box has found every link that died before.
const STEADY: Duration = Duration::from_secs(3);

pub(crate) struct Fleet {
    pub(crate) network: Network,
    /// The notes of all processes, and the outboxes.
    pub(crate) folder: PathBuf,
    running: HashMap<Member, Told>,
    /// The number of processes that were started.
    starts: u64,
    is_loaded: bool,
    phase: usize,
}

/// What a node knows.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) connected: bool,
    pub(crate) others: usize,
    pub(crate) tasks: usize,
    /// In KB.
    pub(crate) memory: usize,
    pub(crate) pending: usize,
    pub(crate) own: Vec<String>,
    pub(crate) all: Vec<String>,
}

pub(crate) fn nodes() -> impl Iterator<Item = Member> {
    (0..NODES).map(Member::Node)
}

pub(crate) fn groups() -> impl Iterator<Item = Member> {
    (0..GROUPS).map(Member::Boxes)
}

impl Fleet {
    pub(crate) fn new(network: Network, folder: PathBuf) -> Self {
        Self { network, folder, running: HashMap::new(), starts: 0, is_loaded: false, phase: 0 }
    }

    /// Starts a process. It does not wait until that is connected.
    pub(crate) fn start(&mut self, member: Member) -> Result<(), Failure> {
        let told = self.process(member, true)?;
        self.running.insert(member, told);
        Ok(())
    }

    /// Starts a program with the boxes of another one, which still runs, and returns the other one.
    pub(crate) fn replace(&mut self, member: Member) -> Result<Option<Told>, Failure> {
        let told = self.process(member, false)?;
        Ok(self.running.insert(member, told))
    }

    fn process(&mut self, member: Member, has_disk: bool) -> Result<Told, Failure> {
        self.starts += 1;
        let start = self.starts.to_string();
        let notes = self.folder.join(format!("{member}-{start}.notes"));
        let own = std::env::current_exe()?;
        let mut command = match member {
            Member::Nats => {
                let mut command = self.network.inside(member, nats_server());
                command.args(["-a", &member.address(), "-p", "4222"]).stderr(Stdio::null());
                return Told::start(&mut command, ANSWER);
            }
            Member::Node(_) => {
                let mut command = self.network.inside(member, own);
                command.args(["node", "--listen", &format!("{}:9001", member.address())]);
                command.args(["--nats", &format!("nats://{}:4222", Member::Nats.address())]);
                command
            }
            Member::Boxes(number) => {
                let mut command = self.network.inside(member, own);
                let urls: Vec<String> = nodes().map(|node| format!("ws://{}:9001/", node.address())).collect();
                let count = BOXES / GROUPS;
                command.args(["boxes", "--urls", &urls.join(",")]);
                command.args(["--from", &(number * count).to_string(), "--count", &count.to_string()]);
                if has_disk {
                    command.arg("--outboxes").arg(&self.folder);
                }
                command
            }
        };
        let mut told = Told::start(command.arg("--notes").arg(notes).args(["--start", &start]), ANSWER)?;
        told.answer().map_err(|error| format!("{member}: {error}"))?;
        if self.is_loaded {
            told.tell("load on")?;
        }
        if matches!(member, Member::Node(_)) {
            told.tell(&format!("phase {}", self.phase))?;
        }
        Ok(told)
    }

    /// Kills a process, as by `kill -9`.
    pub(crate) fn kill(&mut self, member: Member) {
        self.running.remove(&member);
    }

    /// Stops a process, or lets it go on.
    pub(crate) fn pause(&self, member: Member, is_paused: bool) -> Result<(), Failure> {
        let process = self.running.get(&member).ok_or("it does not run")?;
        let signal = if is_paused { Signal::SIGSTOP } else { Signal::SIGCONT };
        Ok(kill(Pid::from_raw(process.id().try_into()?), signal)?)
    }

    pub(crate) fn load(&mut self, members: impl Iterator<Item = Member>, is_on: bool) -> Result<(), Failure> {
        self.is_loaded = is_on;
        let line = if is_on { "load on" } else { "load off" };
        members.into_iter().try_for_each(|member| self.told(member)?.tell(line))
    }

    /// Tells the nodes what is wrong now.
    pub(crate) fn set_phase(&mut self, phase: usize) -> Result<(), Failure> {
        self.phase = phase;
        for (member, process) in &mut self.running {
            if matches!(member, Member::Node(_)) {
                process.tell(&format!("phase {phase}"))?;
            }
        }
        Ok(())
    }

    fn told(&mut self, member: Member) -> Result<&mut Told, Failure> {
        self.running.get_mut(&member).ok_or_else(|| format!("{member} does not run").into())
    }

    pub(crate) fn ask(&mut self, member: Member, line: &str) -> Result<String, Failure> {
        self.told(member)?.ask(line).map_err(|error| format!("{member}: {error}").into())
    }

    pub(crate) fn status(&mut self, node: Member) -> Result<Status, Failure> {
        let answer = self.ask(node, "status")?;
        let [connected, others, tasks, memory, pending, own, all] = answer.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("{node} said {answer:?}").into());
        };
        let ids = |list: &str| match list {
            "-" => Vec::new(),
            list => list.split(',').map(str::to_owned).collect(),
        };
        Ok(Status {
            connected: connected == "true",
            others: others.parse()?,
            tasks: tasks.parse()?,
            memory: memory.parse()?,
            pending: pending.parse()?,
            own: ids(own),
            all: ids(all),
        })
    }

    pub(crate) fn statuses(&mut self) -> Result<Vec<Status>, Failure> {
        nodes().map(|node| self.status(node)).collect()
    }

    /// Waits until something is as it should be. `look` says what is not.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<String>, Failure>,
    ) -> Result<Duration, Failure> {
        let start = Instant::now();
        while let Some(wrong) = look(self)? {
            if start.elapsed() > SETTLES {
                return Err(format!("{what}: after {SETTLES:?}, {wrong}").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(start.elapsed())
    }

    /// Waits until every box is connected, and every node is too: it knows every other node, and
    /// each box exactly once.
    pub(crate) fn settle(&mut self, what: &str, boxes: usize) -> Result<Duration, Failure> {
        self.until(what, |fleet| fleet.unsettled(boxes))
    }

    /// As [`settle`](Self::settle), until all of this holds for a while.
    pub(crate) fn steady(&mut self, what: &str, boxes: usize) -> Result<Duration, Failure> {
        let mut since = None;
        self.until(what, |fleet| {
            let wrong = fleet.unsettled(boxes)?;
            if wrong.is_some() {
                since = None;
                return Ok(wrong);
            }
            let settled = since.get_or_insert_with(Instant::now).elapsed();
            Ok((settled < STEADY).then(|| format!("it has settled {settled:?} ago")))
        })
    }

    /// Returns what is not as it should be.
    fn unsettled(&mut self, boxes: usize) -> Result<Option<String>, Failure> {
        let mut expected: Vec<String> = (0..boxes).map(|number| format!("box-{number}")).collect();
        expected.sort_unstable();
        if boxes > 0 {
            // A node may still have the old connection of a box that is connecting again.
            for group in groups() {
                let said = self.ask(group, "status")?;
                if !said.starts_with(&format!("{} ", BOXES / GROUPS)) {
                    return Ok(Some(format!("connections and waiting messages of {group} are {said}")));
                }
            }
        }
        let statuses = self.statuses()?;
        for (node, status) in nodes().zip(&statuses) {
            if !status.connected || status.others != NODES - 1 {
                let Status { connected, others, .. } = status;
                return Ok(Some(format!("{node} is connected: {connected}, and knows {others} other nodes")));
            }
            if status.all != expected {
                return Ok(Some(format!("{node} knows {} boxes: {}", status.all.len(), status.all.join(" "))));
            }
        }
        let mut own: Vec<String> = statuses.iter().flat_map(|status| status.own.clone()).collect();
        own.sort_unstable();
        if own == expected {
            return Ok(None);
        }
        let twice: Vec<&str> = own.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &*pair[0]).collect();
        Ok(Some(format!("the nodes have {} connections; at two nodes: {}", own.len(), twice.join(" "))))
    }
}

/// Debian has it in a folder that is not in everybody's PATH.
fn nats_server() -> &'static str {
    let debian = "/usr/sbin/nats-server";
    if std::path::Path::new(debian).exists() { debian } else { "nats-server" }
}
