//! Reads the body of an answer that rejects the handshake, bounded in bytes and in time. It does
//! not know the meaning of the body.
use http::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, timeout_at},
};

/// Maximum length of a body that is kept, in bytes. More than a page for people, and less than a
/// memory page for each of a program's errors.
pub(crate) const MAX_BODY: usize = 4 * 1024;
/// Maximum number of bytes that are read for it. Short chunks have more framing than content.
const MAX_READ: usize = 64 * 1024;
/// Maximum number of bytes of one read.
const PIECE: usize = 4 * 1024;
/// Maximum length of the line before a chunk.
const MAX_LINE: usize = 256;
/// How long the client waits for the rest of a body. The status is known, so the wait is short.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns the start of the body of an answer. `early` has the bytes after its head.
///
/// A body that does not arrive in time, or is broken, is the part that arrived.
pub(super) async fn read<S>(
    stream: &mut S,
    answer: &Response<()>,
    mut early: Vec<u8>,
    deadline: Option<Instant>,
) -> Vec<u8>
where
    S: AsyncRead + Unpin,
{
    let mut body = Vec::new();
    let mut framing = Framing::of(answer);
    let patience = Instant::now() + PATIENCE;
    let end = deadline.map_or(patience, |deadline| deadline.min(patience));
    // A failure ends the body. The status says more than an error of the stream.
    let _ = timeout_at(end, async {
        let mut read = 0;
        while !framing.take(&early, &mut body) && read < MAX_READ {
            early.clear();
            early.reserve(PIECE);
            match (&mut *stream).take(PIECE as u64).read_buf(&mut early).await {
                Ok(0) | Err(_) => break,
                Ok(n) => read += n,
            }
        }
    })
    .await;
    body
}

/// Where a body ends (RFC 9112 section 6.3).
#[derive(Debug)]
enum Framing {
    /// After this many bytes.
    Length(u64),
    /// In a line with the length of the next chunk, which has begun with these bytes.
    ChunkLine(Vec<u8>),
    /// After a chunk, before its line ends.
    ChunkEnd,
    /// In a chunk, with this many bytes to come.
    Chunk(u64),
    /// At the end of the stream.
    UntilClose,
}

impl Framing {
    fn of(answer: &Response<()>) -> Self {
        let headers = answer.headers();
        if matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::Length(0);
        }
        if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
            let last = coding.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return if is_chunked { Self::ChunkLine(Vec::new()) } else { Self::UntilClose };
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok());
        length.map_or(Self::UntilClose, Self::Length)
    }

    /// Takes bytes of the stream, and adds their content to the body. Returns whether the body is
    /// complete, long enough, or broken.
    fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> bool {
        let mut keep = |bytes: &[u8]| {
            body.extend_from_slice(&bytes[..bytes.len().min(MAX_BODY - body.len())]);
            body.len() == MAX_BODY
        };
        loop {
            match self {
                Self::Length(0) => return true,
                Self::UntilClose => return keep(bytes),
                _ if bytes.is_empty() => return false,
                Self::Length(left) | Self::Chunk(left) => {
                    let (content, rest) = bytes.split_at(bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
                    *left -= content.len() as u64;
                    bytes = rest;
                    if keep(content) {
                        return true;
                    }
                    if matches!(self, Self::Chunk(0)) {
                        *self = Self::ChunkEnd;
                    }
                }
                Self::ChunkEnd => {
                    let (end, rest) = (bytes[0], &bytes[1..]);
                    bytes = rest;
                    match end {
                        b'\r' => {}
                        b'\n' => *self = Self::ChunkLine(Vec::new()),
                        _ => return true,
                    }
                }
                Self::ChunkLine(line) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len()).min(MAX_LINE + 1)]);
                    if line.len() > MAX_LINE {
                        return true;
                    }
                    let Some(end) = end else { return false };
                    bytes = &bytes[end + 1..];
                    match chunk_length(line) {
                        None | Some(0) => return true,
                        Some(length) => *self = Self::Chunk(length),
                    }
                }
            }
        }
    }
}

/// Returns the length in the line before a chunk (RFC 9112 section 7.1).
fn chunk_length(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn answer(headers: &[(&'static str, &str)]) -> Response<()> {
        let mut answer = Response::new(());
        for (name, value) in headers {
            answer.headers_mut().append(*name, value.parse().unwrap());
        }
        answer
    }

    /// Row K23: however a body is framed and cut into pieces, it is the same.
    #[test]
    fn a_body_is_read_to_its_end_and_not_further() {
        let (length, chunked) = (("content-length", "5"), ("transfer-encoding", "gzip, Chunked"));
        for (headers, sent, expected) in [
            (&[length][..], "hello, and more", "hello"),
            (&[("content-length", "0")], "more", ""),
            (&[], "until the end", "until the end"),
            (&[("content-length", "-1")], "until the end", "until the end"),
            (&[("transfer-encoding", "gzip")], "until the end", "until the end"),
            (&[chunked], "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\nmore", "hello"),
            (&[chunked, length], "A\nhelloworld\n0\n\n", "helloworld"),
            (&[chunked], "5\r\nhelloX5\r\nworld\r\n", "hello"),
            (&[chunked], "no length\r\nhello", ""),
            (&[chunked], "ffffffffffffffff\r\nhello", "hello"),
            (&[chunked], "5\r\nhel", "hel"),
        ] {
            for piece in [1, 2, 7, 100] {
                let (mut body, mut framing) = (Vec::new(), Framing::of(&answer(headers)));
                let _ = sent.as_bytes().chunks(piece).any(|piece| framing.take(piece, &mut body));
                assert_eq!(String::from_utf8(body).unwrap(), expected, "{sent:?} in pieces of {piece}");
            }
        }
    }

    /// Row K23: a body of any length takes a bounded number of bytes.
    #[tokio::test(start_paused = true)]
    async fn an_endless_body_is_bounded() {
        let endless = async |early: &str, text: &str, headers| {
            let mut stream = std::io::Cursor::new(text.repeat(100_000));
            let body = read(&mut stream, &answer(headers), early.into(), None).await.len();
            (body, stream.position())
        };
        let chunked = &[("transfer-encoding", "chunked")];
        assert_eq!(endless("", "xx", &[]).await, (4096, 4096));
        assert_eq!(endless("", "xx", &[("content-length", "999999999999")]).await, (4096, 4096));
        // The bytes after the head count too.
        assert_eq!(endless("early", "xx", &[]).await, (4096, 4096));
        // 32 bytes for each byte of the body: the limit of the bytes that are read comes first.
        let (body, read) = endless("", "1;an extension of 27 bytes.\r\nx\r\n", chunked).await;
        assert_eq!((body, read), (2048, 64 * 1024));
        let (body, read) = endless("", "x", chunked).await;
        assert_eq!((body, read), (0, 4096), "a line without an end");
    }

    /// Row K23: the line before a chunk is bounded.
    #[test]
    fn the_line_of_a_chunk_is_bounded() {
        for (length, expected) in [(256, "x"), (257, "")] {
            let line = format!("{:;<length$}\nx\r\n", "1");
            let (mut body, mut framing) = (Vec::new(), Framing::ChunkLine(Vec::new()));
            framing.take(line.as_bytes(), &mut body);
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{length}");
        }
    }

    /// Row K23: a body that does not arrive is not waited for.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up() {
        for (deadline, expected) in [(None, PATIENCE), (Some(Duration::from_millis(300)), Duration::from_millis(300))] {
            let (mut near, mut far) = tokio::io::duplex(64);
            far.write_all(b"lo").await.unwrap();
            let start = Instant::now();
            let deadline = deadline.map(|after| start + after);
            let body = read(&mut near, &answer(&[("content-length", "9")]), b"hel".to_vec(), deadline).await;
            assert_eq!((&*body, start.elapsed()), (&b"hello"[..], expected));
        }
    }
}
