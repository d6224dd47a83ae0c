//! A NATS server for the tests, on an address of its own. It does not know wsx: its own unit tests
//! include this file.
use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::{panicking, sleep},
    time::{Duration, Instant},
};

/// How long the server may take to accept connections.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process of nats-server. It is killed when this is dropped. Its log is shown if a test fails.
#[derive(Debug)]
pub struct NatsServer {
    address: SocketAddr,
    folder: PathBuf,
    config: String,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server, and waits until it accepts connections.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with lines of its configuration, such as `max_payload: 4096`.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let mut server = Self::stopped();
        server.restart_with(config);
        server
    }

    /// Returns a server that does not run yet. It has its address.
    #[must_use]
    pub fn stopped() -> Self {
        // An address of this process alone, so that no other test has the port.
        static PORT: AtomicU16 = AtomicU16::new(4222);
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wsx-nats-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the server");
        let address = SocketAddr::from(([127, 64 | high, middle, low], port));
        Self { address, folder, config: String::new(), process: None }
    }

    /// Returns the address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the server, without a user.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Returns the folder of the server. It is removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the lines of a configuration with one user.
    #[must_use]
    pub fn with_user(user: &str, password: &str) -> String {
        format!("authorization {{ user: {user:?}, password: {password:?} }}\n")
    }

    /// Writes a certificate and its key in PEM, and returns the lines of a configuration with them.
    #[must_use]
    pub fn with_tls(&self, certificate: &str, key: &str) -> String {
        let (certificate_file, key_file) = (self.folder.join("server.pem"), self.folder.join("server.key"));
        fs::write(&certificate_file, certificate).expect("the certificate is written");
        fs::write(&key_file, key).expect("the key is written");
        format!("tls {{ cert_file: {certificate_file:?}, key_file: {key_file:?} }}\n")
    }

    /// Kills the server (`kill -9`).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            process.wait().expect("a child can be waited for");
        }
    }

    /// Starts the server again on its address, and waits until it accepts connections.
    pub fn restart(&mut self) {
        self.kill();
        let config = self.folder.join("nats.conf");
        fs::write(&config, &self.config).expect("the configuration is written");
        let log = File::options().create(true).append(true).open(self.log()).expect("the log is opened");
        // Debian has it here, which is not in everybody's PATH.
        let debian = Path::new("/usr/sbin/nats-server");
        let program = if debian.exists() { debian } else { Path::new("nats-server") };
        let mut process = Command::new(program)
            .args(["-a", &self.address.ip().to_string(), "-p", &self.address.port().to_string()])
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().expect("the log is opened")))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap_or_else(|error| panic!("nats-server does not start ({error}): run ./tests/scripts/install.sh"));
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let ended = process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "nats-server does not run: {}", self.said());
            sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
    }

    /// Starts the server again with another configuration.
    pub fn restart_with(&mut self, config: &str) {
        config.clone_into(&mut self.config);
        self.restart();
    }

    /// Stops the process (`SIGSTOP`): its connections stay, and it does not answer any more.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// Lets a stopped process go on (`SIGCONT`).
    pub fn cont(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the server runs");
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {}", process.id())]).status();
        assert!(status.expect("there is a shell").success(), "kill -{signal} failed");
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        if panicking() {
            // Nobody is left to whom an error could be reported.
            let _ = writeln!(std::io::stderr(), "nats-server at {} said:\n{}", self.address, self.said());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
