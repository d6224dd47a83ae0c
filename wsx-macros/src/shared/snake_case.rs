//! A Rust name as a type string.

/// `ChargeState` becomes `charge_state`, `HTTPStatus` becomes `http_status`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.trim_start_matches("r#").chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && at > 0 && letters[at - 1] != '_' && (after_lower || before_lower) {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_become_type_strings() {
        for (name, expected) in [
            ("Telemetry", "telemetry"),
            ("ChargeState", "charge_state"),
            ("HTTPStatus", "http_status"),
            ("Sensor2Value", "sensor2_value"),
            ("r#Type", "type"),
            ("Already_Snake", "already_snake"),
        ] {
            assert_eq!(snake_case(name), expected);
        }
    }
}
