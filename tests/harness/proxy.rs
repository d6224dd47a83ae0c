//! HAProxy and nginx as they come from Debian, with the configurations of `docs/deployment.md`.
use crate::within;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::sleep,
};

const DOCUMENT: &str = include_str!("../../docs/deployment.md");

/// Returns the configuration in the document that begins with this comment.
///
/// # Panics
///
/// When the document does not have it.
#[must_use]
pub fn documented(comment: &str) -> &'static str {
    let block = DOCUMENT.split("```").find(|block| block.starts_with(&format!("text\n# {comment}\n")));
    block
        .unwrap_or_else(|| panic!("docs/deployment.md has no {comment:?}"))
        .strip_prefix("text\n")
        .expect("found by it")
}

/// Replaces each text in a configuration.
///
/// # Panics
///
/// When a text is not there.
#[must_use]
pub fn replaced(config: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(config.to_owned(), |config, (from, to)| {
        assert!(config.contains(from), "{from:?} is not in the configuration:\n{config}");
        config.replace(from, to)
    })
}

/// A proxy that runs. Dropping it ends its process.
#[derive(Debug)]
pub struct Proxy {
    /// The address at which it accepts connections.
    pub address: String,
    process: Child,
    folder: PathBuf,
}

impl Proxy {
    /// Starts HAProxy with this configuration, which binds to `:80` or `:443`. Its control socket
    /// has a path of its own.
    pub async fn haproxy(config: &str) -> Self {
        let (address, folder) = own_place();
        let bound = if config.contains("bind :80") { "bind :80" } else { "bind :443" };
        let config = replaced(
            config,
            &[
                (bound, &format!("bind {address}")),
                ("/run/haproxy/admin.sock", &folder.join("admin.sock").display().to_string()),
            ],
        );
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(written(&folder, &config));
        Self::start(command, address, folder).await
    }

    /// Starts nginx with this configuration, which listens on port 80.
    pub async fn nginx(config: &str) -> Self {
        let (address, folder) = own_place();
        let config = replaced(
            config,
            &[("listen 80;", &format!("listen {address};")), ("http {", "http {\n    access_log off;")],
        );
        let mut command = Command::new("nginx");
        let here = format!("daemon off; master_process off; pid {};", folder.join("pid").display());
        command.args(["-e", "stderr", "-g", &here, "-c"]).arg(written(&folder, &config));
        Self::start(command, address, folder).await
    }

    async fn start(mut command: Command, address: String, folder: PathBuf) -> Self {
        let log = folder.join("log");
        let file = fs::File::create(&log).expect("the folder is there");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file);
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} cannot be started ({error}): run ./tests/run.sh once, it installs it")
        });
        let mut proxy = Self { address, process, folder };
        within(async {
            while TcpStream::connect(&proxy.address).await.is_err() {
                let ended = proxy.process.try_wait().expect("it is a child of this process");
                assert!(ended.is_none(), "{command:?} has ended: {}", fs::read_to_string(&log).unwrap_or_default());
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        proxy
    }

    /// Waits until HAProxy reports this status of a server, such as `UP` or `DOWN`.
    ///
    /// # Panics
    ///
    /// When the status does not come in time.
    pub async fn has_status(&self, server: &str, status: &str) {
        within(async {
            while self.status(server).await != status {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Returns the status of a server in the table of HAProxy.
    async fn status(&self, server: &str) -> String {
        let mut socket =
            UnixStream::connect(self.folder.join("admin.sock")).await.expect("HAProxy has a control socket");
        socket.write_all(b"show stat\n").await.expect("HAProxy reads its control socket");
        let mut table = String::new();
        socket.read_to_string(&mut table).await.expect("HAProxy answers");
        let line =
            table.lines().find(|line| line.starts_with(&format!("wsx,{server},"))).expect("a line of the server");
        line.split(',').nth(17).expect("the column of the status").to_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already; the test has reported that.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns an address that no other test uses, and a new folder.
///
/// A proxy cannot bind port 0 and report its port. A port that is free now may be taken by another
/// test before the proxy binds it. So each has an IP address of its own, made from the id of the
/// process. The path of the folder is short, because that of a Unix socket has to be.
fn own_place() -> (String, PathBuf) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // Linux has ids of 22 bits.
    let [_, high, middle, low] = process.to_be_bytes();
    let folder = std::env::temp_dir().join(format!("wsx-proxy-{process}-{number}"));
    fs::create_dir_all(&folder).expect("the temporary folder can be written");
    (format!("127.{}.{middle}.{low}:{}", 64 + high % 64, 8000 + number), folder)
}

fn written(folder: &std::path::Path, config: &str) -> PathBuf {
    let path = folder.join("config");
    fs::write(&path, config).expect("the folder is there");
    path
}
