//! The places for handshakes under a model checker: no place is lost or granted twice.
//! `tests/scripts/model.sh` runs it; `task::loom_tests` has the method.
use super::{Phase, Place, Places};
use crate::connection::loom_or_std::model::{block_on, check};
use loom::thread;
use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

/// Places without patience: the oldest silent handshake has to give way at once.
fn places(count: usize) -> Arc<Places> {
    Arc::new(Places { patience: Duration::ZERO, ..Places::new(count) })
}

/// A newcomer, which ends when it has had a place.
fn newcomer(places: &Arc<Places>) -> thread::JoinHandle<()> {
    let places = places.clone();
    thread::spawn(move || drop(block_on(places.take(None))))
}

/// Asserts that every place is free, and that nothing is counted.
fn assert_unused(places: &Places, count: usize) {
    assert_eq!(places.free.available_permits(), count, "a place was lost");
    let crowd = places.crowd();
    assert!(crowd.handshakes.is_empty() && crowd.networks.is_empty());
    assert_eq!((crowd.heavy, crowd.waiting, crowd.asked), (0, 0, 0));
}

/// Gives its place to the newcomer that needs it.
fn give_way(place: Place) {
    block_on(place.gives_way());
    drop(place);
}

#[test]
fn a_freed_place_goes_to_each_that_waits_and_to_one_at_a_time() {
    check(|| {
        let (places, held) = (places(1), Arc::new(AtomicUsize::new(1)));
        let first = block_on(places.take(None));
        first.begin(Phase::Accepted);
        let newcomers = [(); 2].map(|()| {
            let (places, held) = (places.clone(), held.clone());
            thread::spawn(move || {
                let place = block_on(places.take(None));
                assert_eq!(held.fetch_add(1, Ordering::SeqCst), 0, "the place was granted twice");
                place.begin(Phase::Accepted);
                held.fetch_sub(1, Ordering::SeqCst);
                drop(place);
            })
        });
        held.fetch_sub(1, Ordering::SeqCst);
        drop(first);
        newcomers.into_iter().for_each(|newcomer| newcomer.join().expect("a newcomer gets the place"));
        assert_unused(&places, 1);
    });
}

#[test]
fn a_silent_handshake_gives_way_and_every_newcomer_gets_its_place() {
    check(|| {
        let places = places(1);
        let first = block_on(places.take(None));
        let newcomers = [(); 2].map(|()| newcomer(&places));
        give_way(first);
        newcomers.into_iter().for_each(|newcomer| newcomer.join().expect("a newcomer gets the place"));
        assert_unused(&places, 1);
    });
}

/// The first handshake makes progress, before or after it was asked. So the second one is asked.
#[test]
fn another_handshake_gives_way_when_the_first_makes_progress() {
    check(|| {
        let places = places(2);
        let (first, second) = (block_on(places.take(None)), block_on(places.take(None)));
        let newcomer = newcomer(&places);
        let progress = thread::spawn(move || {
            first.begin(Phase::Deciding);
            first
        });
        give_way(second);
        newcomer.join().expect("the newcomer gets the place");
        let first = progress.join().expect("the first handshake goes on");
        assert!(!first.is_asked());
        drop(first);
        assert_unused(&places, 2);
    });
}

#[test]
fn a_newcomer_that_leaves_does_not_take_the_place_of_another() {
    check(|| {
        let places = places(1);
        let first = block_on(places.take(None));
        let leaving = thread::spawn({
            let places = places.clone();
            move || {
                let mut taking = pin!(places.take(None));
                let _ = taking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        });
        let newcomer = newcomer(&places);
        give_way(first);
        leaving.join().expect("the first newcomer leaves");
        newcomer.join().expect("the newcomer gets the place");
        assert_unused(&places, 1);
    });
}
