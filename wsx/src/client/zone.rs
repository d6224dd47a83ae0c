//! The zone of an IPv6 address in a URL, as in `ws://[fe80::1%25eth0]/` (RFC 6874): the interface
//! on which a link-local address is valid.
use crate::handshake::percent;
use http::uri::Authority;

/// Returns the authority without its zone, and the zone with a percent sign before it. The zone is
/// empty if the authority does not have one.
///
/// Only this machine knows its zones, so they are part of neither the `Host` header nor the name in
/// a certificate.
pub(super) fn split(authority: &Authority) -> Result<(Authority, String), &'static str> {
    let host = authority.host();
    let Some((address, zone)) = host.strip_suffix(']').and_then(|host| host.split_once('%')) else {
        return Ok((authority.clone(), String::new()));
    };
    let zone = zone.strip_prefix("25").ok_or("write the zone of its address as in [fe80::1%25eth0]")?;
    let zone = percent::decode(zone).and_then(|zone| String::from_utf8(zone).ok());
    let zone = zone
        .filter(|zone| !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or("the zone of its address is not the name of an interface")?;
    let rest = authority.as_str().strip_prefix(host).unwrap_or_default();
    let bare = format!("{address}]{rest}").parse().map_err(|_| "its host is not an address")?;
    Ok((bare, format!("%{zone}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_cut_off() {
        for (text, expected) in [
            ("a:80", Some(("a:80", ""))),
            ("[::1]:80", Some(("[::1]:80", ""))),
            ("[fe80::1%25eth0]:80", Some(("[fe80::1]:80", "%eth0"))),
            ("[fe80::1%25eth0.100]", Some(("[fe80::1]", "%eth0.100"))),
            ("[fe80::1%25a%40b]", Some(("[fe80::1]", "%a@b"))),
            ("[fe80::1%eth0]", None),
            ("[fe80::1%25]", None),
            ("[fe80::1%25a%0d%0a]", None),
            ("[fe80::1%25%zz]", None),
        ] {
            let parts = split(&Authority::from_static(text)).ok();
            let parts = parts.as_ref().map(|(authority, zone)| (authority.as_str(), &**zone));
            assert_eq!(parts, expected, "{text}");
        }
    }
}
