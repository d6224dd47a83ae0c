//! The negotiation of compression: any text in the header of a peer, and any options of two ends of
//! wsx. An answer has what some offer allows, both ends do what it says, and wsx understands
//! itself.
use crate::input::Input;
use wsx::{
    __private::fuzz::deflate::{Way, Ways, accept, answer, offer},
    Deflate,
};

/// Input: three bytes for the options of each end, then the text of the peer, a line for each
/// header.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let (client, server) = (options(&mut input), options(&mut input));
    // The bytes that no header may have end the line, too.
    let lines: Vec<_> = input.0.split(|byte| matches!(byte, 0..=8 | 10..=31 | 127)).collect();
    if let Some((answer, ways)) = answer(server, &lines) {
        let answered = Extension::read(&answer).expect("an answer is valid");
        answered.check_answer(ways);
        let mut offers = extensions(&lines).into_iter();
        assert!(offers.any(|offer| answered.is_allowed_by(&offer)), "{answered:?} was not offered");
    }
    if let Ok(Some((own, _))) = accept(client, &lines) {
        let answered = extensions(&lines);
        assert_eq!(answered.len(), 1, "one extension is accepted");
        if let Some((bits, keeps_context)) = own {
            assert!(bits >= 9, "zlib does not have the window");
            assert!(answered[0].client_bits.flatten().is_none_or(|most| bits <= most), "the window is too large");
            assert!(!keeps_context || !answered[0].client_alone, "the client keeps a context");
        }
    }
    agree(client, server);
}

/// Two ends of wsx agree, and each knows what the other does.
fn agree(client: Deflate, server: Deflate) {
    let offered = offer(client).expect("a client with options has an offer");
    let (answered, (server_own, client_known)) =
        answer(server, &[offered.as_bytes()]).expect("a server knows the offer");
    let agreed = accept(client, &[answered.as_bytes()]).expect("a client knows the answer");
    let (client_own, server_known) = agreed.expect("there is an answer");
    for (own, known) in [(server_own, server_known), (client_own, client_known)] {
        let (bits, keeps_context) = own.expect("wsx does not ask for a window that zlib does not have");
        assert_eq!(keeps_context, known.1, "both know whether there is a context");
        assert!(!keeps_context || bits <= known.0, "the other end keeps enough");
    }
}

fn options(input: &mut Input<'_>) -> Deflate {
    let (ways, client, server) = (input.byte(), input.byte(), input.byte());
    let default = Deflate::default().client_context(ways & 1 != 0).server_context(ways & 2 != 0);
    default.client_window_bits(client).server_window_bits(server)
}

/// Returns the valid extensions of these lines.
fn extensions(lines: &[&[u8]]) -> Vec<Extension> {
    let lines = lines.iter().filter_map(|line| std::str::from_utf8(line).ok());
    lines.flat_map(|line| line.split(',')).filter_map(Extension::read).collect()
}

/// permessage-deflate with its parameters (RFC 7692 section 7.1).
#[derive(Debug, Default)]
struct Extension {
    server_alone: bool,
    client_alone: bool,
    server_bits: Option<u8>,
    client_bits: Option<Option<u8>>,
}

impl Extension {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut read = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                None => (part, None),
                Some((name, value)) => {
                    (name.trim_end_matches([' ', '\t']), Some(value.trim_start_matches([' ', '\t'])))
                }
            };
            // Section 7.1.2.1: a number from 8 to 15.
            let bits = value.map(|value| {
                let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
                let value = if is_quoted { &value[1..value.len() - 1] } else { value };
                ["8", "9", "10", "11", "12", "13", "14", "15"].into_iter().position(|bits| bits == value)
            });
            let bits = match bits {
                None => None,
                Some(at) => Some(8 + at? as u8),
            };
            let is_first = match (&*name.to_ascii_lowercase(), bits) {
                ("server_no_context_takeover", None) => !std::mem::replace(&mut read.server_alone, true),
                ("client_no_context_takeover", None) => !std::mem::replace(&mut read.client_alone, true),
                ("server_max_window_bits", Some(_)) => std::mem::replace(&mut read.server_bits, bits).is_none(),
                ("client_max_window_bits", _) => read.client_bits.replace(bits).is_none(),
                _ => false,
            };
            if !is_first {
                return None;
            }
        }
        Some(read)
    }

    /// Sections 7.1.1 and 7.1.2: what an answer may have after this offer.
    fn is_allowed_by(&self, offer: &Self) -> bool {
        let server_alone = self.server_alone || !offer.server_alone;
        let server_bits = match (self.server_bits, offer.server_bits) {
            (None, None) | (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(bits), Some(most)) => bits <= most,
        };
        let client_bits = match (self.client_bits, offer.client_bits) {
            (None, _) => true,
            (Some(Some(bits)), Some(most)) => most.is_none_or(|most| bits <= most),
            (Some(_), _) => false,
        };
        server_alone && server_bits && client_bits
    }

    /// The server does what its answer says.
    fn check_answer(&self, (own, client): Ways) {
        let window = self.server_bits.unwrap_or(15);
        let is_smaller = |(bits, keeps_context): Way| bits <= window && (!keeps_context || !self.server_alone);
        assert!(own.is_none_or(is_smaller), "{self:?}, but {own:?}");
        assert_eq!(own.is_none(), window == 8, "zlib does not have the window of 256 bytes");
        // It keeps what the client may refer to.
        let (bits, keeps_context) = client;
        let needed = self.client_bits.flatten().unwrap_or(15);
        assert!(keeps_context != self.client_alone && (!keeps_context || bits == needed), "{self:?}, but {client:?}");
    }
}
