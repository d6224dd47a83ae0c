//! The members of the cluster, each in a network namespace of its own, and what goes wrong between
//! them. It does not know the processes.
use std::{fmt, process::Command};
use wsx_cluster_tests::Failure;

/// The number of nodes, and of programs with boxes. `tests/scripts/partitions.sh` makes as many
/// namespaces.
pub(crate) const NODES: usize = 3;
pub(crate) const GROUPS: usize = 2;

/// A process with a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Member {
    Nats,
    Node(usize),
    /// A program with some of the boxes.
    Boxes(usize),
}

/// How packets between two members are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In both directions, without a word.
    Silent,
    /// Only those to the node.
    Deaf,
    /// Only those of the node.
    Mute,
    /// TCP is reset at both ends.
    Reset,
}

/// Which end of a cable is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The member's. Its kernel reports that the network is unreachable.
    Own,
    /// That of the switch.
    Far,
}

/// The namespaces, whose names begin with the same prefix.
#[derive(Debug, Clone)]
pub(crate) struct Network(pub(crate) String);

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats => f.write_str("nats"),
            Self::Node(number) => write!(f, "node{number}"),
            Self::Boxes(number) => write!(f, "boxes{number}"),
        }
    }
}

impl Member {
    pub(crate) fn address(self) -> String {
        let number = match self {
            Self::Nats => 1,
            Self::Node(number) => 11 + number,
            Self::Boxes(number) => 21 + number,
        };
        format!("192.0.2.{number}")
    }
}

impl Network {
    fn namespace(&self, member: Member) -> String {
        format!("{}-{member}", self.0)
    }

    /// Returns the command that runs a program in the namespace of a member.
    pub(crate) fn inside(&self, member: Member, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(member)]).arg(program);
        command
    }

    /// Loses what a node and another member send to each other, or stops that.
    pub(crate) fn cut(&self, node: Member, other: Member, way: Way, is_cut: bool) -> Result<(), Failure> {
        let (change, address) = (if is_cut { "--append" } else { "--delete" }, other.address());
        let jump: &[&str] = match way {
            Way::Reset => &["--protocol", "tcp", "--jump", "REJECT", "--reject-with", "tcp-reset"],
            Way::Silent | Way::Deaf | Way::Mute => &["--jump", "DROP"],
        };
        for (chain, side, spared) in [("INPUT", "--source", Way::Mute), ("OUTPUT", "--destination", Way::Deaf)] {
            if way != spared {
                let mut iptables = self.inside(node, "iptables");
                done(iptables.args(["--wait", "5", change, chain, side, &address]).args(jump))?;
            }
        }
        Ok(())
    }

    /// Pulls the cable of a member, or plugs it in again.
    pub(crate) fn unplug(&self, member: Member, end: End, is_unplugged: bool) -> Result<(), Failure> {
        let state = if is_unplugged { "down" } else { "up" };
        let (namespace, cable) = match end {
            End::Own => (self.namespace(member), "cable".to_owned()),
            End::Far => (format!("{}-switch", self.0), member.to_string()),
        };
        done(Command::new("ip").args(["-n", &namespace, "link", "set", &cable, state]))
    }
}

fn done(command: &mut Command) -> Result<(), Failure> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}
