use std::{path::Path, sync::Arc};
use wsx::{
    BoxError, BuildError, Client, Config, StderrObserver,
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
};

/// Another program writes the token into this file, and replaces it before it expires.
pub fn edge_box(url: &str, file: Arc<Path>) -> Result<Client, BuildError> {
    Client::builder(url)
        .config(Config::edge()) // notices a dead link within 35 s
        .headers(move || authorization(file.clone()))
        .observer(StderrObserver)
        .build()
}

/// Runs before each attempt to connect.
async fn authorization(file: Arc<Path>) -> Result<HeaderMap, BoxError> {
    let token = tokio::fs::read_to_string(file).await?;
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))?;
    value.set_sensitive(true); // hides it in `Debug`
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}
