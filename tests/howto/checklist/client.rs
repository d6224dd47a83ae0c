use wsx::{BuildError, Client, Config, StderrObserver};

pub fn edge_box(url: &str) -> Result<Client, BuildError> {
    Client::builder(url)
        .config(Config::edge().max_message_size(64 * 1024)) // the same at both ends
        .observer(StderrObserver)
        .build()
}
