//! The state of a client under a model checker: sessions, a close, and tasks that wait for the end.
//! `tests/scripts/model.sh` runs it; `task::loom_tests` has the method.
use super::state::{ClientState, Status};
use crate::connection::loom_or_std::model::{block_on, check};
use loom::thread;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio_util::sync::CancellationToken;

/// As `Client::connect` and its session do.
fn session(status: &Status, is_closed: impl Fn() -> bool) -> bool {
    let begun = status.begin();
    if begun {
        status.set(ClientState::Connecting { attempt: 1 });
        assert_eq!(status.now(), ClientState::Connecting { attempt: 1 }, "another session has set the state");
        status.end(is_closed);
    }
    begun
}

/// As `Client::close` does.
fn close(status: &Status, stop: &CancellationToken) {
    stop.cancel();
    status.close();
}

#[test]
fn a_close_is_seen_however_it_meets_the_end_of_a_session() {
    check(|| {
        let (status, stop) = (Arc::new(Status::new()), CancellationToken::new());
        let running = thread::spawn({
            let (status, stop) = (status.clone(), stop.clone());
            move || session(&status, || stop.is_cancelled())
        });
        let closer = thread::spawn({
            let (status, stop) = (status.clone(), stop.clone());
            move || close(&status, &stop)
        });
        // `Client::closed`: it ends, because the client is closed for good.
        block_on(status.wait_for(|state, _| *state == ClientState::Closed));
        running.join().expect("the session ends");
        closer.join().expect("the closer ends");
    });
}

#[test]
fn a_new_client_is_not_taken_for_an_ended_one() {
    check(|| {
        let status = Arc::new(Status::new());
        let ending = Arc::new(AtomicBool::new(false));
        let running = thread::spawn({
            let (status, ending) = (status.clone(), ending.clone());
            move || {
                session(&status, || {
                    ending.store(true, Ordering::SeqCst);
                    false
                })
            }
        });
        let state = block_on(status.wait_for(|_, is_over| is_over));
        assert_eq!(state, ClientState::Disconnected);
        assert!(ending.load(Ordering::SeqCst), "the session has not ended");
        assert!(running.join().expect("the session ends"));
    });
}

#[test]
fn one_session_runs_at_a_time() {
    check(|| {
        let status = Arc::new(Status::new());
        let sessions = [(); 2].map(|()| {
            let status = status.clone();
            thread::spawn(move || session(&status, || false))
        });
        let begun = sessions.map(|session| session.join().expect("a session ends"));
        assert!(begun.contains(&true));
        assert_eq!(status.now(), ClientState::Disconnected);
    });
}
