//! Row K25: `flush`, and a program that sends and ends.
use futures_util::FutureExt;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    sync::mpsc,
};
use wsx::{CancellationToken, Client, Envelope, Hub, SendError, client::Destination};
use wsx_tests::{Log, Server, within};

/// Returns a connected client, and the server's end of its stream, which takes 64 bytes at a time.
async fn connected() -> (Client, DuplexStream) {
    let (dialled, mut dials) = mpsc::unbounded_channel();
    let connector = move |_: Destination| {
        let (near, far) = tokio::io::duplex(64);
        let sent = dialled.send(far);
        async move { sent.map(|()| near).map_err(|_| io::Error::other("the test has finished")) }
    };
    let client = Client::builder("ws://a/ws").connector(connector).reconnect(false).build().unwrap();
    let accepted = async {
        let far = dials.recv().await.unwrap();
        tokio_tungstenite::accept_async(far).await.unwrap().into_inner()
    };
    let (started, far) = within(async { tokio::join!(client.start(CancellationToken::new()), accepted) }).await;
    started.unwrap();
    (client, far)
}

/// Lets the task of the connection write until its socket is full.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Row K25: `flush` returns when the socket has taken the last message, and not before.
#[tokio::test]
async fn flush_waits_until_the_socket_has_taken_everything() {
    let (client, mut far) = connected().await;
    within(client.flush()).await.unwrap();
    for _ in 0..10 {
        client.send(&Envelope::with_type("note", "x".repeat(100))).await.unwrap();
    }
    let mut flush = Box::pin(client.flush());
    let mut second = Box::pin(client.flush());
    assert!((&mut flush).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    // Accepted after `flush`, so it is not waited for.
    client.send(&Envelope::with_type("note", "y".repeat(1000))).await.unwrap();
    // Dropped: the messages stay queued.
    drop(second);
    let (mut received, mut done) = (0, false);
    while !done {
        settle().await;
        done = (&mut flush).now_or_never().map(Result::unwrap).is_some();
        if !done {
            received += within(far.read(&mut [0; 64])).await.unwrap();
        }
    }
    // The header of a frame with its mask has 8 bytes. The stream holds the last bytes.
    let frame = 8 + r#"{"ver":1,"type":"note","ts":1732969200,"data":""}"#.len() + 100;
    assert!((10 * frame - 64..=10 * frame).contains(&received), "{received} of {} bytes", 10 * frame);
}

/// Row K25: a connection that ends before is an error.
#[tokio::test]
async fn flush_ends_with_the_connection() {
    let (client, far) = connected().await;
    for _ in 0..10 {
        client.send(&Envelope::with_type("note", "x".repeat(100))).await.unwrap();
    }
    let conn = client.connection().unwrap();
    let mut flush = Box::pin(client.flush());
    assert!((&mut flush).now_or_never().is_none());
    drop(far);
    assert!(matches!(within(flush).await, Err(SendError::NotConnected)));
    assert!(matches!(within(conn.flush()).await, Err(SendError::Closed)));
    within(client.closed()).await;
    assert!(matches!(within(client.flush()).await, Err(SendError::NotConnected)));
    client.close();
    assert!(matches!(within(client.flush()).await, Err(SendError::Closed)));
}

/// Row K25: a close during a flush still sends what was accepted.
#[tokio::test]
async fn a_close_during_a_flush_is_not_an_error() {
    let (client, mut far) = connected().await;
    client.send(&Envelope::with_type("note", "x".repeat(1000))).await.unwrap();
    let flush = client.flush();
    tokio::pin!(flush);
    assert!((&mut flush).now_or_never().is_none());
    client.close();
    let reading = tokio::spawn(async move { far.read_to_end(&mut Vec::new()).await });
    within(flush).await.unwrap();
    reading.abort();
}

/// Row K25: a program that sends, flushes, closes and waits for the end loses nothing.
#[tokio::test]
async fn a_program_that_sends_and_ends_loses_nothing() {
    let received = Log::default();
    let log = received.clone();
    let hub = Hub::builder().on("note", move |n: u32, _| {
        log.add(n);
        async {}
    });
    let server = Server::start(hub.build().unwrap()).await;
    // A runtime of its own ends as the process would.
    let url = server.url("a");
    let program = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::new(url);
            client.start(CancellationToken::new()).await.unwrap();
            for n in 0..100 {
                client.send(&Envelope::with_type("note", n)).await.unwrap();
            }
            client.flush().await.unwrap();
            client.close();
            client.closed().await;
        });
    });
    for n in 0..100 {
        assert_eq!(received.next().await, n);
    }
    within(async {
        while !program.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    program.join().unwrap();
}
