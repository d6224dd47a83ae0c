//! Who dials, and what each side says and hears. It does not know schemas.
use crate::protocol::{Description, Travel};

/// Sides that a hub implements, by their names.
const HUBS: [&str; 2] = ["Hub", "Server"];

/// The sides of a protocol, as seen by those that dial.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    description: Description,
    /// The side that a hub implements.
    pub(super) hub: &'static str,
}

/// What a side says and hears. Each list is sorted by type, and has each type once.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) side: &'static str,
    pub(super) sends: Vec<&'static Travel>,
    pub(super) requests: Vec<&'static Travel>,
    pub(super) receives: Vec<&'static Travel>,
    pub(super) answers: Vec<&'static Travel>,
}

impl Sides {
    /// `hub` is the side that the user names. Without it, the hub is the side with the name
    /// `Server` or `Hub`, or the only side with several peers, or the side that receives the first
    /// message.
    pub(super) fn of(description: Description, hub: Option<&'static str>) -> Result<Self, String> {
        let all = names(&description);
        let (name, list) = (description.name, all.join("`, `"));
        let hub = match hub {
            Some(hub) if !all.contains(&hub) => {
                return Err(format!("`{hub}` is not a side of {name}: name one of `{list}`"));
            }
            Some(hub) => hub,
            None => {
                let named = || all.iter().find(|side| HUBS.contains(side)).copied();
                let has_several = |side: &&&str| peers(&description, side) > 1;
                let only = || {
                    let mut several = all.iter().filter(has_several);
                    several.next().filter(|_| several.next().is_none()).copied()
                };
                let first = || description.messages.first().map(|first| first.to);
                named().or_else(only).or_else(first).ok_or_else(|| format!("{name} has no messages"))?
            }
        };
        Ok(Self { description, hub })
    }

    /// The sides that dial, in the order of the protocol.
    pub(super) fn dialling(&self) -> Vec<Talk> {
        let sides = names(&self.description).into_iter().filter(|side| *side != self.hub);
        sides.map(|side| self.talk(side)).collect()
    }

    fn talk(&self, side: &'static str) -> Talk {
        let pick = |says: bool, asks: bool| {
            let own = |travel: &&Travel| (if says { travel.from } else { travel.to }) == side;
            let all = self.description.messages.iter();
            let mut all: Vec<_> = all.filter(own).filter(|travel| travel.reply.is_some() == asks).collect();
            all.sort_by_key(|travel| travel.message_type);
            all.dedup_by_key(|travel| travel.message_type);
            all
        };
        Talk {
            side,
            sends: pick(true, false),
            requests: pick(true, true),
            receives: pick(false, false),
            answers: pick(false, true),
        }
    }
}

/// The sides, in the order of their first appearance.
fn names(description: &Description) -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in description.messages.iter().flat_map(|travel| [travel.from, travel.to]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// How many sides the side speaks with.
fn peers(description: &Description, side: &str) -> usize {
    let mut peers = Vec::new();
    for Travel { from, to, .. } in description.messages {
        let peer = match side {
            _ if side == *from => to,
            _ if side == *to => from,
            _ => continue,
        };
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    peers.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(messages: &[(&'static str, &'static str)], named: Option<&'static str>) -> Result<&'static str, String> {
        let travels = messages.iter().map(|(from, to)| Travel::new(from, to, "a", 0));
        let travels: &'static [Travel] = travels.collect::<Vec<_>>().leak();
        Sides::of(Description::new("Fleet", 1, 0, travels), named).map(|sides| sides.hub)
    }

    #[test]
    fn the_hub_is_named_or_has_a_name_or_several_peers_or_receives_first() {
        let two = [("Meter", "Office"), ("Office", "Meter")];
        assert_eq!(hub(&two, None), Ok("Office"));
        assert_eq!(hub(&two, Some("Meter")), Ok("Meter"));
        assert_eq!(hub(&two, Some("Box")).unwrap_err(), "`Box` is not a side of Fleet: name one of `Meter`, `Office`");
        assert_eq!(hub(&[("Server", "Edge")], None), Ok("Server"));
        assert_eq!(hub(&[("Office", "Meter"), ("Office", "Reader")], None), Ok("Office"));
        assert_eq!(hub(&[("A", "B"), ("B", "C"), ("C", "A")], None), Ok("B"), "each has two");
        assert_eq!(hub(&[], None).unwrap_err(), "Fleet has no messages");
    }
}
