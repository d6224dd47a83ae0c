//! A connection through an HTTP proxy: `CONNECT` (RFC 9110 section 9.3.6), with Basic
//! authentication (RFC 7617).
use super::{Failure, server::Credentials};
use crate::{
    client::stream::Destination,
    handshake::head::{self, HeadError, MAX_HEAD, MAX_HEADERS, MAX_INTERIM},
};
use data_encoding::BASE64;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Opens the connection. Afterwards the stream is the server's.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    destination: &Destination,
    credentials: Option<&Credentials>,
) -> Result<(), Failure> {
    let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let value = BASE64.encode(&[&**user, b":", &**password].concat());
        request += &format!("Proxy-Authorization: Basic {value}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut buffer = Vec::new();
    let answer = head::read_final_answer(stream, &mut buffer).await.map_err(head_failure)?;
    let status = answer.ok_or_else(|| format!("it sent more than {MAX_INTERIM} interim answers"))?.status();
    if !status.is_success() {
        let source = format!("it rejected the connection with {status}{}", hint(status, credentials.is_some())).into();
        return Err(Failure { status: Some(status), source });
    }
    if !buffer.is_empty() {
        // A server speaks only after the handshake of its client.
        return Err("it sent data before the server could".into());
    }
    Ok(())
}

/// Returns the advice for a status whose own text does not give it.
fn hint(status: StatusCode, has_credentials: bool) -> &'static str {
    match (status, has_credentials) {
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, true) => "; check the user and the password in its URL",
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, false) => {
            "; write the user and the password into its URL, as in http://user:password@host:3128"
        }
        _ => "",
    }
}

fn head_failure(error: HeadError) -> Failure {
    match error {
        HeadError::Io(source) => source.into(),
        HeadError::Incomplete => "it closed the connection before its answer was complete".into(),
        HeadError::TooLarge => {
            format!("the head of its answer has more than {MAX_HEAD} bytes or {MAX_HEADERS} headers").into()
        }
        HeadError::Version => "its answer is not HTTP/1.1".into(),
        HeadError::Invalid(why) => format!("its answer is not HTTP/1.1: {why}").into(),
    }
}

#[cfg(all(test, not(wsx_model)))]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// Returns the request, and the result after this answer.
    async fn opened(answer: &str, credentials: Option<&Credentials>) -> (String, Result<(), Failure>) {
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(answer.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let destination = Destination { host: "::1".to_owned(), port: 9001 };
        let result = open(&mut near, &destination, credentials).await;
        drop(near);
        let mut request = String::new();
        far.read_to_string(&mut request).await.unwrap();
        (request, result)
    }

    /// Row K12: the request names the server, and the credentials are those of RFC 7617.
    #[tokio::test]
    async fn the_request_names_the_server() {
        let credentials = Credentials { user: b"Aladdin".to_vec(), password: b"open sesame".to_vec() };
        let ok = "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n";
        let (request, result) = opened(ok, Some(&credentials)).await;
        result.unwrap();
        assert_eq!(
            request,
            "CONNECT [::1]:9001 HTTP/1.1\r\nHost: [::1]:9001\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 7\r\n\r\n";
        let (request, result) = opened(interim, None).await;
        result.unwrap();
        assert_eq!(request, "CONNECT [::1]:9001 HTTP/1.1\r\nHost: [::1]:9001\r\n\r\n");
    }

    /// Row K12: every other answer is an error that says why, within bounds.
    #[tokio::test]
    async fn every_other_answer_is_an_error() {
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000));
        let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(9);
        for (answer, status, why) in [
            (&*interim, None, "more than 8 interim answers"),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Some(101), "101 Switching"),
            ("", None, "closed the connection before its answer"),
            ("HTTP/1.1 200 OK\r\n", None, "closed the connection before its answer"),
            ("SSH-2.0-OpenSSH_9.2\r\n", None, "not HTTP/1.1"),
            (&endless, None, "more than"),
            ("HTTP/1.1 200 OK\r\n\r\nhello", None, "sent data"),
            ("HTTP/1.1 407 Auth\r\n\r\n<html>", Some(407), "it rejected the connection with 407 Proxy Authentication"),
            ("HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", Some(302), "302 Found"),
        ] {
            let failure = opened(answer, None).await.1.unwrap_err();
            assert_eq!(failure.status.map(|status| status.as_u16()), status, "{answer:.30}");
            assert!(failure.source.to_string().contains(why), "{answer:.30}: {}", failure.source);
        }
    }
}
