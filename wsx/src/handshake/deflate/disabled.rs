//! Without the feature `deflate`, the handshake agrees on nothing.
use crate::{config::Config, wire::deflate::Agreed};
use http::{HeaderMap, HeaderValue};

pub(crate) fn offer(_: &Config) -> Option<HeaderValue> {
    None
}

pub(crate) fn answer(_: &Config, _: &HeaderMap) -> Option<(Agreed, HeaderValue)> {
    None
}

pub(crate) fn accept(_: &Config, headers: &HeaderMap) -> Result<Option<Agreed>, String> {
    super::not_requested(headers)
}
