//! How long a client waits before a retry, to the millisecond: row K2 of the specification.
//!
//! The clock is paused, the random numbers have a seed, and the client dials through memory, so
//! that the timing of the kernel does not matter.
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{io, sync::Mutex, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    time::{Instant, sleep},
};
use wsx::{
    CancellationToken, Client, ClientState, ConnectError, Setback,
    client::{ClientBuilder, Destination},
};
use wsx_tests::{Seen, recorder, within};

/// Returns the random numbers of this seed, in the form that a client takes.
fn seeded(seed: u64) -> impl Fn() -> f64 + Send + Sync {
    let generator = Mutex::new(SmallRng::seed_from_u64(seed));
    move || generator.lock().expect("nothing panics under this lock").random()
}

/// The dials of a client, as the test receives them.
type Dials = mpsc::UnboundedReceiver<(Instant, DuplexStream)>;

/// Returns a client and its dials, each with its time and the server's end of its stream.
fn dialling() -> (ClientBuilder, Dials) {
    let (dialled, dials) = mpsc::unbounded_channel();
    let connector = move |_: Destination| {
        let (near, far) = tokio::io::duplex(4096);
        let sent = dialled.send((Instant::now(), far));
        async move { sent.map(|()| near).map_err(|_| io::Error::other("the test has finished")) }
    };
    (Client::builder("ws://station.invalid/ws").connector(connector), dials)
}

/// Lets the client try for as long as the test runs.
fn start(client: &Client) {
    let client = client.clone();
    tokio::spawn(async move { client.connect(CancellationToken::new(), |_| {}).await.map(drop) });
}

async fn next(dials: &mut Dials) -> (Instant, DuplexStream) {
    dials.recv().await.expect("the client retries")
}

/// Accepts the client, and returns the server's end.
async fn accept(far: DuplexStream) -> tokio_tungstenite::WebSocketStream<DuplexStream> {
    tokio_tungstenite::accept_async(far).await.expect("the client speaks WebSocket")
}

/// Timers of tokio are rounded up to the next millisecond.
#[track_caller]
fn assert_waited(waited: Duration, expected: f64) {
    let difference = waited.as_secs_f64() - expected;
    assert!((-1e-6..0.0011).contains(&difference), "{waited:?} instead of {expected} s");
}

/// Row K2: 500 ms, × 1.8, at most 30 s, ± 50 %, with the jitter spread evenly over the range up to
/// 30 s.
#[tokio::test(start_paused = true)]
async fn the_waits_between_attempts_are_the_specifications() {
    for seed in 0..20 {
        let (dialled, mut dials) = mpsc::unbounded_channel();
        let no_server = move |_: Destination| {
            // A test that has finished no longer receives.
            let _ = dialled.send(Instant::now());
            async { Err::<DuplexStream, _>(io::ErrorKind::ConnectionRefused.into()) }
        };
        let (recorder, mut memory) = recorder();
        let builder = Client::builder("ws://station.invalid/ws").connector(no_server).observer(recorder);
        let client = builder.jitter(seeded(seed)).build().unwrap();
        start(&client);
        let same = seeded(seed);
        let mut last = dials.recv().await.unwrap();
        let mut base: f64 = 0.5;
        for attempt in 1..=15 {
            let (low, high) = (base * 0.5, (base * 1.5).min(30.0));
            let expected = low + (high - low) * same();
            let now = dials.recv().await.unwrap();
            assert_waited(now - last, expected);
            let connect_failed =
                |seen| if let Seen::ConnectFailed(n, delay, _) = seen { Some((n, delay)) } else { None };
            let (failures, delay) = memory.find(connect_failed).await;
            assert_eq!(failures, attempt);
            assert!((delay.as_secs_f64() - expected).abs() < 1e-6, "{delay:?} instead of {expected} s");
            last = now;
            base = (base * 1.8).min(30.0);
        }
        client.close();
        within(client.closed()).await;
    }
}

/// Row K2: a server that accepts and drops is dialled at growing intervals. Only a connection that
/// lasted for 5 s resets the intervals.
#[tokio::test(start_paused = true)]
async fn only_a_connection_that_lasted_resets_the_waits() {
    let (builder, mut dials) = dialling();
    let client = builder.jitter(|| 0.5).build().unwrap();
    start(&client);
    let (mut state, mut failures) = (client.state(), 0);
    for lasts in [0, 0, 4990, 0, 1000, 4990, 5000, 0, 4990, 6000, 0] {
        let (_, far) = next(&mut dials).await;
        let ws = accept(far).await;
        within(state.wait_for(|state| *state == ClientState::Connected)).await.unwrap();
        sleep(Duration::from_millis(lasts)).await;
        drop(ws);
        let dropped = Instant::now();
        if lasts >= 5000 {
            failures = 0;
        }
        let waiting = |state: &ClientState| matches!(state, ClientState::Waiting { .. });
        let ClientState::Waiting { attempt, delay } = *within(state.wait_for(waiting)).await.unwrap() else {
            unreachable!("the state was awaited")
        };
        let expected = 0.5 * 1.8_f64.powi(failures);
        failures += 1;
        assert_eq!(attempt, u32::try_from(failures).unwrap());
        assert!((delay.as_secs_f64() - expected).abs() < 1e-6, "{delay:?} instead of {expected} s");
        within(state.wait_for(|state| matches!(state, ClientState::Connecting { .. }))).await.unwrap();
        assert_waited(dropped.elapsed(), expected);
    }
}

/// Row K2: a server that hangs up during the handshake is dialled at growing intervals too.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_is_dialled_at_growing_intervals() {
    let (builder, mut dials) = dialling();
    start(&builder.jitter(|| 0.5).build().unwrap());
    let (mut last, far) = next(&mut dials).await;
    drop(far);
    for failures in 0..6 {
        let (now, far) = next(&mut dials).await;
        assert_waited(now - last, 0.5 * 1.8_f64.powi(failures));
        (last, _) = (now, drop(far));
    }
}

/// Answers a handshake with this HTTP head.
async fn reject(mut far: DuplexStream, head: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        far.read_buf(&mut request).await.expect("the client sends its request");
    }
    far.write_all(head.as_bytes()).await.expect("the client reads");
}

/// Row R2: `Retry-After` delays the next attempt by that time, plus up to a half of it, at most the
/// longest wait. A value shorter than the client's own wait, or a date, changes nothing.
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_is_given_it() {
    for (status, retry_after, expected) in [
        ("503 Service Unavailable", "7", 8.75),
        ("429 Too Many Requests", "20", 25.0),
        ("503 Service Unavailable", "86400", 37.5),
        ("503 Service Unavailable", "0", 0.5),
        ("503 Service Unavailable", "Fri, 31 Dec 1999 23:59:59 GMT", 0.5),
        ("503 Service Unavailable", "99999999999999999999", 0.5),
        ("503 Service Unavailable", "-3", 0.5),
    ] {
        let (builder, mut dials) = dialling();
        let client = builder.jitter(|| 0.5).give_up(Setback::is_refusal).build().unwrap();
        start(&client);
        let (first, far) = next(&mut dials).await;
        reject(far, &format!("HTTP/1.1 {status}\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n")).await;
        let (second, far) = next(&mut dials).await;
        assert_waited(second - first, expected);
        // `Retry-After` applies to one attempt.
        reject(far, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
        let (third, _far) = next(&mut dials).await;
        assert_waited(third - second, 0.9);
        client.close();
    }
}

/// Row R2: the error has the value of `Retry-After`.
#[tokio::test]
async fn the_wish_of_a_server_is_in_the_error() {
    let (builder, mut dials) = dialling();
    let client = builder.reconnect(false).build().unwrap();
    let rejecting = async {
        reject(next(&mut dials).await.1, "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n").await;
    };
    let (connected, ()) =
        within(async { tokio::join!(client.connect(CancellationToken::new(), |_| {}), rejecting) }).await;
    let error = connected.unwrap_err();
    let ConnectError::Rejected { retry_after, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*retry_after, Some(Duration::from_secs(120)));
    assert!(!error.is_refusal(), "503 is temporary");
}
