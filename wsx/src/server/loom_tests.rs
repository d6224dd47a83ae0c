//! The registry of a hub, and its counts, under a model checker. `tests/scripts/model.sh` runs it;
//! `task::loom_tests` has the method.
use super::{
    admission::{Admission, Limits},
    duplicates::DuplicateOptions,
    hub::Hub,
    lifecycle::Lifecycle,
    presence::{PresenceChange, PresenceChanges, PresenceOptions},
    shutdown,
};
use crate::{
    closed::{Closed, ClosedBy},
    config::Config,
    connection::{
        handle::Handle,
        loom_or_std::model::{block_on, check},
        queue::Taken,
    },
    dispatch::program::Program,
    protocol::endpoint::Untyped,
    wire::close_code::CloseCode,
};
use loom::{sync::atomic::AtomicUsize, thread};
use std::{
    future::poll_fn,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};
use tokio_util::task::task_tracker::TaskTrackerToken;

fn hub() -> Hub<Untyped> {
    let program = Program::without_handlers(Untyped::default(), Config::default());
    let duplicates = DuplicateOptions::default();
    let admission = Arc::new(Admission::new(Limits::default()));
    Hub::from_parts(program, admission, duplicates, PresenceOptions::default(), None)
}

/// Adds a connection, as a handshake does.
fn open(hub: &Hub<Untyped>) -> Option<(Handle, TaskTrackerToken)> {
    let Lifecycle { tasks, stop, .. } = hub.lifecycle();
    let token = tasks.token();
    let conn = hub
        .open("box".into(), Vec::new(), None, None, |_, _| if stop.is_cancelled() { Err(()) } else { Ok(()) })
        .ok()?;
    Some((conn, token))
}

/// Waits for the close, then removes the connection, as its task does.
fn run(hub: &Hub<Untyped>, conn: &Handle, token: TaskTrackerToken) {
    block_on(poll_fn(|cx| {
        conn.queue().begin_poll(cx.waker());
        assert!(matches!(conn.queue().take(), Taken::Nothing));
        if conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }));
    hub.remove(conn, &Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
    drop(token);
}

#[test]
fn a_shutdown_closes_every_connection_that_was_admitted() {
    check(|| {
        let hub = hub();
        let handshakes = [(); 2].map(|()| {
            let hub = hub.clone();
            thread::spawn(move || {
                if let Some((conn, token)) = open(&hub) {
                    run(&hub, &conn, token);
                }
            })
        });
        // loom switches threads at locks. So a connection may be added here, or be about to be.
        assert!(hub.len() <= 1);
        hub.lifecycle().stop.cancel();
        let cut_off = block_on(shutdown::run(&hub, Duration::from_secs(60)));
        assert_eq!((cut_off, hub.len()), (0, 0));
        handshakes.into_iter().for_each(|handshake| handshake.join().expect("a handshake ends"));
    });
}

#[test]
fn of_the_connections_with_one_id_one_is_open_and_in_the_hub() {
    check(|| {
        let hub = hub();
        let (first, token) = open(&hub).expect("nobody shuts down");
        let task = thread::spawn({
            let (hub, first) = (hub.clone(), first.clone());
            move || run(&hub, &first, token)
        });
        let newer = [(); 2].map(|()| {
            let hub = hub.clone();
            thread::spawn(move || {
                let (conn, token) = open(&hub).expect("nobody shuts down");
                if conn.is_closed() {
                    run(&hub, &conn, token);
                }
                conn
            })
        });
        let newer = newer.map(|newer| newer.join().expect("a handshake ends"));
        task.join().expect("the first connection is replaced");
        let open: Vec<_> = newer.iter().filter(|conn| !conn.is_closed()).collect();
        assert_eq!(open.len(), 1);
        assert!(hub.registry().get("box").is_some_and(|conn| conn.is_same(open[0])));
        assert_eq!(hub.len(), 1);
    });
}

/// Returns the changes of the id after the first snapshot: whether it came online, or went offline.
fn changes_to_the_end(hub: &Hub<Untyped>, mut changes: PresenceChanges) -> Vec<bool> {
    hub.roster().end();
    let mut found = Vec::new();
    while let Some(change) = block_on(changes.recv()) {
        match change {
            PresenceChange::Online(_) => found.push(true),
            PresenceChange::Offline(_) => found.push(false),
            PresenceChange::Snapshot { .. } => unreachable!("the reader is not slow"),
        }
    }
    found
}

#[test]
fn a_replaced_id_stays_online_and_a_failed_replacement_takes_it_offline_once() {
    check(|| {
        let hub = hub();
        let (first, token) = open(&hub).expect("nobody shuts down");
        hub.start(&first);
        let mut changes = hub.presence().changes();
        assert!(matches!(block_on(changes.recv()), Some(PresenceChange::Snapshot { .. })));
        let task = thread::spawn({
            let hub = hub.clone();
            move || run(&hub, &first, token)
        });
        let newer = [true, false].map(|succeeds| {
            let hub = hub.clone();
            thread::spawn(move || {
                let (conn, token) = open(&hub).expect("nobody shuts down");
                if succeeds {
                    hub.start(&conn);
                }
                // The one that was replaced, and the one whose handshake fails.
                if conn.is_closed() || !succeeds {
                    hub.remove(&conn, &Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
                }
                drop(token);
                conn
            })
        });
        let [newer, failed] = newer.map(|newer| newer.join().expect("a handshake ends"));
        task.join().expect("the first connection is replaced");
        // `newer` is open if it came last, and otherwise `failed` has replaced it.
        let is_open = !newer.is_closed();
        if !is_open {
            hub.remove(&newer, &Closed::new(CloseCode::NORMAL, "", ClosedBy::Us));
        }
        assert!(!failed.is_started() && hub.presence().get("box").is_some_and(|peer| peer.online == is_open));
        let found = changes_to_the_end(&hub, changes);
        // An id is not offline twice in a row, nor online.
        let is_online = found.iter().fold(true, |online, change| {
            assert_ne!(online, *change);
            *change
        });
        assert!(!is_online, "the hub has ended");
    });
}

#[test]
fn an_address_never_has_more_than_its_limit_and_its_count_comes_back() {
    check(|| {
        let limits = Limits { connections_per_address: 1, ..Limits::default() };
        let admission = Arc::new(Admission::new(limits));
        let address: IpAddr = [192, 0, 2, 1].into();
        let held = Arc::new(AtomicUsize::new(0));
        let peers = [(); 3].map(|()| {
            let (admission, held) = (admission.clone(), held.clone());
            thread::spawn(move || {
                let Ok(counted) = admission.count(Some(address)) else { return false };
                assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0, "two of one address");
                held.fetch_sub(1, Ordering::SeqCst);
                drop(counted);
                true
            })
        });
        let admitted = peers.map(|peer| peer.join().expect("a peer ends"));
        assert!(admitted.contains(&true));
        assert!(admission.count(Some(address)).is_ok(), "the counts have not come back");
    });
}
