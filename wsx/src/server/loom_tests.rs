//! The registry of a hub, and its counts, under a model checker. `tests/scripts/model.sh` runs it;
//! `task::loom_tests` has the method.
use super::{
    admission::{Admission, Limits},
    duplicates::{DuplicateOptions, Duplicates},
    hub::Hub,
    lifecycle::Lifecycle,
    shutdown,
};
use crate::{
    config::Config,
    connection::{
        handle::Handle,
        loom_or_std::model::{block_on, check},
        queue::Taken,
    },
    dispatch::program::Program,
    protocol::endpoint::Untyped,
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
    let duplicates = Duplicates::new(DuplicateOptions::default());
    Hub::from_parts(program, Arc::new(Admission::new(Limits::default())), duplicates, None)
}

/// Adds a connection, as a handshake does.
fn open(hub: &Hub<Untyped>) -> Option<(Handle, TaskTrackerToken)> {
    let Lifecycle { tasks, stop, .. } = hub.lifecycle();
    let token = tasks.token();
    let conn = hub.open("box".into(), None, |_| if stop.is_cancelled() { Err(()) } else { Ok(()) }).ok()?;
    Some((conn, token))
}

/// Waits for the close, then removes the connection, as its task does.
fn run(hub: &Hub<Untyped>, conn: &Handle, token: TaskTrackerToken) {
    block_on(poll_fn(|cx| {
        conn.queue().begin_poll(cx.waker());
        assert!(matches!(conn.queue().take(), Taken::Nothing));
        if conn.is_closed() { Poll::Ready(()) } else { Poll::Pending }
    }));
    hub.remove(conn);
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
