//! Row K24: the handshake by the letter of HTTP, at both ends, on real sockets.
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wsx::{
    CancellationToken, Client, ConnectError, Hub,
    client::ClientBuilder,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};
use wsx_tests::{
    Server, chain,
    handshake::{GOOD, completed, head, status, upgrade},
    query_id, within,
};

/// Starts a server that sends this answer once. Returns its address.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let answer = completed(&mut tcp, &answer).await.unwrap();
        tcp.write_all(answer.as_bytes()).await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    address
}

async fn connect(builder: ClientBuilder) -> Result<Client, ConnectError> {
    within(builder.reconnect(false).build().unwrap().start(CancellationToken::new())).await
}

/// Returns the head of the request that a client sends.
async fn request(client: impl FnOnce(String) -> ClientBuilder) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().to_string());
    let (connected, request) = tokio::join!(connect(client), async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        head(&mut tcp).await
    });
    connected.unwrap_err();
    request
}

#[tokio::test]
async fn a_query_without_a_path_is_sent_after_a_slash() {
    for (rest, line) in [
        ("?id=7", "GET /?id=7 HTTP/1.1"),
        ("", "GET / HTTP/1.1"),
        ("/?id=7#there", "GET /?id=7 HTTP/1.1"),
        ("/a%20b?c=d%26e", "GET /a%20b?c=d%26e HTTP/1.1"),
    ] {
        let request = request(|address| Client::builder(format!("ws://{address}{rest}"))).await;
        assert_eq!(request.lines().next(), Some(line), "{rest}");
    }
}

#[tokio::test]
async fn an_answer_may_say_it_in_other_ways() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection: keep-alive\r\nDate: x\r\nConnection: upgrade"),
        ("Connection: Upgrade", "Connection:Upgrade,"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("101 Switching Protocols", "101 "),
    ] {
        let address = answering(GOOD.replace(from, to)).await;
        connect(Client::builder(format!("ws://{address}/ws"))).await.unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

#[tokio::test]
async fn interim_answers_come_before_the_101() {
    const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    for (interim, taken) in [
        (CONTINUE.to_owned(), true),
        (format!("{CONTINUE}{EARLY}"), true),
        (EARLY.repeat(8), true),
        (EARLY.repeat(9), false),
    ] {
        let address = answering(format!("{interim}{GOOD}")).await;
        match connect(Client::builder(format!("ws://{address}/ws"))).await {
            Ok(client) => assert!(taken && client.connection().unwrap().handshake_headers().is_empty(), "{interim}"),
            Err(error) => {
                assert!(!taken, "{interim}: {error}");
                assert_eq!(chain(&error), "the handshake failed: the server sent more than 8 interim answers");
            }
        }
    }
    // An interim answer is not the body of a rejection.
    let address = answering(format!("{CONTINUE}HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")).await;
    let error = connect(Client::builder(format!("ws://{address}/ws"))).await.unwrap_err();
    assert_eq!(error.to_string(), "the server rejected the handshake with 403 Forbidden: no");
}

#[tokio::test]
async fn the_headers_of_the_handshake_are_errors_in_a_client() {
    for name in [
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_EXTENSIONS,
    ] {
        let value = HeaderValue::from_static("x");
        let error = Client::builder("ws://a/ws").header(name.clone(), value.clone()).build().unwrap_err();
        assert!(error.problems()[0].contains(name.as_str()), "{error}");
        let address = answering(GOOD.to_owned()).await;
        let made = HeaderMap::from_iter([(name.clone(), value)]);
        let client = Client::builder(format!("ws://{address}/ws")).headers(move || {
            let made = made.clone();
            async { Ok(made) }
        });
        let error = connect(client).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Headers(_)) && chain(&error).contains(name.as_str()), "{error:?}");
    }
}

#[tokio::test]
async fn several_lines_of_subprotocols_are_one_list() {
    const NAME: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
    let request = request(|address| {
        let client = Client::builder(format!("ws://{address}/ws")).header(NAME, HeaderValue::from_static("c"));
        client.header(NAME, HeaderValue::from_static("b, a"))
    })
    .await;
    let lines: Vec<_> = request.lines().filter(|line| line.to_ascii_lowercase().starts_with(NAME.as_str())).collect();
    assert_eq!(lines, ["Sec-WebSocket-Protocol: c, b, a"]);
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler = hub.ws_handler(query_id, |_| {}).protocols(["a", "b"]);
    let server = Server::start_at(hub, handler, "127.0.0.1:0").await;
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    let asked = "Sec-WebSocket-Protocol: c\r\nX: y\r\nSec-WebSocket-Protocol: b,a\r\n";
    tcp.write_all(upgrade("/ws?id=x", asked).as_bytes()).await.unwrap();
    let answer = head(&mut tcp).await;
    assert_eq!(status(&answer), 101, "{answer}");
    assert_eq!(server.hub.connection("x").unwrap().subprotocol(), Some("b"));
}

#[tokio::test]
async fn a_request_may_say_that_it_has_no_body() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    for (header, expected) in [
        ("Content-Length: 0\r\n", 101),
        ("content-length:0\r\nContent-Length: 0\r\n", 101),
        ("Content-Length: 1\r\n", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
    ] {
        let mut tcp = TcpStream::connect(&server.address).await.unwrap();
        tcp.write_all(upgrade("/ws?id=x", header).as_bytes()).await.unwrap();
        assert_eq!(status(&head(&mut tcp).await), expected, "{header}");
    }
}
