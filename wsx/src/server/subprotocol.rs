//! The selection of a connection's subprotocol (RFC 6455 section 1.9).
use crate::handshake::header_list;
use http::{HeaderMap, HeaderValue, header};

/// Returns the first subprotocol in the client's list that the server has. The list can have
/// several lines.
pub(crate) fn agree(headers: &HeaderMap, spoken: &[String]) -> Option<HeaderValue> {
    let mut asked = header_list::elements(headers, header::SEC_WEBSOCKET_PROTOCOL);
    let agreed = asked.find(|asked| spoken.iter().any(|own| own.as_bytes() == *asked))?;
    HeaderValue::from_bytes(agreed).ok()
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
            agree(&headers, &spoken)
        };
        assert_eq!(agreed(&["v1, v2"]).unwrap(), "v1", "the client's order counts");
        assert_eq!(agreed(&["v3", " v2"]).unwrap(), "v2");
        assert_eq!(agreed(&["v3,v"]), None);
        assert_eq!(agreed(&[]), None);
    }
}
