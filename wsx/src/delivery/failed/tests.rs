use super::*;
use crate::delivery::wire::{Acknowledgement, FailedMessage};

fn numbers(failed: &[Failed]) -> Vec<u64> {
    failed.iter().map(|failed| failed.number).collect()
}

fn failures() -> Failures {
    Failures::new(MAX_RANGES)
}

/// Row G6: an acknowledgement has the failures up to its numbers, each once on a connection.
#[test]
fn an_acknowledgement_has_the_failures_up_to_its_numbers() {
    let mut failures = failures();
    for number in 1..=5 {
        failures.received();
        failures.add(Lane::Seq, number, "failed", "no space");
    }
    failures.add(Lane::Latest, 3, "failed", "no space");
    assert_eq!(failures.ranges.len(), 2, "following numbers with the same reason are one range");
    assert_eq!(failures.stored([2, 0]), [(0, 1, 2, "failed")]);
    let first = failures.take([2, 2]);
    assert_eq!(numbers(&first), [1, 2]);
    assert_eq!((&*first[0].code, &*first[0].message), ("failed", "no space"));
    assert_eq!(numbers(&failures.take([2, 2])), [0; 0]);
    assert_eq!(failures.stored([5, 3]), [(0, 1, 5, "failed"), (1, 3, 3, "failed")]);
    let rest: Vec<_> = failures.take([5, 3]).iter().map(|failed| (failed.lane, failed.number)).collect();
    assert_eq!(rest, [(Lane::Seq, 3), (Lane::Seq, 4), (Lane::Seq, 5), (Lane::Latest, 3)]);
    failures.begin(4);
    assert_eq!(numbers(&failures.take([5, 3])), [4, 5, 3], "the peer keeps the messages from 4 on");
}

/// Row G6: a failure is forgotten only when its sender knows it: it has the answer to its begin
/// before it sends a message, and an acknowledgement before its window is full.
#[test]
fn a_failure_is_forgotten_when_its_sender_knows_it() {
    let mut failures = failures();
    failures.begin(1);
    failures.received();
    failures.add(Lane::Seq, 1, "failed", "");
    for _ in 0..10_000 {
        failures.received();
    }
    assert_eq!(failures.ranges.len(), 1, "it was not acknowledged");
    assert_eq!(numbers(&failures.take([1, 0])), [1]);
    for _ in 0..window::MAX_MESSAGES {
        failures.received();
        assert_eq!(failures.ranges.len(), 1, "these may have been on their way");
    }
    for _ in 0..LOOK_EVERY {
        failures.received();
    }
    assert_eq!((failures.ranges.len(), failures.bytes), (0, 0));

    failures.add(Lane::Latest, 7, "failed", "");
    failures.add(Lane::Latest, 9, "failed", "");
    failures.begin(1);
    assert_eq!(numbers(&failures.take([1, 8])), [7]);
    failures.received();
    assert_eq!(numbers(&failures.take([1, 9])), [9], "the peer has the answer to its begin");
    failures.begin(1);
    assert_eq!(numbers(&failures.take([1, 9])), [9]);
}

/// Rows G6 and G15: a full list of failures rejects messages, and forgets none. A sender with the
/// window of wsx never fills it.
#[test]
fn a_full_list_forgets_no_failure() {
    let mut small = Failures::new(2);
    small.add(Lane::Seq, 1, "failed", "");
    small.add(Lane::Seq, 2, "failed", "");
    assert!(!small.is_full(), "they are one range");
    small.add(Lane::Seq, 4, "failed", "");
    assert!(small.is_full());
    small.add(Lane::Seq, 6, "failed", "");
    assert_eq!(numbers(&small.take([6, 0])), [1, 2, 4, 6], "handlers that ran at that time may fail");

    let mut failures = failures();
    let mut number = 0;
    for connection in 0..20 {
        failures.begin(number + 1);
        failures.take([number, number]);
        // Every second message fails, and the connection breaks before the last acknowledgement.
        for n in 0..3 * window::MAX_MESSAGES as u64 {
            failures.received();
            number += 1;
            let lane = if connection % 2 == 0 { Lane::Seq } else { Lane::Latest };
            failures.add(lane, 2 * number, "failed", "");
            assert!(!failures.is_full());
            if n % window::MAX_MESSAGES as u64 == 0 {
                failures.take([2 * number, 2 * number]);
            }
        }
    }
}

/// Row G15: the texts of failures are bounded, in memory and in an acknowledgement. Their codes
/// stay.
#[test]
fn the_texts_of_failures_are_bounded() {
    let mut failures = failures();
    let text = "é".repeat(1000);
    for number in 1..=2000 {
        failures.add(Lane::Seq, 2 * number, &format!("{number}{}", "x".repeat(1000)), &text);
    }
    assert!(failures.memory() < 400_000, "{} bytes", failures.memory());
    let failed = failures.take([4000, 0]);
    assert_eq!((failed.len(), failed.last().unwrap().number), (window::MAX_MESSAGES, 4000));
    assert!(failed.iter().all(|failed| failed.code.starts_with(&(failed.number / 2).to_string())));
    assert!(failed.iter().all(|failed| failed.code.len() <= MAX_CODE));
    failures.begin(1);
    failures.received();
    failures.begin(4001);
    assert_eq!((failures.bytes, failures.memory()), (0, 0));

    for number in 1..=2000 {
        failures.add(Lane::Seq, number, "failed", &text);
    }
    assert!(failures.memory() < 1000, "{} bytes", failures.memory());
    let failed = failures.take([1000, 0]);
    assert_eq!((failed.len(), failed[0].message.len()), (1000, MAX_TEXT));
    let bytes: usize = failed.iter().map(|failed| failed.code.len() + failed.message.len()).sum();
    assert!(bytes <= MAX_IN_ACKNOWLEDGEMENT + window::MAX_MESSAGES * SHORT_CODE, "{bytes} bytes");
    assert!(failed.iter().all(|failed| &*failed.code == "failed"));
}

/// Row G6: a store keeps the failures with their codes.
#[test]
fn a_store_keeps_the_failures() {
    let mut failures = failures();
    for (number, code) in [(1, "failed"), (2, "failed"), (3, "bad_data"), (5, "bad_data")] {
        failures.add(Lane::Seq, number, code, "a text");
    }
    failures.take([1, 0]);
    let stored = failures.stored([4, 0]);
    assert_eq!(stored, [(0, 1, 2, "failed"), (0, 3, 3, "bad_data")]);
    let mut restored = Failures::new(MAX_RANGES);
    restored.restore(stored.into_iter().map(|(lane, from, to, code)| (lane, from, to, code.into())).collect());
    restored.restore(vec![(1, 4, 4, "failed".into()), (1, 9, 8, "wrong".into())]);
    let failed = restored.take([4, 4]);
    assert_eq!(numbers(&failed), [1, 2, 3, 4]);
    assert_eq!((&*failed[2].code, &*failed[2].message, failed[3].lane), ("bad_data", "", Lane::Latest));
}

/// Row G15: an acknowledgement of a whole window fits into a small maximum length of messages.
#[test]
fn an_acknowledgement_of_a_whole_window_is_short() {
    let mut failures = failures();
    let first = 1_800_000_000_000_001;
    for number in first..first + 2 * window::MAX_MESSAGES as u64 {
        failures.add(Lane::Seq, number, "not_handled", "no space is left on the device");
    }
    let failed = failures.take([u64::MAX, 0]);
    assert_eq!(failed.len(), window::MAX_MESSAGES);
    let failed = failed.iter().map(FailedMessage::from).collect();
    let text = Acknowledgement { epoch: "0123456789abcdef".into(), seq: first, latest: first, failed }.text();
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}
