//! Stands in for `tls_client` where the feature `rustls` is off: tells whoever asks for TLS which feature it takes.
use crate::{
    client::stream::{Destination, Socket},
    error::ConnectError,
};
use std::{convert::Infallible, io};

#[derive(Default)]
pub(crate) struct Trust(());

/// There is none, so that what needs one cannot be reached.
#[derive(Debug)]
pub(crate) struct ServerName(Infallible);

impl ServerName {
    pub(crate) fn parse(_: &str) -> Result<Self, &'static str> {
        Err("wss:// needs TLS: turn on the feature `rustls` of wsx")
    }
}

impl Trust {
    #[expect(clippy::unused_async, reason = "it has the signature that it has with TLS")]
    pub(crate) async fn connect(&self, name: &ServerName, _: &Destination, _: Socket) -> Result<Socket, ConnectError> {
        match name.0 {}
    }
}

pub(crate) fn is_failure(_: &io::Error) -> bool {
    false
}
