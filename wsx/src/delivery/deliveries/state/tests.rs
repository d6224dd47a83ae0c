use super::*;

/// A state that remembers so many absent peers.
fn state(max: usize) -> State {
    let mut state = State::in_memory();
    state.remembered = Absent::new(max);
    state
}

/// A peer sends a message of this epoch, and leaves.
fn visit(state: &mut State, name: &str, epoch: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let peer = state.peers.entry(name.into()).or_default();
    let inbox = peer.inbox(name, epoch, &mut state.remembered, &mut changes);
    inbox.incoming.start(Lane::Seq, 1);
    inbox.incoming.end(Lane::Seq, 1);
    changes.extend(state.forget());
    state.forget_if_empty(name);
    changes
}

/// Returns the keys of the records that are deleted, or with a `+` written.
fn keys(changes: &[Change]) -> Vec<String> {
    let key = |change: &Change| match change {
        Change::Put { key, .. } => format!("+{key}"),
        Change::Delete { key } => key.clone(),
    };
    changes.iter().map(key).collect()
}

fn report(state: &mut State, name: &str, data: &'static str) {
    let reported = Reported { at: Time::default(), data: Bytes::from_static(data.as_bytes()) };
    state.reported.change(Size::default(), reported.size());
    let peer = state.peers.entry(name.into()).or_default();
    peer.reported.insert("shown".into(), reported);
    if let Some(inbox) = peer.inboxes.last_mut() {
        inbox.unwritten.push("shown".into());
    }
}

/// Row G15: the absent peers whose numbers are remembered are bounded, and the one that has been
/// away for longest is forgotten first.
#[test]
fn the_peer_that_left_first_is_forgotten_first() {
    let mut state = state(2);
    for name in ["a", "b", "a", "c"] {
        assert_eq!(keys(&visit(&mut state, name, "e")), [""; 0]);
    }
    // Only now are there three that are absent.
    assert_eq!(keys(&visit(&mut state, "c", "e")), [""; 0], "it is not absent at this moment");
    assert_eq!(keys(&visit(&mut state, "d", "e")), ["in/b/e"]);
    assert_eq!(keys(&state.forget()), ["in/a/e"]);
    let mut names: Vec<&str> = state.peers.keys().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", "d"]);
}

/// Row G15: peers without numbers do not count, and a connected one is not forgotten.
#[test]
fn only_absent_peers_with_numbers_count() {
    let mut state = state(1);
    for n in 0..10 {
        report(&mut state, &format!("state {n}"), "1");
        state.forget_if_empty(&format!("state {n}"));
    }
    visit(&mut state, "a", "e");
    assert_eq!(keys(&state.forget()), [""; 0]);
    for name in ["b", "c"] {
        let peer = state.peers.entry(name.into()).or_default();
        // Its handler still runs.
        peer.inbox(name, "e", &mut state.remembered, &mut Vec::new()).incoming.start(Lane::Seq, 1);
        state.forget_if_empty(name);
    }
    assert_eq!(keys(&state.forget()), ["in/a/e"]);
    assert_eq!(keys(&state.forget()), [""; 0]);
    state.peers.get_mut("b").unwrap().inboxes[0].incoming.end(Lane::Seq, 1);
    assert_eq!(keys(&state.forget()), ["in/b/e"]);
    assert_eq!(state.peers.len(), 11);
}

/// Rows G14 and G15: a peer whose numbers are forgotten keeps its states, and they are written.
#[test]
fn states_are_not_forgotten_with_the_numbers() {
    let mut state = state(0);
    visit(&mut state, "a", "e");
    report(&mut state, "a", "17");
    assert_eq!(keys(&state.forget()), ["+state/a/shown", "in/a/e"]);
    assert_eq!(&*state.peers["a"].reported["shown"].data, b"17");
    assert_eq!(state.reported, Size { messages: 1, bytes: 2 });
    assert_eq!(keys(&state.forget()), [""; 0]);
}

/// Rows G14 and G15: the epoch that was not used for longest is forgotten, after the states that it
/// has not written.
#[test]
fn the_epoch_that_was_used_first_is_forgotten() {
    let mut state = state(10);
    for epoch in ["1", "2", "3", "4", "1"] {
        assert_eq!(keys(&visit(&mut state, "a", epoch)), [""; 0]);
    }
    let unused = state.peers.get_mut("a").unwrap().inbox_of("2").unwrap();
    unused.unwritten.push("shown".into());
    let reported = Reported { at: Time::default(), data: Bytes::from_static(b"17") };
    state.peers.get_mut("a").unwrap().reported.insert("shown".into(), reported);
    assert_eq!(keys(&visit(&mut state, "a", "5")), ["+state/a/shown", "in/a/2"]);
    assert_eq!(keys(&visit(&mut state, "a", "6")), ["in/a/3"]);
}

/// Row G15: a peer with many failures takes the place of others.
#[test]
fn a_peer_with_many_failures_counts_more_often() {
    let mut state = state(30);
    for n in 0..20 {
        visit(&mut state, &format!("{n}"), "e");
    }
    assert_eq!(keys(&state.forget()), [""; 0]);
    let peer = state.peers.entry("failing".into()).or_default();
    let inbox = peer.inbox("failing", "e", &mut state.remembered, &mut Vec::new());
    (1..=200).for_each(|number| inbox.failed.add(Lane::Seq, 2 * number, "failed", "no space"));
    state.forget_if_empty("failing");
    let forgotten = state.forget().len();
    assert!((1..20).contains(&forgotten), "{forgotten} are forgotten");
    // It counts no more often when it is back.
    visit(&mut state, "failing", "e");
    state.peers.get_mut("failing").unwrap().inbox_of("e").unwrap().failed.begin(1000);
    visit(&mut state, "failing", "e");
    for n in 0..forgotten {
        assert_eq!(keys(&visit(&mut state, &format!("again {n}"), "e")), [""; 0]);
    }
}
