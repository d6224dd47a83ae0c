//! The options of a connection to NATS. It does not connect.
use super::error::NatsError;
use crate::{cluster::bus::NodeId, handshake::percent};
use async_nats::{
    ConnectOptions, ServerAddr,
    rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The longest namespace, in bytes. A subject has it in front of 37 bytes, and the server allows
/// 4,096 for a line with two of them.
const LONGEST_NAMESPACE: usize = 64;

/// The longest name of a hub, in bytes: that of a host on Linux.
const LONGEST_NAME: usize = 64;

/// The options of a connection to NATS, which joins the hubs of several machines.
///
/// The hubs of a cluster have the same NATS servers and the same [`namespace`](Self::namespace).
/// The subjects of a hub begin with the namespace and a dot, so the NATS user needs permission to
/// publish and to subscribe to `wsx.>`. Only the core of NATS is used.
///
/// A hub logs in with one of [`token`](Self::token),
/// [`user_and_password`](Self::user_and_password), [`nkey`](Self::nkey) and
/// [`credentials`](Self::credentials). If several are called, the last one applies. Each of them
/// replaces a user, a password or a token in the URL.
///
/// ```
/// use wsx::cluster::Nats;
///
/// let nats = Nats::connect("nats://10.0.0.1:4222,nats://10.0.0.2:4222")?
///     .namespace("plant-7")?
///     .user_and_password("hub", "a password");
/// # Ok::<_, wsx::cluster::NatsError>(())
/// ```
#[derive(Clone)]
pub struct Nats {
    pub(super) servers: Vec<Server>,
    pub(super) namespace: String,
    /// `None`: the name of the host.
    name: Option<Arc<str>>,
    login: Login,
    root_certificates: Vec<PathBuf>,
    client_certificate: Option<(PathBuf, PathBuf)>,
    require_tls: bool,
}

/// A NATS server. Its user and its password are elsewhere, because this is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    scheme: &'static str,
    /// An IPv6 address has its brackets.
    host: String,
    port: u16,
}

#[derive(Clone, PartialEq, Eq)]
enum Login {
    Nobody,
    Token(String),
    User { user: String, password: String },
    Nkey(String),
    Credentials(PathBuf),
}

impl Nats {
    /// Checks the URL of a NATS server, or several URLs separated by commas. It does not connect:
    /// the hub does, and goes on trying if NATS is not there.
    ///
    /// A URL is `nats://host:port`, or `tls://host:port` for a connection that must be encrypted.
    /// The default scheme is `nats`, and the default port 4222. A user and a password may stand
    /// before the host, as in `nats://hub:secret@host`, or a token, as in `nats://token@host`. All
    /// URLs must have the same user and password, or the same token.
    ///
    /// With several URLs, the hub uses one of them, and another one if that fails. It also uses the
    /// servers that a NATS cluster announces.
    ///
    /// # Errors
    ///
    /// [`NatsError::Url`], [`NatsError::DifferentUsers`]
    pub fn connect(url: impl AsRef<str>) -> Result<Self, NatsError> {
        let mut servers = Vec::new();
        let mut login = None;
        for url in url.as_ref().split(',').map(str::trim) {
            let (server, found) = Server::parse(url)?;
            servers.push(server);
            if login.get_or_insert_with(|| found.clone()) != &found {
                return Err(NatsError::DifferentUsers);
            }
        }
        Ok(Self {
            servers,
            namespace: "wsx".into(),
            name: None,
            login: login.unwrap_or(Login::Nobody),
            root_certificates: Vec::new(),
            client_certificate: None,
            require_tls: false,
        })
    }

    /// Sets the first part of all subjects; default `wsx`.
    ///
    /// Hubs with different namespaces do not see each other, so that several clusters can share a
    /// NATS server. It has 1 to 64 letters of ASCII, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// [`NatsError::Namespace`]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Result<Self, NatsError> {
        let namespace = namespace.into();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=LONGEST_NAMESPACE).contains(&namespace.len()) || !namespace.bytes().all(allowed) {
            return Err(NatsError::Namespace { namespace });
        }
        self.namespace = namespace;
        Ok(self)
    }

    /// Sets the name of this hub for people; default the name of the host.
    ///
    /// The observers of all hubs see it, and NATS shows it as the name of the connection. It has 1
    /// to 64 bytes, without control characters. Two hubs may have the same name.
    ///
    /// # Errors
    ///
    /// [`NatsError::Name`]
    pub fn name(mut self, name: impl Into<String>) -> Result<Self, NatsError> {
        let name = name.into();
        if !is_name(&name) {
            return Err(NatsError::Name { name });
        }
        self.name = Some(name.into());
        Ok(self)
    }

    /// Sets the token that this hub shows to the server.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into());
        self
    }

    /// Sets the user and the password that this hub shows to the server.
    #[must_use]
    pub fn user_and_password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Login::User { user: user.into(), password: password.into() };
        self
    }

    /// Sets the seed of the nkey with which this hub signs.
    ///
    /// # Errors
    ///
    /// [`NatsError::Nkey`]
    pub fn nkey(mut self, seed: impl Into<String>) -> Result<Self, NatsError> {
        let seed = seed.into();
        // async-nats checks a seed only in a file of credentials before it connects.
        let file = format!("---JWT---\nx\n---END---\n---SEED---\n{seed}\n---END---\n");
        if !seed.starts_with("SU") || ConnectOptions::with_credentials(&file).is_err() {
            return Err(NatsError::Nkey);
        }
        self.login = Login::Nkey(seed);
        Ok(self)
    }

    /// Sets the file with the JWT and the nkey of a user, usually named `*.creds`.
    ///
    /// The file is read now, and again before each connection, so that it may be renewed.
    ///
    /// # Errors
    ///
    /// [`NatsError::File`], [`NatsError::NotA`]
    pub fn credentials(mut self, path: impl Into<PathBuf>) -> Result<Self, NatsError> {
        let path = path.into();
        credentials(ConnectOptions::new(), &path)?;
        self.login = Login::Credentials(path);
        Ok(self)
    }

    /// Adds a PEM file with the certificates of the authorities that may issue the server's
    /// certificate. The authorities of the operating system are then not trusted.
    ///
    /// The file is read now, and again before each connection. This does not demand TLS: call
    /// [`require_tls`](Self::require_tls), or use `tls://`.
    ///
    /// # Errors
    ///
    /// [`NatsError::File`], [`NatsError::NotA`]
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Result<Self, NatsError> {
        let path = path.into();
        certificates(&path)?;
        self.root_certificates.push(path);
        Ok(self)
    }

    /// Sets the certificate that this hub shows to the server, and its private key, two files in
    /// PEM.
    ///
    /// Both are read now, and again before each connection, so that they may be renewed.
    ///
    /// # Errors
    ///
    /// [`NatsError::File`], [`NatsError::NotA`]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, NatsError> {
        let (certificate, key) = (certificate.into(), key.into());
        certificates(&certificate)?;
        private_key(&key)?;
        self.client_certificate = Some((certificate, key));
        Ok(self)
    }

    /// Connects with TLS only. Otherwise TLS is used if the server demands it, or if the URL
    /// begins with `tls://`.
    ///
    /// The name in the server's certificate must be the host of the URL.
    #[must_use]
    pub fn require_tls(mut self) -> Self {
        self.require_tls = true;
        self
    }

    /// Returns the name of this node for people.
    pub(crate) fn node_name(&self, me: NodeId) -> Arc<str> {
        let named = self.name.clone();
        named.or_else(|| host_name().map(Into::into)).unwrap_or_else(|| format!("node-{me}").into())
    }

    /// Whether this end demands TLS.
    pub(super) fn demands_tls(&self) -> bool {
        self.require_tls || self.servers.iter().any(|server| server.scheme == "tls")
    }

    /// Returns the options for one connection. It reads files.
    pub(super) fn connect_options(&self) -> Result<ConnectOptions, NatsError> {
        let mut options = ConnectOptions::new().require_tls(self.require_tls);
        for path in &self.root_certificates {
            certificates(path)?;
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &self.client_certificate {
            certificates(certificate)?;
            private_key(key)?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        match &self.login {
            Login::Nobody => Ok(options),
            Login::Token(token) => Ok(options.token(token.clone())),
            Login::User { user, password } => Ok(options.user_and_password(user.clone(), password.clone())),
            Login::Nkey(seed) => Ok(options.nkey(seed.clone())),
            Login::Credentials(path) => credentials(options, path),
        }
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
        f.debug_struct("Nats")
            .field("servers", &servers)
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("login", &self.login)
            .field("root_certificates", &self.root_certificates)
            .field("client_certificate", &self.client_certificate)
            .field("require_tls", &self.require_tls)
            .finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Token(_) => f.write_str("Token(..)"),
            Self::User { user, .. } => f.debug_struct("User").field("user", user).finish_non_exhaustive(),
            Self::Nkey(_) => f.write_str("Nkey(..)"),
            Self::Credentials(path) => f.debug_tuple("Credentials").field(path).finish(),
        }
    }
}

impl Server {
    /// Returns the server of a URL, and who logs in there.
    fn parse(url: &str) -> Result<(Self, Login), NatsError> {
        // What is before an `@` may be a password, also in a URL that is wrong.
        let shown = match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            (None, Some((_, host))) => host.to_owned(),
            _ => url.to_owned(),
        };
        let wrong = |reason: &str| NatsError::Url { url: shown.clone(), reason: reason.into() };
        if url.is_empty() {
            return Err(wrong("it is empty: use for example \"nats://127.0.0.1:4222\""));
        }
        let scheme = match url.split_once("://") {
            None | Some(("nats", _)) => "nats",
            Some(("tls", _)) => "tls",
            Some(_) => return Err(wrong("it must begin with \"nats://\" or \"tls://\"")),
        };
        let address: ServerAddr = url.parse().map_err(|_| wrong("use for example \"nats://127.0.0.1:4222\""))?;
        if address.host().is_empty() {
            return Err(wrong("the host is missing"));
        }
        let login = match (address.username(), address.password()) {
            (None, None) => Login::Nobody,
            (Some(token), None) => Login::Token(decoded(token).ok_or_else(|| wrong("the token is not UTF-8"))?),
            (user, Some(password)) => Login::User {
                user: decoded(user.unwrap_or_default()).ok_or_else(|| wrong("the user is not UTF-8"))?,
                password: decoded(password).ok_or_else(|| wrong("the password is not UTF-8"))?,
            },
        };
        let port = address.port();
        let host = match address.host() {
            host if host.contains(':') => format!("[{host}]"),
            host => host.to_owned(),
        };
        let rest = address.into_inner();
        if !matches!(rest.path(), "" | "/") || rest.query().is_some() || rest.fragment().is_some() {
            return Err(wrong("it ends after the port"));
        }
        Ok((Self { scheme, host, port }, login))
    }

    /// Returns a server that another one has announced, as `host:port`.
    pub(super) fn announced(&self, address: &str) -> Option<Self> {
        let (server, _) = Self::parse(&format!("{}://{address}", self.scheme)).ok()?;
        Some(server)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// Whether this can be the name of a hub. Observers write it into a line, and hubs send it every
/// second.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Returns the name of this host, if it is known: that of Linux, or else that of the environment.
fn host_name() -> Option<String> {
    let linux = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let environment = || std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok();
    let name = linux.or_else(environment)?.trim().to_owned();
    is_name(&name).then_some(name)
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(percent::decode(text)?).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, NatsError> {
    fs::read(path).map_err(|source| NatsError::File { path: path.into(), source })
}

fn credentials(options: ConnectOptions, path: &Path) -> Result<ConnectOptions, NatsError> {
    let not_a = |_: io::Error| NatsError::NotA {
        path: path.into(),
        expected: "a file of credentials, with the JWT and the nkey of a user",
    };
    let text = String::from_utf8(read(path)?).map_err(io::Error::other).map_err(not_a)?;
    options.credentials(&text).map_err(not_a)
}

fn certificates(path: &Path) -> Result<(), NatsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, pem::Error>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => Err(NatsError::NotA { path: path.into(), expected: "a file with certificates in PEM" }),
    }
}

fn private_key(path: &Path) -> Result<(), NatsError> {
    match PrivateKeyDer::from_pem_slice(&read(path)?) {
        Ok(_) => Ok(()),
        Err(_) => Err(NatsError::NotA { path: path.into(), expected: "a file with a private key in PEM" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        Nats::connect(url).unwrap_err().to_string()
    }

    fn servers(url: &str) -> Vec<String> {
        Nats::connect(url).unwrap().servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_url_may_lack_its_scheme_and_its_port_and_there_may_be_several() {
        assert_eq!(servers("127.0.0.1"), ["nats://127.0.0.1:4222"]);
        assert_eq!(servers("tls://a.example:1, [::1]:2"), ["tls://a.example:1", "nats://[::1]:2"]);
    }

    /// Row J1: a wrong url is refused with a reason.
    #[test]
    fn a_wrong_url_is_refused_with_a_reason() {
        assert_eq!(
            message("http://a"),
            r#""http://a" is not the URL of a NATS server: it must begin with "nats://" or "tls://""#
        );
        assert!(message("").ends_with(r#"it is empty: use for example "nats://127.0.0.1:4222""#));
        assert!(message("nats://a:1,").contains("it is empty"));
        assert!(message("nats://:4222").contains("is not the URL"));
        assert!(message("nats://a:99999").contains("use for example"));
        assert!(message("nats://a/b").ends_with("it ends after the port"));
        assert!(message("ws://a").contains("must begin"));
    }

    /// Row J12: a user of the url is decoded.
    #[test]
    fn a_user_of_the_url_is_decoded() {
        let login = |url: &str| Nats::connect(url).unwrap().login;
        assert!(
            login("nats://u:p%40ss@a,nats://u:p%40ss@b") == Login::User { user: "u".into(), password: "p@ss".into() }
        );
        assert!(login("nats://s3cret@a") == Login::Token("s3cret".into()));
        assert!(matches!(Nats::connect("nats://u:p@a,nats://b"), Err(NatsError::DifferentUsers)));
    }

    /// Row J12: no secret is shown.
    #[test]
    fn no_secret_is_shown() {
        for url in [
            "nats://u:hunter2@a:99999",
            "u:hunter2@a:b",
            "http://hunter2@a",
            "nats://u:hunter2@a/x@y",
            "nats://u:hunter2@a/x",
        ] {
            let error = Nats::connect(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
        for nats in [
            Nats::connect("nats://u:hunter2@a").unwrap(),
            Nats::connect("nats://hunter2@a").unwrap(),
            Nats::connect("a").unwrap().token("hunter2"),
            Nats::connect("a").unwrap().user_and_password("u", "hunter2"),
            Nats::connect("a").unwrap().nkey(seed).unwrap(),
        ] {
            let shown = format!("{nats:?}");
            assert!(!shown.contains("hunter2") && !shown.contains(seed), "{shown}");
        }
    }

    /// Row J1: a namespace is one part of a subject.
    #[test]
    fn a_namespace_is_one_part_of_a_subject() {
        let set = |namespace: &str| Nats::connect("a").unwrap().namespace(namespace);
        let long = "a".repeat(LONGEST_NAMESPACE);
        assert_eq!(set("Plant-7_b").unwrap().namespace, "Plant-7_b");
        set(&long).unwrap();
        for wrong in ["", "a.b", "a b", "*", ">", "ä", &format!("{long}a")] {
            let error = set(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("{wrong:?} is not a namespace: use 1 to 64 letters, digits, `-` and `_`"));
        }
    }

    #[test]
    fn a_hub_has_the_name_that_it_was_given_or_that_of_its_host() {
        let set = |name: &str| Nats::connect("a").unwrap().name(name);
        let me = NodeId(1);
        assert_eq!(&*set("Halle 7, süd").unwrap().node_name(me), "Halle 7, süd");
        set(&"a".repeat(LONGEST_NAME)).unwrap();
        for wrong in ["", "a\nb", &"a".repeat(LONGEST_NAME + 1)] {
            let error = set(wrong).unwrap_err().to_string();
            assert_eq!(error, format!("{wrong:?} is not a name: use 1 to 64 bytes without control characters"));
        }
        assert!(is_name(&Nats::connect("a").unwrap().node_name(me)));
    }

    /// Row J12: files and seeds are checked at once.
    #[test]
    fn files_and_seeds_are_checked_at_once() {
        let nats = || Nats::connect("a").unwrap();
        let missing = "/nowhere/at/all";
        for error in [
            nats().credentials(missing).unwrap_err(),
            nats().root_certificates(missing).unwrap_err(),
            nats().client_certificate(missing, missing).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with("cannot read /nowhere/at/all: "), "{error}");
        }
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for error in [
            nats().credentials(here).unwrap_err(),
            nats().root_certificates(here).unwrap_err(),
            nats().client_certificate(here, here).unwrap_err(),
        ] {
            assert!(error.to_string().contains("Cargo.toml is not a file "), "{error}");
        }
        assert!(matches!(nats().nkey("hunter2"), Err(NatsError::Nkey)));
    }
}
