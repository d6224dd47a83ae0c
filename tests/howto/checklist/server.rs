use wsx::{BuildError, Config, Hub, MetricsObserver, Rejection, StderrObserver};
use wsx::{http::request::Parts, server::WsHandler};

pub fn hub() -> Result<Hub, BuildError> {
    Hub::builder()
        .config(Config::edge().max_message_size(64 * 1024)) // the same at both ends
        .observer((StderrObserver, MetricsObserver::new()))
        .max_connections(20_000)
        .max_connections_per_address(1_000)
        .max_connections_per_second(200, 400)
        .max_queued_bytes(512 << 20)
        .health("/healthz")
        .without_handlers() // your program has handlers, and not this line
        .build()
}

/// `identify` checks the token of a request. See the page about the authorization header.
pub fn upgrade<F>(hub: &Hub, identify: impl Fn(Parts) -> F + Send + Sync + 'static) -> WsHandler
where
    F: Future<Output = Result<String, Rejection>> + Send + 'static,
{
    hub.ws_handler(identify, |_| {}).path("/ws").same_origin()
}
