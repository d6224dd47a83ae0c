//! `docs/howto/authorization.md`: row D3 of the specification.
#[expect(unreachable_pub, reason = "the page shows it as the code of a library")]
mod client;
#[expect(clippy::unused_async, reason = "the function of a program may query a database")]
#[expect(unreachable_pub, reason = "the page shows it as the code of a library")]
mod server;

use server::{Grant, Tokens};
use std::{fs, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use wsx::{CancellationToken, ClosedBy, Hub};
use wsx_tests::{Seen, Server, handshake, jump, recorder, within};

fn grant(seconds: u64) -> Grant {
    Grant { device: "box-7".to_owned(), expires: Instant::now() + Duration::from_secs(seconds) }
}

/// Row D3: a request without a valid token gets 401, with a sentence that says why.
#[tokio::test]
async fn a_box_without_a_valid_token_learns_why() {
    let tokens = Tokens::default();
    tokens.write().unwrap().extend([("valid".to_owned(), grant(600)), ("old".to_owned(), grant(0))]);
    let hub = Hub::builder().without_handlers().build().unwrap();
    let server = Server::start_at(hub.clone(), server::upgrade(&hub, tokens), "127.0.0.1:0").await;
    for (header, sentence) in [
        ("", "send `Authorization: Bearer TOKEN`"),
        ("Authorization: Basic dmFsaWQ6\r\n", "send `Authorization: Bearer TOKEN`"),
        ("Authorization: Bearer other\r\n", "this token is unknown"),
        ("Authorization: Bearer old\r\n", "this token has expired"),
    ] {
        let mut tcp = TcpStream::connect(&server.address).await.unwrap();
        tcp.write_all(handshake::upgrade("/", header).as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(tcp.read_to_string(&mut answer)).await.unwrap();
        assert!(handshake::status(&answer) == 401 && answer.ends_with(sentence), "{header}: {answer}");
        assert!(answer.to_lowercase().contains("\r\nwww-authenticate: bearer\r\n"), "{answer}");
    }
    assert!(hub.is_empty());
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(handshake::upgrade("/", "authorization: bearer valid\r\n").as_bytes()).await.unwrap();
    assert_eq!(handshake::status(&handshake::head(&mut tcp).await), 101);
    assert_eq!(hub.ids(), ["box-7"]);
}

/// Row D3: a connection ends with its token, and the box comes back with the next one.
#[tokio::test]
async fn a_box_comes_back_with_its_next_token() {
    let tokens = Tokens::default();
    tokens.write().unwrap().insert("first".to_owned(), grant(600));
    let file = super::folder("authorization").join("token");
    fs::write(&file, "first\n").unwrap();
    let (recorder, mut memory) = recorder();
    let hub = Hub::builder().observer(recorder).without_handlers().build().unwrap();
    let server = Server::start_at(hub.clone(), server::upgrade(&hub, tokens.clone()), "127.0.0.1:0").await;
    let client = client::edge_box(&format!("ws://{}/ws", server.address), file.clone().into()).unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    let first = hub.connection("box-7").unwrap();

    let second = grant(3600);
    tokens.write().unwrap().insert("second".to_owned(), second.clone());
    fs::write(&file, "second\n").unwrap();
    jump(Duration::from_secs(600)).await;
    let closed = within(first.closed()).await;
    assert_eq!((u16::from(closed.code), closed.by), (4001, ClosedBy::Us));
    for _ in 0..2 {
        memory.find(|seen| matches!(seen, Seen::ConnectionOpened(_)).then_some(())).await;
    }
    let now = hub.connection("box-7").unwrap();
    assert_eq!(now.extension::<Grant>().unwrap().expires, second.expires);
}
