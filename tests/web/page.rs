//! A page in Node or in Chromium, which does what a test says.
use serde_json::{Value, json};
use std::{collections::VecDeque, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// Time limit for each wait. Starting a browser takes some seconds on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Runtime {
    Node,
    Chromium,
}

/// A page. Dropping it ends its browser: it ends when its standard input does.
pub(crate) struct Page {
    _process: Child,
    operations: ChildStdin,
    /// Unbounded, because a test causes a bounded number of events.
    lines: mpsc::UnboundedReceiver<String>,
    /// The events that the test has not waited for.
    events: VecDeque<Value>,
    tag: u64,
}

/// The text of a script of this folder.
pub(crate) fn script(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    assert!(
        folder.join("node_modules/installed.json").exists(),
        "the packages of tests/web are missing: run ./tests/scripts/install.sh once"
    );
    folder.join(name)
}

impl Page {
    pub(crate) async fn start(runtime: Runtime) -> Self {
        let runtime = match runtime {
            Runtime::Node => "node",
            Runtime::Chromium => "chromium",
        };
        let mut process = Command::new("node")
            .arg(script("run.mjs"))
            .arg(runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js starts");
        let operations = process.stdin.take().expect("standard input is piped");
        let mut output = BufReader::new(process.stdout.take().expect("standard output is piped")).lines();
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut page = Self { _process: process, operations, lines, events: VecDeque::new(), tag: 0 };
        page.sees("ready").await;
        page
    }

    /// Starts a page with a client, and waits until it is connected.
    pub(crate) async fn connected(runtime: Runtime, url: &str) -> Self {
        let mut page = Self::start(runtime).await;
        page.connect(url, json!({})).await;
        page.does("connected", json!({})).await;
        page
    }

    /// Makes the client, with further keys of the operation. Its waits are short.
    pub(crate) async fn connect(&mut self, url: &str, mut keys: Value) {
        keys["url"] = url.into();
        let backoff = json!({"initial": 20, "max": 100, "stableAfter": 60_000});
        if keys["options"]["backoff"].is_null() {
            keys["options"]["backoff"] = backoff;
        }
        self.does("connect", keys).await;
    }

    /// Begins an operation, and returns its tag.
    pub(crate) async fn begins(&mut self, operation: &str, mut keys: Value) -> u64 {
        self.tag += 1;
        keys["op"] = operation.into();
        keys["tag"] = self.tag.into();
        let line = format!("{keys}\n");
        let written = timeout(DEADLINE, self.operations.write_all(line.as_bytes())).await;
        written.expect("the page reads").expect("the page runs");
        self.tag
    }

    /// Waits for the result of an operation, which is a `result` or an `error`.
    pub(crate) async fn ends(&mut self, tag: u64) -> Value {
        self.next(|event| event["tag"] == tag).await
    }

    /// Does an operation, which succeeds. Returns its value.
    #[track_caller]
    pub(crate) fn does(&mut self, operation: &str, keys: Value) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let tag = self.begins(operation, keys).await;
            let mut event = self.ends(tag).await;
            assert!(event["event"] == "result", "{operation} at {at}: {event}");
            event["value"].take()
        }
    }

    /// Does an operation, which fails. Returns its error.
    pub(crate) async fn fails(&mut self, operation: &str, keys: Value) -> Value {
        let tag = self.begins(operation, keys).await;
        let event = self.ends(tag).await;
        assert!(event["event"] == "error", "{operation}: {event}");
        event
    }

    /// Sends a message.
    pub(crate) async fn sends(&mut self, message_type: &str, data: Value) {
        self.does("send", json!({"type": message_type, "data": data})).await;
    }

    /// Sends a kept message, and waits until it is handled.
    pub(crate) async fn delivers(&mut self, message_type: &str, data: Value) {
        self.does("deliver", json!({"type": message_type, "data": data})).await;
    }

    /// Waits for the next event of this kind. Others stay.
    pub(crate) async fn sees(&mut self, kind: &str) -> Value {
        self.next(|event| event["event"] == kind).await
    }

    /// Waits for the next change to this state. Earlier events of other states are dropped.
    pub(crate) async fn becomes(&mut self, state: &str) -> Value {
        let until = Instant::now() + DEADLINE;
        loop {
            let event = self.next_until(until, |event| event["event"] == "state").await;
            if event["is"] == state {
                return event;
            }
        }
    }

    /// Returns whether an event of this kind has come that nobody has waited for.
    pub(crate) fn has_seen(&self, kind: &str) -> bool {
        self.events.iter().any(|event| event["event"] == kind)
    }

    async fn next(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.next_until(Instant::now() + DEADLINE, is_it).await
    }

    async fn next_until(&mut self, until: Instant, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.events.iter().position(&is_it) {
            return self.events.remove(at).expect("it is there");
        }
        loop {
            // Other events must not prolong the wait.
            let Ok(line) = timeout_at(until, self.lines.recv()).await else {
                panic!("it did not come within {DEADLINE:?}; others: {:.1000}", format!("{:?}", self.events));
            };
            let line = line.unwrap_or_else(|| panic!("the page ended; events: {:?}", self.events));
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            if is_it(&event) {
                return event;
            }
            self.events.push_back(event);
        }
    }
}
