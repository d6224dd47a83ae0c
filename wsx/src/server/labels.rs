//! The labels of connections, and the connections of each label. It does not know the registry.
use crate::{
    connection::{
        handle::Handle,
        loom_or_std::{Mutex, MutexGuard, RandomState},
        shrink::shrink,
    },
    error::LabelError,
};
use std::{collections::HashMap, sync::Arc};

/// Maximum number of labels of one connection. Enough for a site, a line, a model, a version and a
/// dozen groups.
const MAX_LABELS: usize = 16;
/// Maximum length of a label, in bytes. Enough for a path of names. With all its labels, a
/// connection then takes at most 2 KiB for them.
const MAX_LENGTH: usize = 128;

/// The labels of one connection, each once.
pub(crate) type LabelSet = Vec<Arc<str>>;

/// The labels of a hub.
#[derive(Default)]
pub(crate) struct Labels(Mutex<State>);

/// Both maps have the same labels. An id without labels is in neither, unless the program has
/// removed its labels.
#[derive(Default)]
struct State {
    by_id: HashMap<Arc<str>, Labelled, RandomState>,
    by_label: HashMap<Arc<str>, HashMap<Arc<str>, Handle, RandomState>, RandomState>,
}

/// A connection with its labels.
struct Labelled {
    conn: Handle,
    labels: LabelSet,
    origin: Origin,
}

/// The origin of the labels of a connection.
enum Origin {
    /// `build_id` set them for this connection.
    BuildId,
    /// The program has changed them. They then survive a replacement.
    Program,
    /// The program had changed them before the id was absent. If the id goes offline before the
    /// handshake is done, these labels of `build_id` replace them.
    Absence(LabelSet),
}

/// Removes a label from a set. Returns whether the set had it.
pub(crate) fn take(labels: &mut LabelSet, label: &str) -> bool {
    let at = labels.iter().position(|known| **known == *label);
    at.map(|at| labels.swap_remove(at)).is_some()
}

/// Returns the labels as texts.
pub(crate) fn texts(labels: &[Arc<str>]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

/// Adds a label to a set. A label that it has already is not added again.
pub(crate) fn insert(labels: &mut LabelSet, label: &str) -> Result<(), LabelError> {
    if labels.iter().any(|known| **known == *label) {
        return Ok(());
    }
    match label.len() {
        0 => Err(LabelError::Empty),
        1..=MAX_LENGTH if labels.len() < MAX_LABELS => {
            labels.push(label.into());
            Ok(())
        }
        1..=MAX_LENGTH => Err(LabelError::TooMany { maximum: MAX_LABELS }),
        bytes => Err(LabelError::TooLong { bytes, maximum: MAX_LENGTH }),
    }
}

impl Labels {
    /// Sets the labels of a new connection: those of the connection that it replaces, or that
    /// `kept` has, if the program changed them. Otherwise its own.
    pub(crate) fn open(&self, conn: &Handle, own: LabelSet, kept: Option<LabelSet>) {
        let mut state = self.lock();
        let (labels, origin) = match (state.remove(conn.id()), kept) {
            (Some((labels, Origin::Absence(_))), _) | (None, Some(labels)) => (labels, Origin::Absence(own)),
            (Some((labels, _)), _) => (labels, Origin::Program),
            (None, None) => (own, Origin::BuildId),
        };
        state.set(conn, labels, origin);
    }

    /// Notes that the handshake of this connection is done. An id that was offline has the labels
    /// of `build_id` again.
    pub(crate) fn start(&self, conn: &Handle, was_offline: bool) {
        let mut state = self.lock();
        let Some(labelled) = state.by_id.get_mut(conn.id()).filter(|labelled| labelled.conn.is_same(conn)) else {
            return;
        };
        let Origin::Absence(own) = &mut labelled.origin else { return };
        let own = std::mem::take(own);
        labelled.origin = Origin::Program;
        if was_offline {
            state.remove(conn.id());
            state.set(conn, own, Origin::BuildId);
        }
    }

    /// Removes the labels of a connection, unless another one has replaced it. Returns them if the
    /// program has changed them.
    pub(crate) fn remove(&self, conn: &Handle) -> Option<LabelSet> {
        let mut state = self.lock();
        let is_own = state.by_id.get(conn.id()).is_some_and(|labelled| labelled.conn.is_same(conn));
        if is_own { state.remove(conn.id()).map(|(labels, _)| labels) } else { None }
    }

    /// Adds a label to an open connection.
    pub(crate) fn add(&self, conn: &Handle, label: &str) -> Result<(), LabelError> {
        let mut state = self.lock();
        let mut labels = state.by_id.get(conn.id()).map(|labelled| labelled.labels.clone()).unwrap_or_default();
        let before = labels.len();
        insert(&mut labels, label)?;
        // A label that it has already is not a change.
        if labels.len() > before {
            state.set(conn, labels, Origin::Program);
        }
        Ok(())
    }

    /// Removes a label of the connection with this id. Returns whether it had the label.
    pub(crate) fn take(&self, id: &str, label: &str) -> bool {
        let mut state = self.lock();
        let Some(labelled) = state.by_id.get_mut(id) else { return false };
        if !take(&mut labelled.labels, label) {
            return false;
        }
        labelled.origin = Origin::Program;
        state.unlink(id, label);
        true
    }

    /// Returns the labels of the connection with this id.
    pub(crate) fn of(&self, id: &str) -> Vec<String> {
        let state = self.lock();
        state.by_id.get(id).map(|labelled| texts(&labelled.labels)).unwrap_or_default()
    }

    /// Returns the ids of the connections with this label.
    pub(crate) fn ids(&self, label: &str) -> Vec<String> {
        let mut ids = Vec::new();
        self.for_each(label, |conn| ids.push(conn.id().to_string()));
        ids
    }

    /// Calls `visit` for each connection with this label, under the lock. `visit` must not run code
    /// of the application.
    pub(crate) fn for_each(&self, label: &str, visit: impl FnMut(&Handle)) {
        if let Some(connections) = self.lock().by_label.get(label) {
            connections.values().for_each(visit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("the application's code does not run under this lock")
    }
}

/// The handles that these methods drop are never the last ones: the caller has the connection that
/// it replaces or removes.
impl State {
    /// Removes everything of this id. Returns the labels and their origin if the program has
    /// changed them.
    fn remove(&mut self, id: &str) -> Option<(LabelSet, Origin)> {
        let Labelled { labels, origin, .. } = self.by_id.remove(id)?;
        labels.iter().for_each(|label| self.unlink(id, label));
        shrink(&mut self.by_id);
        (!matches!(origin, Origin::BuildId)).then_some((labels, origin))
    }

    /// Sets the labels of a connection. Those that it has already must be among them.
    fn set(&mut self, conn: &Handle, labels: LabelSet, origin: Origin) {
        if !matches!(origin, Origin::BuildId) || !labels.is_empty() {
            self.link(conn, &labels);
            self.by_id.insert(conn.id().clone(), Labelled { conn: conn.clone(), labels, origin });
        }
    }

    fn link(&mut self, conn: &Handle, labels: &[Arc<str>]) {
        for label in labels {
            self.by_label.entry(label.clone()).or_default().insert(conn.id().clone(), conn.clone());
        }
    }

    fn unlink(&mut self, id: &str, label: &str) {
        let Some(connections) = self.by_label.get_mut(label) else { return };
        connections.remove(id);
        shrink(connections);
        if connections.is_empty() {
            self.by_label.remove(label);
            shrink(&mut self.by_label);
        }
    }
}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use crate::{config::Config, wire::role::Role};

    fn conn(id: &str) -> Handle {
        Handle::new(id.into(), Role::Server, &Config::default())
    }

    fn set(labels: &[&str]) -> LabelSet {
        labels.iter().map(|label| (*label).into()).collect()
    }

    fn sorted(mut texts: Vec<String>) -> Vec<String> {
        texts.sort();
        texts
    }

    /// Row S7: a label has 1 to 128 bytes, a connection at most 16 of them, and each counts once.
    #[test]
    fn labels_are_bounded_in_number_and_length() {
        let mut labels = LabelSet::new();
        assert_eq!(insert(&mut labels, ""), Err(LabelError::Empty));
        let long = "é".repeat(65);
        assert_eq!(insert(&mut labels, &long), Err(LabelError::TooLong { bytes: 130, maximum: 128 }));
        assert_eq!(insert(&mut labels, &long[2..]), Ok(()));
        for n in 1..16 {
            assert_eq!(insert(&mut labels, &n.to_string()), Ok(()));
        }
        assert_eq!(insert(&mut labels, "15"), Ok(()));
        assert_eq!(insert(&mut labels, "16"), Err(LabelError::TooMany { maximum: 16 }));
        assert_eq!(labels.len(), 16);
    }

    /// Row S7: labels that the program changed survive a replacement, others are those of the new
    /// connection.
    #[test]
    fn changed_labels_survive_a_replacement() {
        let (labels, old, new) = (Labels::default(), conn("box"), conn("box"));
        labels.open(&old, set(&["site-7"]), None);
        labels.open(&new, set(&["site-8", "b"]), None);
        assert_eq!((labels.ids("site-7"), labels.ids("site-8")), (vec![], vec!["box".to_owned()]));
        labels.add(&new, "canary").unwrap();
        assert!(labels.take("box", "b") && !labels.take("box", "b") && !labels.take("other", "b"));
        let newest = conn("box");
        labels.open(&newest, set(&["site-9"]), None);
        assert_eq!(sorted(labels.of("box")), ["canary", "site-8"]);
        labels.for_each("canary", |conn| assert!(conn.is_same(&newest)));
        assert!(labels.remove(&new).is_none(), "another one has replaced it");
        assert_eq!(labels.remove(&newest).map(|labels| labels.len()), Some(2));
        let state = labels.lock();
        assert!(state.by_id.is_empty() && state.by_label.is_empty());
    }

    /// Row S7: a label that the connection has already is not a change, so the labels are still
    /// those of `build_id`.
    #[test]
    fn a_label_that_is_there_changes_nothing() {
        let labels = Labels::default();
        let (old, new) = (conn("box"), conn("box"));
        labels.open(&old, set(&["site-7"]), None);
        labels.add(&old, "site-7").unwrap();
        labels.open(&new, set(&["site-8"]), None);
        assert_eq!(labels.of("box"), ["site-8"]);
        assert_eq!(labels.remove(&new), None);
    }

    /// Row S7: a connection whose labels were all removed does not get those of `build_id` again.
    #[test]
    fn removed_labels_stay_removed() {
        let labels = Labels::default();
        labels.open(&conn("box"), set(&["site-7"]), None);
        assert!(labels.take("box", "site-7"));
        let new = conn("box");
        labels.open(&new, set(&["site-7"]), None);
        assert_eq!((labels.of("box"), labels.ids("site-7")), (vec![], vec![]));
        let kept = labels.remove(&new);
        assert_eq!(kept, Some(vec![]));
        labels.open(&conn("box"), set(&["site-7"]), kept);
        assert!(labels.of("box").is_empty());
    }

    /// Row S7: the labels of an absent id are those of its next connection, unless the id is
    /// offline before the handshake is done.
    #[test]
    fn labels_of_an_absence_last_while_the_id_is_online() {
        for (was_offline, replaced, expected) in
            [(false, false, "canary"), (true, false, "site-7"), (false, true, "canary"), (true, true, "site-7")]
        {
            let (labels, older, newer) = (Labels::default(), conn("box"), conn("box"));
            if replaced {
                labels.open(&older, set(&["site-6"]), Some(set(&["canary"])));
                labels.open(&newer, set(&["site-7"]), None);
            } else {
                labels.open(&newer, set(&["site-7"]), Some(set(&["canary"])));
            }
            assert_eq!(labels.of("box"), ["canary"]);
            labels.start(&older, true);
            labels.start(&newer, was_offline);
            assert_eq!((labels.of("box"), labels.ids(expected)), (vec![expected.to_owned()], vec!["box".to_owned()]));
            labels.start(&newer, true);
            assert_eq!(labels.of("box"), [expected], "a start counts once");
        }
        // A change by the program is newer than both.
        let (labels, conn) = (Labels::default(), conn("box"));
        labels.open(&conn, set(&["site-7"]), Some(set(&["canary"])));
        labels.add(&conn, "b").unwrap();
        labels.start(&conn, true);
        assert_eq!(sorted(labels.of("box")), ["b", "canary"]);
        // Without labels of `build_id`, the connection has not any.
        let conn = self::conn("other");
        labels.open(&conn, set(&[]), Some(set(&["canary"])));
        labels.start(&conn, true);
        assert!(labels.of("other").is_empty() && labels.ids("canary") == ["box"]);
    }

    #[test]
    fn the_memory_of_a_label_is_freed() {
        let labels = Labels::default();
        let connections: Vec<_> = (0..1000).map(|n| conn(&n.to_string())).collect();
        connections.iter().for_each(|conn| labels.open(conn, set(&["all"]), None));
        let full = labels.lock().by_label["all"].capacity();
        for conn in &connections[1..] {
            assert!(labels.remove(conn).is_none());
        }
        let state = labels.lock();
        assert!(state.by_label["all"].capacity() < full / 8 && state.by_id.capacity() < full / 8);
    }
}
