//! Percent-encoding in a URL (RFC 3986 section 2.1).

/// Returns the bytes of a text. `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
        decoded.extend(rest.as_bytes());
    }
    Some(decoded)
}

/// Returns a text in which every byte but letters, digits and `-._~` is encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_text_is_decoded_to_itself() {
        for (text, encoded) in [("eth0.100", "eth0.100"), ("a@b%/é", "a%40b%25%2F%C3%A9"), ("", "")] {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn only_two_digits_after_a_percent_sign_are_decoded() {
        for (text, decoded) in [
            ("", Some("")),
            ("eth0", Some("eth0")),
            ("p%40ss%3aword%25", Some("p@ss:word%")),
            ("%", None),
            ("a%4", None),
            ("%+1", None),
            ("%é", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded.map(str::as_bytes), "{text}");
        }
        assert_eq!(decode("%ff%00"), Some(vec![255, 0]));
    }
}
