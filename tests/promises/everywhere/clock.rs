//! Clock jumps: row X6 of the specification. In a process that was stopped, or a machine that
//! slept, all timers expire at once.
use std::time::Duration;
use wsx::{CancellationToken, Client, Config, Envelope, Hub};
use wsx_tests::{Log, Server, jump, round_trip, within};

const DAY: Duration = Duration::from_secs(86_400);

/// Row X6: a jump does not end a healthy connection, with or without a heartbeat.
#[tokio::test]
async fn a_clock_that_jumps_ends_no_healthy_connection() {
    for config in [Config::default(), Config::default().heartbeat(Duration::from_secs(30), Duration::from_secs(10))] {
        let received = Log::default();
        let log = received.clone();
        let hub = Hub::builder().config(config.clone()).on("n", move |n: u64, _| {
            log.add(n);
            async {}
        });
        let server = Server::start(hub.build().unwrap()).await;
        let client = Client::builder(server.url("box-7")).config(config).build().unwrap();
        within(client.connect(CancellationToken::new(), |_| {})).await.unwrap();
        let (near, far) = (client.connection().unwrap(), server.hub.connection("box-7").unwrap());
        for (n, ahead) in [Duration::from_secs(41), DAY, 365 * DAY, 50 * 365 * DAY].into_iter().enumerate() {
            jump(ahead).await;
            let n = n as u64;
            client.send(&Envelope::with_type("n", n)).await.unwrap();
            assert_eq!(received.next().await, n, "after {ahead:?}");
            round_trip(&near).await;
            round_trip(&far).await;
            assert!(!near.is_closed() && !far.is_closed(), "after {ahead:?}");
        }
        client.close();
        within(client.closed()).await;
    }
}

/// Row X6: while a handler runs, the connection does not read, so it cannot see the peer's pong.
/// Silence in this time does not count.
#[tokio::test]
async fn a_handler_that_takes_longer_than_the_heartbeat_keeps_its_connection() {
    let config = Config::default().heartbeat(Duration::from_millis(50), Duration::from_millis(50));
    let hub = Hub::builder().config(config).on("work", |milliseconds: u64, _| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        Envelope::with_type("done", milliseconds)
    });
    let server = Server::start(hub.build().unwrap()).await;
    let client = server.peer("box-7");
    let mut peer = client.await;
    peer.send_envelope("work", 500.into()).await;
    // tungstenite answers pings while it waits for the next message.
    loop {
        match peer.next().await {
            Some(Ok(tokio_tungstenite::tungstenite::Message::Text(text))) => {
                assert!(text.contains("done"), "{text}");
                return;
            }
            Some(Ok(_)) => {}
            other => panic!("a healthy connection was closed: {other:?}"),
        }
    }
}
