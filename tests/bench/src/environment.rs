//! Where and with which versions the figures were measured.
use crate::{
    cluster::Server,
    compare::Plan,
    machine::Cores,
    peers::{self, Peer},
};
use serde_json::Value;
use std::{
    fmt::Write,
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Returns the description as Markdown.
pub(crate) fn describe(plan: &Plan, cores: Cores, took: Duration) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "- Machine: {}", machine());
    let shared = if cores.server == cores.load { ", the same, so the figures say little" } else { "" };
    let _ = writeln!(out, "- Servers on core {}, load and clients on core {}{shared}", cores.server, cores.load);
    let mut versions: Vec<String> = Vec::new();
    for version in plan.peers.iter().map(|peer| version(*peer)) {
        // Some peers are one library in two ways.
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let _ = writeln!(out, "- Peers: {}", versions.join("; "));
    let _ = writeln!(out, "- Built with {}, release profile", known(peers::run("rustc", &["--version"]).ok()));
    let rounds = if plan.rounds == 1 { "One round".to_owned() } else { format!("{} rounds", plan.rounds) };
    let quick = if plan.end.is_some() { " of short measurements (`--quick`)" } else { "" };
    let without: String = plan.left_out.iter().map(|workload| format!(", without `{}`", workload.name)).collect();
    let _ = writeln!(out, "- {rounds}{quick}{without}, {} s in all, on {}", took.as_secs(), today());
    out
}

/// Returns the description of the comparison of kept messages as Markdown.
pub(crate) fn describe_delivery(rounds: usize, mosquitto: Option<&str>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "- Machine: {}", machine());
    let rumqttc = known(locked("rumqttc"));
    let _ = writeln!(
        out,
        "- Peers: {}; rumqttc {rumqttc}; mosquitto {}",
        version(Peer::Wsx),
        mosquitto.unwrap_or("(unknown)")
    );
    let _ = writeln!(out, "- Built with {}, release profile", known(peers::run("rustc", &["--version"]).ok()));
    let _ = writeln!(out, "- {rounds} rounds, on {}", today());
    out
}

/// Returns the description of the measurements of compression as Markdown.
pub(crate) fn describe_deflate(rounds: usize) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "- Machine: {}", machine());
    let each = |names: &[&str]| names.iter().map(|name| format!("{name} {}", known(locked(name)))).collect::<Vec<_>>();
    let _ = writeln!(out, "- {} on {}", version(Peer::Wsx), each(&["flate2", "zlib-rs"]).join(" and "));
    let python = peers::home().join("../interop/.venv/bin/python");
    let websockets = "import websockets; print(websockets.__version__)";
    let websockets = known(peers::run(&python.to_string_lossy(), &["-c", websockets]).ok());
    let python = known(peers::run(&python.to_string_lossy(), &["--version"]).ok());
    let _ = writeln!(out, "- {}; {}; websockets {websockets} on {python}", version(Peer::Ws), version(Peer::Gorilla));
    let socketify = fs::read_to_string(peers::home().join("requirements.txt")).unwrap_or_default();
    let _ = writeln!(out, "- uWebSockets of Python's {}", socketify.trim());
    let _ = writeln!(out, "- Built with {}, release profile", known(peers::run("rustc", &["--version"]).ok()));
    let _ = writeln!(out, "- {rounds} rounds, on {}", today());
    out
}

/// Returns the description of the comparison of clustered servers as Markdown.
pub(crate) fn describe_cluster(rounds: usize, servers: &[Server], cores: Cores) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "- Machine: {}", machine());
    let shared = if cores.server == cores.load { ", the same, so the figures say little" } else { "" };
    let _ = writeln!(out, "- Nodes and broker on core {}, load on core {}{shared}", cores.server, cores.load);
    let mut described: Vec<String> = Vec::new();
    for server in servers {
        let versions = match server {
            Server::Wsx => {
                let [client, broker] = [known(locked("async-nats")), packaged("nats-server")];
                format!("{} with async-nats {client}; nats-server {broker}", version(Peer::Wsx))
            }
            Server::Socketioxide => {
                let lock = fs::read_to_string(peers::home().join("socketioxide/Cargo.lock")).unwrap_or_default();
                let each = ["socketioxide", "socketioxide-redis", "redis"];
                let each = each.map(|name| format!("{name} {}", known(locked_in(&lock, name))));
                format!("{} with {}; {}", each[0], each[1..].join(" and "), redis())
            }
            Server::SocketIo | Server::SocketIoSharded => {
                let each = ["@socket.io/redis-adapter", "redis"].map(|name| format!("{name} {}", installed(name, ".")));
                format!("{} with {}; {}", on_node("socket.io", "."), each.join(" and "), redis())
            }
        };
        // Some servers are one library in two ways.
        if !described.contains(&versions) {
            let _ = writeln!(out, "- {versions}");
            described.push(versions);
        }
    }
    let _ = writeln!(out, "- Built with {}, release profile", known(peers::run("rustc", &["--version"]).ok()));
    let rounds = if rounds == 1 { "One round".to_owned() } else { format!("{rounds} rounds") };
    let _ = writeln!(out, "- {rounds}, on {}", today());
    out
}

fn redis() -> String {
    format!("redis-server {}", packaged("redis-server"))
}

/// Returns the version of a Debian package.
fn packaged(name: &str) -> String {
    known(peers::run("dpkg-query", &["--show", "--showformat=${Version}", name]).ok())
}

fn machine() -> String {
    let value_of = |path: &str, key: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once([':', '='])?.1.trim().trim_matches('"').to_owned())
    };
    let cpu = known(value_of("/proc/cpuinfo", "model name"));
    let count = fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count();
    let kib = value_of("/proc/meminfo", "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
    let memory = known(kib.map(|kib| format!("{} GB", (kib + (1 << 19)) >> 20)));
    let kernel = known(fs::read_to_string("/proc/sys/kernel/osrelease").ok());
    let system = known(value_of("/etc/os-release", "PRETTY_NAME"));
    format!("{cpu}, {count} cores, {memory}, Linux {}, {system}", kernel.trim())
}

fn version(peer: Peer) -> String {
    let crates = |names: &[&str]| {
        let each: Vec<String> = names.iter().map(|name| format!("{name} {}", known(locked(name)))).collect();
        each.join(" on ")
    };
    match peer {
        Peer::Wsx | Peer::WsxRequest | Peer::WsxByHand => {
            let commit = peers::run("git", &["-C", &peers::home().to_string_lossy(), "rev-parse", "--short", "HEAD"]);
            format!("wsx at {} on {}", known(commit.ok()), crates(&["tungstenite"]))
        }
        Peer::Gorilla => {
            let format = "--showformat=${Version}";
            let library = peers::run("dpkg-query", &["--show", format, "golang-github-gorilla-websocket-dev"]);
            let go = peers::run("go", &["env", "GOVERSION"]);
            format!("gorilla/websocket {} on {}", known(library.ok()), known(go.ok()))
        }
        Peer::Tungstenite => crates(&["tokio-tungstenite"]),
        Peer::TungsteniteTuned => "the same, tuned".into(),
        Peer::Fastwebsockets => crates(&["fastwebsockets", "hyper"]),
        Peer::TokioWebsockets => crates(&["tokio-websockets"]),
        Peer::Axum => format!("{}, which brings a tokio-tungstenite of its own", crates(&["axum"])),
        Peer::Ws => on_node("ws", "../interop"),
        Peer::Jsonrpsee => crates(&["jsonrpsee"]),
        Peer::TarpcJson | Peer::TarpcBincode => crates(&["tarpc"]),
        Peer::SocketIo => on_node("socket.io", "."),
    }
}

/// Returns the version of an npm package that is installed in this folder, and of Node.js.
fn on_node(package: &str, folder: &str) -> String {
    let node = known(peers::run("node", &["--version"]).ok());
    format!("{package} {} on Node.js {node}", installed(package, folder))
}

/// Returns the version of an npm package that is installed in this folder.
fn installed(package: &str, folder: &str) -> String {
    let path = peers::home().join(folder).join("node_modules").join(package).join("package.json");
    let json = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    known(json.and_then(|json| Some(json.get("version")?.as_str()?.to_owned())))
}

/// Returns the version of a crate that this program was built with; the last, if there are several.
fn locked(name: &str) -> Option<String> {
    locked_in(include_str!("../../../Cargo.lock"), name)
}

/// The same, of another lock file.
fn locked_in(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let versions = lock.split("[[package]]").filter(|package| package.lines().any(|line| line == wanted));
    let version = versions.last()?.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))?;
    Some(version.to_owned())
}

fn known(what: Option<String>) -> String {
    what.unwrap_or_else(|| "(unknown)".into())
}

/// Returns the date in UTC.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    let (year, month, day) = date(days);
    format!("{year}-{month:02}-{day:02}")
}

/// Returns the date this many days after 1970-01-01. Years start in March here, so that the leap
/// day is the last day.
fn date(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01. An era is 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(20_057), (2024, 11, 30));
    }

    #[test]
    fn versions_are_those_of_the_lock_file() {
        assert_eq!(locked("wsx-rs").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(locked("no-such-crate"), None);
    }
}
