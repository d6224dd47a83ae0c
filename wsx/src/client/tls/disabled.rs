//! Takes the place of `enabled.rs` without the feature `rustls`. A `wss://` URL is then an error
//! that names the feature.
use crate::{
    client::stream::{Destination, Socket},
    error::ConnectError,
};
use std::{convert::Infallible, io};

/// Empty: without TLS a client does not trust any certificate.
#[derive(Default)]
pub(crate) struct Trust(());

/// Has no value, so `Trust::connect` can never be called.
#[derive(Debug, Clone)]
pub(crate) struct ServerName(Infallible);

impl ServerName {
    pub(crate) fn parse(_: &str) -> Result<Self, &'static str> {
        Err("wss:// needs TLS: enable the feature `rustls` of wsx")
    }
}

impl Trust {
    #[expect(clippy::unused_async, reason = "it has the same signature with TLS")]
    pub(crate) async fn connect(&self, name: &ServerName, _: &Destination, _: Socket) -> Result<Socket, ConnectError> {
        match name.0 {}
    }
}

pub(crate) fn is_failure(_: &io::Error) -> bool {
    false
}
