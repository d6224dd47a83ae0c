//! Every order of events between a sender and a receiver of kept messages, within small bounds.
//!
//! The decisions are the real ones: [`Outgoing`](super::outgoing::Outgoing) and
//! [`Incoming`](super::incoming::Incoming). Stores, link, handlers and crashes are a model, in
//! [`world`]. Each state is visited once, and an error has the shortest way to it. One thing goes
//! wrong in a run. `tests/scripts/delivery_model.sh` does more: longer scripts, and several faults.
mod world;

use crate::policy::{Delivery, Policy};
use std::{
    collections::{HashMap, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};
use world::{Script, Step, World};

const SEQ: Policy = Policy::of(Delivery::AtLeastOnce);
const LATEST: Policy = Policy::of(Delivery::Latest);
const STATE: Policy = Policy::of(Delivery::State);
/// As `SEQ`, of another type.
const OTHER: Policy = SEQ.dropping_oldest();
const BRIEF: Policy = SEQ.with_ttl(1);

/// Visits every state of these scripts, and of the long ones if `WSX_MODEL_FAULTS` says how much
/// goes wrong.
fn check(name: &str, scripts: &[Script], long: &[Script]) {
    let faults = std::env::var("WSX_MODEL_FAULTS").ok().map(|faults| faults.parse().expect("a number"));
    let long = if faults.is_some() { long } else { &[] };
    let faults = faults.unwrap_or(1);
    let scripts = scripts.iter().chain(long);
    let states: usize = scripts.map(|script| explore(&Script { faults, ..script.clone() })).sum();
    println!("{name}, at most {faults} faults: {states} states");
}

/// Visits every state, and returns their number.
///
/// The steps that are not faults never lead back. So after the last fault every way ends in a state
/// without a next step, and all that was promised must have happened there.
fn explore(script: &Script) -> usize {
    let first = World::new(script);
    let mut known = HashMap::from([(digest(&first), 0)]);
    // For each state, the one before it and the step from there.
    let mut ways: Vec<(u32, Option<Step>)> = vec![(0, None)];
    // From which state to which one the steps lead that are not faults.
    let mut progress: Vec<(u32, u32)> = Vec::new();
    let mut queue = VecDeque::from([(0, first)]);
    while let Some((at, world)) = queue.pop_front() {
        let (steps, faults) = world.steps();
        if let Some(missing) = world.missing_at_rest().filter(|_| steps.is_empty()) {
            panic!("{missing}, in {script:?} after\n{}", way(&ways, at, None));
        }
        let by_themselves = steps.len();
        for (place, step) in steps.into_iter().chain(faults).enumerate() {
            let mut next = world.clone();
            if let Err(error) = next.act(step) {
                panic!("{error}, in {script:?} after\n{}", way(&ways, at, Some(step)));
            }
            let new = u32::try_from(ways.len()).expect("the states fit into memory");
            let to = *known.entry(digest(&next)).or_insert(new);
            if to == new {
                queue.push_back((new, next));
                ways.push((at, Some(step)));
            }
            if place < by_themselves {
                progress.push((at, to));
            }
        }
    }
    assert!(never_leads_back(ways.len(), &progress), "steps that are not faults lead back, in {script:?}");
    ways.len()
}

/// Whether no way along these steps comes to a state again. The steps are in the order of the
/// states that they lead from.
fn never_leads_back(states: usize, steps: &[(u32, u32)]) -> bool {
    let mut before = vec![0_u32; states];
    steps.iter().for_each(|(_, to)| before[*to as usize] += 1);
    let mut ready: Vec<u32> = (0..).zip(&before).filter(|(_, before)| **before == 0).map(|(state, _)| state).collect();
    let mut left = states;
    while let Some(state) = ready.pop() {
        left -= 1;
        let first = steps.partition_point(|(from, _)| *from < state);
        for (_, to) in steps[first..].iter().take_while(|(from, _)| *from == state) {
            before[*to as usize] -= 1;
            if before[*to as usize] == 0 {
                ready.push(*to);
            }
        }
    }
    left == 0
}

/// Identifies a state: two of a billion states have the same digest with a probability of 10⁻²¹.
fn digest(world: &World) -> [u64; 2] {
    [0, 1].map(|salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, world).hash(&mut hasher);
        hasher.finish()
    })
}

fn way(ways: &[(u32, Option<Step>)], mut at: u32, last: Option<Step>) -> String {
    let mut steps: Vec<_> = last.into_iter().collect();
    while let (before, Some(step)) = ways[at as usize] {
        steps.push(step);
        at = before;
    }
    steps.iter().rev().map(|step| format!("{step:?}\n")).collect()
}

/// Rows G4, G7, G9: over links that break and programs that are killed, each message is handled
/// once and in order, while the receiver has its store.
#[test]
fn each_message_is_handled_once_and_in_order() {
    check("messages", &[Script::of(&[SEQ; 2])], &[Script::of(&[SEQ; 3])]);
}

/// Rows G4, G7: handlers that run at the same time end in any order, and each message is still
/// handled once.
#[test]
fn handlers_may_end_in_any_order() {
    let script = |messages| Script { concurrent: true, ..Script::of(messages) };
    check("handlers", &[script(&[SEQ; 2])], &[script(&[SEQ; 3])]);
}

/// Rows G4, G12: of the newest values, the last one is handled, and never an old one after it. A
/// receiver that forgets a state gets it again.
#[test]
fn the_newest_value_is_handled_in_the_end() {
    let forgetful = |messages| Script { receiver_stores: false, ..Script::of(messages) };
    let other = Script { breaks: 0, receiver_crashes: 0, ..Script::of(&[LATEST, STATE, LATEST]) };
    let long = [
        Script::of(&[STATE, STATE, SEQ]),
        Script::of(&[LATEST, STATE, LATEST]),
        Script::of(&[LATEST, LATEST, SEQ]),
        forgetful(&[STATE, STATE, SEQ]),
    ];
    check("newest values", &[Script::of(&[STATE; 2]), forgetful(&[STATE; 2]), other], &long);
}

/// Row G8: a message that expires, is dropped, or cannot be stored, leaves a gap that the receiver
/// learns of, or was never accepted.
#[test]
fn no_message_is_missing_in_silence() {
    let failing = |messages| Script { failed_commits: 1, ..Script::of(messages) };
    let dropping = |messages: usize| Script { room: 1, ..Script::of(&vec![SEQ.dropping_oldest(); messages]) };
    let expiring = Script { receiver_crashes: 0, ..Script::of(&[SEQ.with_ttl(1), SEQ]) };
    let long =
        [Script::of(&[SEQ.with_ttl(1), SEQ]), Script::of(&[LATEST.with_ttl(1), SEQ]), dropping(3), failing(&[SEQ; 3])];
    check("gaps", &[expiring, dropping(2), failing(&[SEQ; 2])], &long);
}

/// Row G30: messages that an old receiver does not understand are held until it is updated, and are
/// then handled once and in order. The others are not delayed, and no number is taken for another.
#[test]
fn held_messages_are_handled_after_an_update() {
    let old = |unread, messages| Script { unread: Some(unread), breaks: 0, ..Script::of(messages) };
    let calm = |unread, messages| Script { receiver_crashes: 0, ..old(unread, messages) };
    let back = |unread, messages| Script { sender_crashes: 0, downgrades: 1, ..calm(unread, messages) };
    let forgetful = |script| Script { receiver_stores: false, ..script };
    let short = [
        calm(SEQ, &[SEQ, OTHER]),
        back(SEQ, &[SEQ; 2]),
        calm(STATE, &[STATE; 2]),
        forgetful(back(STATE, &[STATE])),
        calm(BRIEF, &[BRIEF]),
    ];
    let long = [
        old(SEQ, &[SEQ, OTHER]),
        calm(SEQ, &[SEQ, SEQ, OTHER]),
        back(SEQ, &[SEQ, OTHER, SEQ]),
        forgetful(back(STATE, &[STATE; 2])),
        calm(LATEST, &[LATEST, STATE]),
        back(BRIEF, &[BRIEF, OTHER]),
    ];
    check("versions", &short, &long);
}

/// Rows G3, G7: after an older copy of a store was put back, what it still has is handled, what
/// was handled before is not handled again, and new messages are not taken for old ones.
#[test]
fn an_older_copy_of_a_store_hides_no_message() {
    let forgetful = Script { receiver_stores: false, ..Script::of(&[SEQ; 2]) };
    let receiver = Script { receiver_rollbacks: 1, ..Script::of(&[SEQ; 2]) };
    let sender = |messages| Script { sender_rollbacks: 1, ..Script::of(messages) };
    let alone = |messages| Script { breaks: 0, receiver_crashes: 0, ..sender(messages) };
    let clock_too = Script { bad_clock: true, ..alone(&[SEQ; 2]) };
    let long = [sender(&[SEQ; 3]), Script { bad_clock: true, ..sender(&[SEQ; 3]) }, receiver, sender(&[STATE; 2])];
    check("older copies", &[forgetful, clock_too, alone(&[STATE; 2])], &long);
}
