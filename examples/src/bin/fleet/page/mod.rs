//! The page that shows the fleet to people: a second hub, for browsers, beside the files of the
//! page. It asks boxes through the first hub.
//!
//! `files` has what a browser loads. `feed` sends what changed, once a second, and `history` keeps
//! the samples of one box. `desk` answers the requests of the browsers.
mod desk;
mod feed;
mod files;
mod history;

use crate::page::{desk::Desk, feed::Feed};
use crate::screen::Problems;
use crate::server::Station;
use axum::Router;
use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use wsx::{BoxError, CancellationToken, Config, Hub};

/// Maximum number of open pages. Each gets a message a second, of up to 100 KB with 800 boxes.
const MAX_PAGES: usize = 50;
/// Grace period for the connections of browsers at the end.
const GRACE: Duration = Duration::from_secs(2);
/// Path of the browsers' WebSocket connections. The page has it too.
const PATH: &str = "/ws";

/// Where the page is served.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PageOption {
    /// Address of the web page that shows the boxes, as in 127.0.0.1:9000; with port 0 the system
    /// chooses a port; `off` for no page. Anyone who can reach the address can send requests to the
    /// boxes
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    page: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Off,
    At(String),
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "off" { Self::Off } else { Self::At(text.to_owned()) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::At(address) => address,
        })
    }
}

/// A page that is served.
pub(crate) struct Page {
    hub: Hub<Desk>,
    stop: CancellationToken,
    feeding: JoinHandle<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Serves the page, and says where. Returns `None` if it is off.
///
/// # Errors
///
/// An error that names the address, if the page cannot listen there.
pub(crate) async fn start(PageOption { page }: &PageOption, station: &Station) -> Result<Option<Page>, BoxError> {
    let Place::At(address) = page else { return Ok(None) };
    let listener = wsx_examples::listen(address).await?;
    let address = listener.local_addr()?;
    let page = serve(listener, address, station)?;
    station.screen.say_page(&format!("http://{address}/"));
    Ok(Some(page))
}

/// Serves the page on this listener.
pub(crate) fn serve(listener: TcpListener, address: SocketAddr, station: &Station) -> Result<Page, BoxError> {
    let feed = Arc::new(Feed::new(station.clone()));
    let hub = Hub::builder()
        .endpoint(Desk { station: station.clone(), feed: feed.clone() })
        .config(Config::edge())
        .observer(Problems { who: "page".to_owned(), screen: station.screen.clone() })
        .max_connections(MAX_PAGES)
        .build()?;
    let upgrade = hub.ws_handler(wsx::unique_id, |_| {});
    let upgrade = match origins(address) {
        Some(origins) => upgrade.allow_origins(origins.iter().map(String::as_str)),
        None => upgrade.same_origin(),
    };
    let app: Router = files::router().route_service(PATH, upgrade);
    let stop = CancellationToken::new();
    let feeding = tokio::spawn(feed::run(feed, hub.clone()));
    let serving = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    Ok(Page { hub, stop, feeding, serving: tokio::spawn(async { serving.await }) })
}

/// Returns the origins of the page, if only this machine can reach it. Then a page of another host
/// is rejected, even one whose name was made to lead to this machine.
fn origins(address: SocketAddr) -> Option<[String; 2]> {
    let port = address.port();
    address.ip().is_loopback().then(|| [format!("http://{address}"), format!("http://localhost:{port}")])
}

/// Ends the page, if there is one, after its connections.
pub(crate) async fn close(page: Option<Page>) -> Result<(), BoxError> {
    let Some(Page { hub, stop, feeding, serving }) = page else { return Ok(()) };
    feeding.abort();
    hub.shutdown(GRACE).await;
    stop.cancel();
    Ok(serving.await??)
}
