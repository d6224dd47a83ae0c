use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};
use tokio::time::{Instant, sleep_until};
use wsx::{
    Connection, Hub, Identity, Rejection,
    http::{
        HeaderValue, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    server::WsHandler,
};

/// What the owner of a token may do, and until when.
#[derive(Clone)]
pub struct Grant {
    pub device: String,
    pub expires: Instant,
}

/// The tokens that this server has issued.
pub type Tokens = Arc<RwLock<HashMap<String, Grant>>>;

pub fn upgrade(hub: &Hub, tokens: Tokens) -> WsHandler {
    hub.ws_handler(move |request| identify(tokens.clone(), request), close_on_expiry)
}

async fn identify(tokens: Tokens, request: Parts) -> Result<Identity, Rejection> {
    let token = bearer(&request).ok_or_else(|| rejected("send `Authorization: Bearer TOKEN`"))?;
    let grant = tokens.read().expect("no code panics under this lock").get(token).cloned();
    match grant {
        None => Err(rejected("this token is unknown")),
        Some(grant) if grant.expires <= Instant::now() => Err(rejected("this token has expired")),
        // The id comes from the token, so a box cannot take the id of another box.
        Some(grant) => Ok(Identity::new(grant.device.clone()).with(grant)),
    }
}

fn bearer(request: &Parts) -> Option<&str> {
    let (scheme, token) = request.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn rejected(sentence: &str) -> Rejection {
    let scheme = HeaderValue::from_static("Bearer");
    Rejection::new(StatusCode::UNAUTHORIZED, sentence).header(WWW_AUTHENTICATE, scheme)
}

/// Closes a connection when its token expires. The box then connects with its next token.
fn close_on_expiry(conn: &Connection) {
    let Grant { expires, .. } = conn.extension().expect("`identify` adds it");
    let conn = conn.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = sleep_until(expires) => conn.close_with(4001.into(), "the token has expired"),
            _ = conn.closed() => {}
        }
    });
}
