//! The selection of a connection's subprotocol (RFC 6455 section 1.9).
use http::{HeaderMap, HeaderValue, header};

/// The subprotocol that the handshake selected. It is an extension of the connection.
///
/// ```
/// # fn example(conn: &wsx::Connection) {
/// if let Some(wsx::server::Subprotocol(protocol)) = conn.extension() {
///     println!("{} speaks {protocol}", conn.id());
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subprotocol(pub String);

/// Returns the first subprotocol in the client's list that the server has, and its header in the
/// answer.
pub(crate) fn agree(headers: &HeaderMap, spoken: &[String]) -> Option<(Subprotocol, HeaderValue)> {
    let asked = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let agreed =
        asked.flat_map(|value| value.split(',')).map(str::trim).find(|asked| spoken.iter().any(|own| own == asked))?;
    Some((Subprotocol(agreed.to_owned()), HeaderValue::from_str(agreed).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row R4: the negotiation of a subprotocol.
    #[test]
    fn the_first_subprotocol_that_both_speak_is_selected() {
        let spoken = ["v2".to_owned(), "v1".to_owned()];
        let agreed = |asked: &[&str]| {
            let mut headers = HeaderMap::new();
            for asked in asked {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, asked.parse().unwrap());
            }
            agree(&headers, &spoken).map(|(Subprotocol(protocol), _)| protocol)
        };
        assert_eq!(agreed(&["v1, v2"]).as_deref(), Some("v1"), "the client's order counts");
        assert_eq!(agreed(&["v3", " v2"]).as_deref(), Some("v2"));
        assert_eq!(agreed(&["v3,v"]), None);
        assert_eq!(agreed(&[]), None);
    }
}
