//! The URLs of a client: a list, a function, and redirects.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpListener,
    sync::mpsc,
    time::{Instant, sleep},
};
use wsx::{
    Backoff, BoxError, CancellationToken, Client, ClientState, Config, ConnectError, Hub, Rejection,
    client::{Attempt, ClientBuilder, Destination, Redirect, Urls},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
};
use wsx_tests::{Log, Server, chain, query_id, within};

fn quick() -> Backoff {
    Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(20))
}

/// Row K20: the URLs of a list are dialled in turn, and the waits grow once per round. After a
/// connection that lasted, the same URL is dialled again.
#[tokio::test(start_paused = true)]
async fn a_list_is_dialled_in_turn_and_a_good_station_again() {
    let (dialled, mut dials) = mpsc::unbounded_channel::<(Instant, String, DuplexStream)>();
    let connector = move |destination: Destination| {
        let (near, far) = tokio::io::duplex(4096);
        let sent = dialled.send((Instant::now(), destination.host, far));
        async move { sent.map(|()| near).map_err(|_| io::Error::other("the test has finished")) }
    };
    let client = Client::builder(["ws://a/ws", "ws://b/ws", "ws://c/ws"]).connector(connector).jitter(|| 0.5);
    let client = client.build().unwrap();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.start(CancellationToken::new()).await.map(drop) });
    let mut last = Instant::now();
    let first_rounds = [("a", 0.0), ("b", 0.5), ("c", 0.5), ("a", 0.5), ("b", 0.9), ("c", 0.9), ("a", 0.9)];
    for (host, wait) in first_rounds {
        let (at, dialled, _far) = dials.recv().await.unwrap();
        assert_eq!(dialled, host);
        let waited = (at - last).as_secs_f64();
        assert!((-1e-6..0.002).contains(&(waited - wait)), "{waited} instead of {wait} s before {host}");
        last = at;
    }
    // Each connection, and the URL after it.
    for (host, lasts) in [("b", 5000), ("b", 10_000), ("b", 4000), ("c", 1), ("a", 6000), ("a", 0)] {
        let (_, dialled, far) = dials.recv().await.unwrap();
        assert_eq!(dialled, host);
        serve_for(&client, far, lasts).await;
    }
    client.close();
}

/// Accepts the client's connection, and breaks it after this many milliseconds.
async fn serve_for(client: &Client, far: DuplexStream, lasts: u64) {
    let ws = tokio_tungstenite::accept_async(far).await.unwrap();
    within(client.connected()).await.unwrap();
    sleep(Duration::from_millis(lasts)).await;
    drop(ws);
    let mut state = client.state();
    within(state.wait_for(|state| *state != ClientState::Connected)).await.unwrap();
}

/// Row K20: `build` lists every wrong URL. A list has from 1 to 16 URLs.
#[test]
fn a_list_is_bounded_and_checked() {
    let problems = |urls: Vec<String>| match Client::builder(urls).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().to_vec(),
    };
    let urls = |n: usize| vec!["ws://a/ws".to_owned(); n];
    assert_eq!(problems(urls(1)), Vec::<String>::new());
    assert_eq!(problems(urls(16)), Vec::<String>::new());
    assert_eq!(problems(urls(0)), ["a client has 0 URLs: give it from 1 to 16"]);
    assert_eq!(problems(urls(17)), ["a client has 17 URLs: give it from 1 to 16"]);
    let wrong = problems(["ws://a b/", "ws://c/", "d", "ws://e:x/"].map(str::to_owned).to_vec());
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("character 7 is a space") && wrong[2].contains("character 8"), "{wrong:?}");
}

/// Row K20: a client whose first station is dead, or dies, works at its second.
#[tokio::test]
async fn a_client_goes_to_its_second_station_and_back() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let station = || Hub::builder().without_handlers().build().unwrap();
    let second = Server::start(station()).await;
    let urls = vec![format!("ws://{dead}/ws?id=a"), second.url("a")];
    let client = Client::builder(urls).backoff(quick()).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert!(second.hub.connection("a").is_some());
    let hub = station();
    let first = Server::start_at(hub.clone(), hub.ws_handler(query_id, |_| {}), &dead.to_string()).await;
    let conn = client.connection().unwrap();
    within(second.stop()).await;
    within(conn.closed()).await;
    within(async {
        while first.hub.connection("a").is_none() {
            client.connected().await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Row K20: the function runs at each attempt, and sees the failures.
#[tokio::test]
async fn a_url_is_made_for_each_attempt() {
    let (asked, tokens) = (Log::default(), Log::default());
    let log = tokens.clone();
    let hub = Hub::builder().without_handlers().build().unwrap();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            let query = request.uri.query().unwrap_or_default().to_owned();
            log.add(query.clone());
            async move { if query == "token=3" { Ok("box") } else { Err(Rejection::from(StatusCode::UNAUTHORIZED)) } }
        },
        |_| {},
    );
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    let (address, token, attempts) = (server.address.clone(), AtomicU32::new(0), asked.clone());
    let urls = Urls::per_attempt(move |attempt| {
        attempts.add(attempt);
        let url = format!("ws://{address}/ws?token={}", token.fetch_add(1, Ordering::Relaxed));
        async move { Ok(url) }
    });
    let client = Client::builder(urls).backoff(quick()).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    for n in 0..4 {
        assert_eq!(tokens.next().await, format!("token={n}"));
        let Attempt { failures, redirect, .. } = asked.next().await;
        assert_eq!((failures, redirect), (n, None));
    }
    assert_eq!(client.connection().unwrap().id(), format!("ws://{}/ws", server.address));
}

/// Row K20: a connection that lasted is not a failure. One that did not last is.
#[tokio::test(start_paused = true)]
async fn a_connection_that_lasted_is_not_a_failure() {
    let (dialled, mut dials) = mpsc::unbounded_channel::<DuplexStream>();
    let connector = move |_: Destination| {
        let (near, far) = tokio::io::duplex(4096);
        let sent = dialled.send(far);
        async move { sent.map(|()| near).map_err(|_| io::Error::other("the test has finished")) }
    };
    let seen = Log::default();
    let attempts = seen.clone();
    let urls = Urls::per_attempt(move |attempt: Attempt| {
        attempts.add(attempt.failures);
        async { Ok("ws://a/ws".to_owned()) }
    });
    let client = Client::builder(urls).connector(connector).build().unwrap();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.start(CancellationToken::new()).await.map(drop) });
    // How long the connection of each attempt lasts, and the failures that the attempt sees.
    for (lasts, failures) in
        [(None, 0), (Some(5000), 1), (Some(6000), 0), (None, 0), (Some(1), 1), (Some(1), 2), (Some(5000), 3), (None, 0)]
    {
        let far = within(dials.recv()).await.unwrap();
        assert_eq!(seen.next().await, failures);
        let Some(lasts) = lasts else { continue };
        serve_for(&client, far, lasts).await;
    }
    client.close();
}

/// Row K20: a function that fails, panics, hangs or returns a wrong URL fails its attempt.
#[tokio::test]
async fn a_url_that_cannot_be_made_fails_the_attempt() {
    async fn failure(urls: Urls) -> ConnectError {
        let config = Config::default().handshake_timeout(Duration::from_millis(50));
        let client = Client::builder(urls).config(config).reconnect(false).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap_err()
    }
    let error = failure(Urls::per_attempt(|_| async { Err("no token".into()) })).await;
    assert_eq!(chain(&error), "the URL for this attempt could not be made: no token");
    let error = failure(Urls::per_attempt(|_| async { panic!("on purpose") })).await;
    assert_eq!(
        chain(&error),
        "the URL for this attempt could not be made: the program's function for the URL panicked"
    );
    let error = failure(Urls::per_attempt(|_| async { Ok("http://a/?secret".to_owned()) })).await;
    assert!(matches!(error, ConnectError::Url(_)) && !error.is_final(), "{error:?}");
    assert!(chain(&error).contains("neither ws nor wss") && !chain(&error).contains("secret"), "{}", chain(&error));
    let error = failure(Urls::per_attempt(|_| std::future::pending::<Result<String, BoxError>>())).await;
    assert!(matches!(error, ConnectError::Timeout(_)), "{error:?}");
}

/// Starts a server that answers each request with a redirect, and logs the heads of the requests.
async fn redirecting(status: &'static str, location: impl Into<String>) -> (String, Log<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, redirecting_on(listener, status, location.into()))
}

/// As [`redirecting`], on this listener.
fn redirecting_on(listener: TcpListener, status: &'static str, location: String) -> Log<String> {
    let log = Log::default();
    let heads = log.clone();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                tcp.read_buf(&mut request).await.unwrap();
            }
            heads.add(String::from_utf8(request).unwrap());
            let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    log
}

/// A client with credentials and another header.
fn with_headers(url: String) -> ClientBuilder {
    Client::builder(url)
        .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"))
        .header(header::COOKIE, HeaderValue::from_static("session=secret"))
        .header(HeaderName::from_static("x-box"), HeaderValue::from_static("7"))
        .reconnect(false)
}

/// Row K21: a redirect that the policy accepts is followed. Another server gets no credentials.
#[tokio::test]
async fn a_redirect_is_followed_without_credentials() {
    let (seen, asked) = (Log::default(), Log::default());
    let log = seen.clone();
    let hub = Hub::builder().without_handlers().build().unwrap();
    let upgrade = hub.ws_handler(
        move |request: Parts| {
            let has = |name: &str| request.headers.contains_key(name);
            log.add((has("authorization"), has("cookie"), has("x-box")));
            query_id(request)
        },
        |_| {},
    );
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let target = format!("http://{}/ws?id=moved", server.address);
        let (address, _) = redirecting(status, target).await;
        let policy = asked.clone();
        let follow = move |redirect: &Redirect| {
            policy.add(redirect.clone());
            true
        };
        let client = with_headers(format!("ws://{address}/ws?id=a")).follow_redirects(1, follow).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap();
        assert!(server.hub.connection("moved").is_some());
        assert_eq!(client.connection().unwrap().id(), format!("ws://{}/ws", server.address));
        assert_eq!(seen.next().await, (false, false, true));
        let redirect = asked.next().await;
        assert_eq!(redirect.status.as_u16().to_string(), status[..3]);
        assert_eq!(redirect.from.to_string(), format!("ws://{address}/ws?id=a"));
        assert_eq!(redirect.to.to_string(), format!("ws://{}/ws?id=moved", server.address));
        client.close();
        within(client.closed()).await;
    }
}

/// Row K21: a redirect that the client does not follow is an error with the reason.
#[tokio::test]
async fn a_redirect_that_is_not_followed_says_why() {
    let failure = async |location: &str, limit, policy: fn(&Redirect) -> bool| {
        let (address, requests) = redirecting("302 Found", location).await;
        let builder = with_headers(format!("ws://{address}/ws")).follow_redirects(limit, policy);
        let error = within(builder.build().unwrap().start(CancellationToken::new())).await.unwrap_err();
        let mut heads = Vec::new();
        while let Some(head) = requests.try_next() {
            heads.push(head);
        }
        (error.to_string().replace(&address, "here"), heads)
    };
    let (error, heads) = failure("/again?token=secret", 2, |_| true).await;
    assert_eq!(
        error,
        "the server redirects with 302 Found to \"ws://here/again\", which the client does not follow: the limit is 2 \
         in an attempt"
    );
    assert_eq!(heads.len(), 3);
    assert!(heads[2].starts_with("GET /again?token=secret HTTP/1.1\r\n"), "{}", heads[2]);
    assert!(heads[2].contains("Bearer secret"), "the same server keeps the credentials: {}", heads[2]);
    for (location, limit, policy, why) in [
        ("/a", 1, (|_| false) as fn(&Redirect) -> bool, "the policy of the program rejects it"),
        ("/a", 1, |_| panic!("on purpose"), "the policy of the program panicked"),
        ("/a", 0, |_| true, "the limit is 0"),
        ("ftp://a/b", 1, |_| true, "its scheme `ftp` at character 1 is neither ws nor wss"),
        ("http://a b/", 1, |_| true, "character 7 is a space"),
        ("/caf\u{e9}", 1, |_| true, "to \"ws://here/caf\u{e9}\", which the client does not follow: it has a character"),
    ] {
        let (error, heads) = failure(location, limit, policy).await;
        assert!(error.contains(why), "{location}: {error}");
        assert_eq!(heads.len(), 1, "{location}");
    }
}

/// Rows K14, K21: the zone of a URL stays, whether the new one is relative or has the address
/// without its zone. The same server keeps the credentials.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_redirect_keeps_the_zone_of_an_address() {
    for location in ["/moved", "http://HOST/moved"] {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = format!("[::1]:{port}");
        let requests = redirecting_on(listener, "302 Found", location.replace("HOST", &host));
        let asked = Log::default();
        let policy = asked.clone();
        let follow = move |redirect: &Redirect| {
            policy.add(redirect.to.to_string());
            true
        };
        let client = with_headers(format!("ws://[::1%251]:{port}/ws")).follow_redirects(1, follow).build().unwrap();
        within(client.start(CancellationToken::new())).await.unwrap_err();
        assert_eq!(asked.next().await, format!("ws://[::1%251]:{port}/moved"), "{location}");
        assert!(requests.next().await.starts_with("GET /ws HTTP/1.1\r\n"));
        let second = requests.next().await;
        assert!(second.starts_with(&format!("GET /moved HTTP/1.1\r\nHost: {host}\r\n")), "{second}");
        assert!(second.contains("Bearer secret"), "{second}");
    }
}

/// Row K21: redirects are off by default. The next attempt of the program's function sees the new
/// URL.
#[tokio::test]
async fn a_redirect_is_shown_to_the_next_attempt() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let (address, _) = redirecting("307 Temporary Redirect", server.url("moved").replace("ws://", "http://")).await;
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = attempts.clone();
    let urls = Urls::per_attempt(move |attempt: Attempt| {
        counted.fetch_add(1, Ordering::Relaxed);
        let url = attempt.redirect.unwrap_or_else(|| format!("ws://{address}/ws"));
        async move { Ok(url) }
    });
    let client = Client::builder(urls).backoff(quick()).build().unwrap();
    within(client.start(CancellationToken::new())).await.unwrap();
    assert!(server.hub.connection("moved").is_some());
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}

/// Row K21: a new URL that cannot be dialled is not shown.
#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_not_shown() {
    let (address, _) = redirecting("307 Temporary Redirect", "ftp://a/ws").await;
    let seen = Log::default();
    let attempts = seen.clone();
    let urls = Urls::per_attempt(move |attempt: Attempt| {
        attempts.add(attempt.redirect);
        let url = format!("ws://{address}/ws");
        async move { Ok(url) }
    });
    let client = Client::builder(urls).backoff(quick()).build().unwrap();
    let connecting = client.clone();
    tokio::spawn(async move { connecting.start(CancellationToken::new()).await.map(drop) });
    for _ in 0..2 {
        assert_eq!(seen.next().await, None);
    }
    client.close();
}
