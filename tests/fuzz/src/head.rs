//! A reader of HTTP heads, written from RFC 9112 and RFC 6455 without a library. It is slow and
//! simple.
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The limits on an HTTP head and on its headers, as in SECURITY.md.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
pub(crate) const MAX_HEADERS: usize = 64;

/// The HTTP head of a request or an answer, read line by line.
pub(crate) struct Plain<'r> {
    /// The head with its empty line.
    pub(crate) text: &'r [u8],
    /// Its lines, without the empty line and the line ends.
    pub(crate) lines: Vec<&'r [u8]>,
}

impl<'r> Plain<'r> {
    /// Reads up to the first empty line. Empty lines before the head are skipped (RFC 9112 section
    /// 2.2).
    pub(crate) fn read(request: &'r [u8]) -> Option<Self> {
        let (mut lines, mut length) = (Vec::new(), 0);
        for raw in request.split_inclusive(|&byte| byte == b'\n') {
            length += raw.len();
            let line = raw.strip_suffix(b"\n")?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            match (line.is_empty(), lines.is_empty()) {
                (true, true) => {}
                (true, false) => return Some(Self { text: &request[..length], lines }),
                (false, _) => lines.push(line),
            }
        }
        None
    }

    /// Returns the values of a header, without the spaces around them.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let fields = self.lines[1..].iter().filter_map(|line| {
            let (given, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
            given.eq_ignore_ascii_case(name.as_bytes()).then(|| String::from_utf8_lossy(&value[1..]).trim().to_owned())
        });
        fields.collect()
    }

    /// Asserts that there are not too many headers, and that each is well-formed.
    ///
    /// # Panics
    ///
    /// When a header is not.
    pub(crate) fn assert_headers(&self) {
        assert!(self.text.len() <= MAX_HEAD, "a head of {} bytes was read", self.text.len());
        assert!(self.lines.len() <= 1 + MAX_HEADERS, "{} lines", self.lines.len());
        for line in &self.lines[1..] {
            let plain = |&byte: &u8| byte >= b' ' && byte != 0x7f || byte == b'\t';
            assert!(line.iter().all(plain), "a control character in a header: {line:?}");
            assert!(line.contains(&b':') && line[0] != b' ' && line[0] != b'\t', "not a header: {line:?}");
        }
    }

    /// Returns the key for the answer.
    ///
    /// # Panics
    ///
    /// When it is not a handshake.
    pub(crate) fn assert_handshake(&self) -> String {
        let first = String::from_utf8_lossy(self.lines[0]);
        assert!(first.starts_with("GET ") && first.ends_with(" HTTP/1.1"), "{first}");
        self.assert_headers();
        assert_eq!(self.values("host").len(), 1, "one Host");
        assert_eq!(self.values("sec-websocket-version"), ["13"]);
        // Some proxies add a length of 0 to every request.
        let has_length = self.values("content-length").iter().any(|length| length != "0");
        assert!(!has_length && self.values("transfer-encoding").is_empty(), "a body");
        // A space or a tab may stand around an element. As a comma, it accepts only requests for a
        // WebSocket.
        let names = |name: &str, token: &str| {
            let elements = |value: &String| value.split([',', ' ', '\t']).any(|each| each.eq_ignore_ascii_case(token));
            self.values(name).iter().any(elements)
        };
        assert!(names("upgrade", "websocket") && names("connection", "upgrade"));
        let keys = self.values("sec-websocket-key");
        let [key] = &*keys else { panic!("{} keys", keys.len()) };
        // 16 bytes in base64.
        assert!(key.len() == 24 && key.ends_with("==") && !key[..22].contains('='), "{key:?} is not a key");
        derive_accept_key(key.as_bytes())
    }
}
