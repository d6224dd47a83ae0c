//! nginx as the server of a client: rows K21, K23 and K24 of the specification. nginx listens on a
//! Unix socket, so that the test does not need a free port.
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use wsx::{
    Backoff, CancellationToken, Client, ConnectError, Hub, Identity, Rejection,
    client::{ClientBuilder, Destination},
    http::{HeaderName, HeaderValue, StatusCode, request::Parts},
};
use wsx_tests::{Server, query_id, round_trip, within};

/// A stream of the test's connector.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A running nginx, with a folder of its own. Dropping it ends both.
struct Nginx {
    process: Child,
    folder: PathBuf,
}

impl Nginx {
    /// Starts nginx with these locations.
    fn start(name: &str, locations: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wsx-nginx-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = folder.display();
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n\
             {paths}server {{ listen unix:{at}/socket;\n{locations} }} }}\n"
        );
        std::fs::write(folder.join("nginx.conf"), config).unwrap();
        let process = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is missing: run ./tests/run.sh once, it installs it");
        Self { process, folder }
    }

    /// Returns a client of the host `nginx`, which is this one. Other hosts are dialled over TCP.
    fn client(&self, path: &str) -> ClientBuilder {
        let socket = self.folder.join("socket");
        Client::builder(format!("ws://nginx{path}")).connector(move |destination: Destination| {
            let socket = socket.clone();
            async move {
                let stream: Box<dyn Stream> = if destination.host == "nginx" {
                    // nginx may still start.
                    while !socket.exists() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Box::new(UnixStream::connect(socket).await?)
                } else {
                    Box::new(TcpStream::connect(destination.to_string()).await?)
                };
                Ok(stream)
            }
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn start(client: ClientBuilder) -> Result<Client, ConnectError> {
    let backoff = Backoff::default().initial(Duration::from_millis(5)).max(Duration::from_millis(50));
    // nginx creates its socket before it listens.
    let client = client.backoff(backoff).give_up(|setback| !format!("{setback:?}").starts_with("Attempt(Dial"));
    within(client.build().unwrap().start(CancellationToken::new())).await
}

/// Rows K23, K24: through nginx, both ends read the headers of the answer. nginx adds its own.
#[tokio::test]
async fn a_client_talks_to_a_hub_behind_nginx() {
    let hub = Hub::builder().without_handlers().build().unwrap();
    let identify = |request: Parts| async move {
        let site = HeaderValue::from_static("north");
        Ok::<_, Rejection>(Identity::new(query_id(request).await?).header(HeaderName::from_static("x-site"), site))
    };
    let server = Server::start_at(hub.clone(), hub.ws_handler(identify, |_| {}), "127.0.0.1:0").await;
    let nginx = Nginx::start(
        "proxy",
        &format!(
            "location / {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
             proxy_set_header Connection \"keep-alive, Upgrade\"; proxy_set_header Content-Length 0; \
             add_header Link a always; }}",
            server.address
        ),
    );
    // Without a path.
    let client = start(nginx.client("?id=box-7")).await.unwrap();
    let conn = client.connection().unwrap();
    round_trip(&conn).await;
    assert_eq!(conn.handshake_headers()["x-site"], "north");
    assert!(conn.handshake_headers().contains_key("server"), "{:?}", conn.handshake_headers());
    assert_eq!(server.hub.connection("box-7").unwrap().handshake_headers().len(), 1);
}

/// Row K23: the answers of nginx are readable, with a length and in chunks.
#[tokio::test]
async fn the_rejections_of_nginx_are_readable() {
    let nginx =
        Nginx::start("rejections", "location / { return 403 'box-7 is unknown\\n'; }\nlocation /own { return 410; }");
    let error = start(nginx.client("/ws")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server rejected the handshake with 403 Forbidden: box-7 is unknown");
    let ConnectError::Rejected { headers, .. } = error else { unreachable!("its text says so") };
    assert!(headers["server"].to_str().unwrap().starts_with("nginx/"));
    let error = start(nginx.client("/own")).await.unwrap_err();
    let ConnectError::Rejected { status: StatusCode::GONE, body, .. } = error else { panic!("{error:?}") };
    assert!(String::from_utf8(body).unwrap().contains("<title>410 Gone</title>"));
}

/// Row K21: nginx moves a fleet to another server.
#[tokio::test]
async fn a_client_follows_nginx_to_another_server() {
    let server = Server::start(Hub::builder().without_handlers().build().unwrap()).await;
    let nginx = Nginx::start(
        "redirect",
        &format!(
            "location = /ws {{ return 307 /next$is_args$args; }}\nlocation = /next {{ return 308 http://{}/ws?$args; }}",
            server.address
        ),
    );
    let here = server.address.clone();
    let follow = move |redirect: &wsx::client::Redirect| {
        redirect.to.authority().is_some_and(|authority| *authority == *here || authority == "nginx")
    };
    let client = start(nginx.client("/ws?id=box-7").follow_redirects(2, follow)).await.unwrap();
    round_trip(&client.connection().unwrap()).await;
    assert!(server.hub.connection("box-7").is_some());
}
