//! Row K23: the answer of a server: the body of a rejection, and the headers of the 101 at both
//! ends.
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use wsx::{
    CancellationToken, Client, Config, ConnectError, Connection, Hub, Identity, Rejection,
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
};
use wsx_tests::{Log, Seen, Server, handshake::completed, query_id, recorder, within};

/// Returns the error of a client whose server sends this answer, then keeps the stream open or
/// closes it.
async fn answered(answer: impl Into<Vec<u8>>, closes: bool, config: Config) -> ConnectError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let answer = answer.into();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        completed(&mut tcp, "").await.unwrap();
        let _ = tcp.write_all(&answer).await;
        if !closes {
            std::future::pending::<()>().await;
        }
    });
    let client = Client::builder(url).config(config).reconnect(false).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap_err()
}

/// Row K23: a rejection has the headers and the body, however the body is framed.
#[tokio::test]
async fn a_rejection_is_readable() {
    const HEAD: &str = "HTTP/1.1 409 Conflict\r\nX-Needs: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n";
    for (rest, closes) in [
        ("Content-Length: 25\r\n\r\nthis box is\r\nalready here", false),
        ("Transfer-Encoding: chunked\r\n\r\n6\r\nthis b\r\n13;x=y\r\nox is\r\nalready here\r\n0\r\n\r\n", false),
        ("\r\nthis box is\r\nalready here", true),
        // The length is a lie, and the rest never comes.
        ("Content-Length: 9999\r\n\r\nthis box is\r\nalready here", false),
    ] {
        let error = answered(format!("{HEAD}{rest}"), closes, Config::default()).await;
        assert_eq!(error.to_string(), "the server rejected the handshake with 409 Conflict: this box is", "{rest}");
        let ConnectError::Rejected { status: StatusCode::CONFLICT, headers, body, .. } = error else {
            panic!("{rest}: {error:?}")
        };
        assert_eq!(headers["x-needs"], "3");
        assert_eq!(headers.get_all(header::SET_COOKIE).iter().count(), 2);
        assert_eq!(String::from_utf8(body).unwrap(), "this box is\r\nalready here", "{rest}");
    }
}

/// Row K23: of a long body the client keeps 4 KiB. It does not wait for the rest, and not longer
/// than its attempt may last.
#[tokio::test]
async fn the_body_of_a_rejection_is_bounded() {
    let long = [&b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9999999\r\n\r\n"[..], &[b'x'; 100_000]].concat();
    let ConnectError::Rejected { body, .. } = answered(long, false, Config::default()).await else {
        panic!("it is a rejection")
    };
    assert!(body == [b'x'; 4096], "{} bytes", body.len());
    let short = Config::default().handshake_timeout(Duration::from_millis(100));
    let error = answered("HTTP/1.1 403 Forbidden\r\n\r\nno", false, short).await;
    assert_eq!(error.to_string(), "the server rejected the handshake with 403 Forbidden: no");
    assert!(error.is_refusal());
}

/// Row K23: the sentence of a hub's rejection reaches the log of its client.
#[tokio::test]
async fn the_reason_of_a_hub_is_in_the_error() {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let why = "box-7 speaks version 2:\x1b[2J update it";
    let upgrade = hub
        .ws_handler(move |_: Parts| async move { Err::<String, _>(Rejection::new(StatusCode::CONFLICT, why)) }, |_| {});
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
    let error = within(client.start(CancellationToken::new())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r"the server rejected the handshake with 409 Conflict: box-7 speaks version 2:\u{1b}[2J update it"
    );
}

const SITE: HeaderName = HeaderName::from_static("x-site");

/// Row K23: both ends read the subprotocol, and the headers that `build_id` added.
#[tokio::test]
async fn both_ends_read_the_headers_of_the_answer() {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let identify = |request: Parts| async move {
        let identity = Identity::new(query_id(request).await?);
        Ok(identity.header(SITE, HeaderValue::from_static("north")).header(SITE, HeaderValue::from_static("south")))
    };
    let upgrade = hub.ws_handler(identify, |_| {}).protocols(["v2", "v1"]);
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let shown = |conn: &Connection| {
        let sites = conn.handshake_headers().get_all(SITE).iter().map(|site| site.to_str().unwrap().to_owned());
        (conn.subprotocol().map(str::to_owned), sites.collect::<Vec<_>>(), conn.handshake_headers().len())
    };
    let client = Client::builder(server.url("a"))
        .header(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("v1"))
        .build()
        .unwrap();
    let at_client = Log::default();
    let log = at_client.clone();
    within(client.connect(CancellationToken::new(), move |conn| log.add(shown(conn)))).await.unwrap();
    let expected = (Some("v1".to_owned()), vec!["north".to_owned(), "south".to_owned()], 3);
    assert_eq!(at_client.next().await, expected);
    assert_eq!(shown(&server.hub.connection("a").unwrap()), expected);
    // A client that others wrote.
    let request = server.url("b").into_client_request().unwrap();
    let tcp = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let (_ws, answer) = within(tokio_tungstenite::client_async(request, tcp)).await.unwrap();
    assert_eq!(answer.headers().get_all("x-site").iter().count(), 2);
    let (subprotocol, sites, headers) = shown(&server.hub.connection("b").unwrap());
    assert_eq!((subprotocol, sites.len(), headers), (None, 2, 2));
}

/// Row K23: without such headers there are none, at both ends.
#[tokio::test]
async fn a_plain_answer_has_no_headers_of_its_own() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let client = Client::new(server.url("a"));
    within(client.start(CancellationToken::new())).await.unwrap();
    for conn in [client.connection().unwrap(), server.hub.connection("a").unwrap()] {
        assert_eq!((conn.handshake_headers().len(), conn.subprotocol()), (0, None));
    }
}

/// Row K23: a header that the handshake writes itself is an error.
#[tokio::test]
async fn build_id_cannot_add_the_headers_of_the_handshake() {
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        let (recorder, mut memory) = recorder();
        let hub = Hub::builder().without_handlers().observer(recorder).build().unwrap();
        let added = name.clone();
        let identify = move |_: Parts| {
            let identity = Identity::new("a").header(added.clone(), HeaderValue::from_static("x"));
            async move { Ok::<_, Rejection>(identity) }
        };
        let server = Server::start_at(hub.clone(), hub.ws_handler(identify, |_| {}), "127.0.0.1:0").await;
        let client = Client::builder(server.url("a")).reconnect(false).build().unwrap();
        let error = within(client.start(CancellationToken::new())).await.unwrap_err();
        assert!(matches!(error, ConnectError::Rejected { status: StatusCode::INTERNAL_SERVER_ERROR, .. }), "{error}");
        let rejected = |seen| if let Seen::HandshakeRejected(_, why) = seen { Some(why) } else { None };
        let why = memory.find(rejected).await;
        assert!(why.contains(&format!("`{name}`")), "{why}");
    }
}
