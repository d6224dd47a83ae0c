//! Measures what an envelope adds to decoding its data, at 200 bytes and at 2 KB.
//!
//! ```text
//! cargo run --release -p wsx-programs --bin decode_cost
//! ```
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, hint::black_box, time::Instant};
use wsx::{__private::Bench, Untyped};

/// The median of this many rounds counts, so that a disturbed round does not matter.
const ROUNDS: usize = 101;
const TIMES: u32 = 2_000;

#[derive(Serialize, Deserialize)]
struct Telemetry<'a> {
    #[serde(borrow)]
    device: Cow<'a, str>,
    celsius: f64,
    humidity: f64,
    battery: u8,
    uptime: u64,
    online: bool,
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    note: Cow<'a, str>,
}

fn main() {
    for size in [200, 2048] {
        let (data, text) = texts(size);
        let (mut alone, mut enveloped, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // One right after the other, so that both run under the same conditions.
            let payload = nanoseconds(|| serde_json::from_str::<Telemetry<'_>>(black_box(&data)).is_ok());
            let envelope = nanoseconds(|| Bench::<Untyped>::decode::<Telemetry<'_>>(black_box(&text)).is_some());
            ratios.push(envelope / payload);
            alone.push(payload);
            enveloped.push(envelope);
        }
        println!(
            "{} bytes: payload alone {:.0} ns, in its envelope {:.0} ns, {:.2} times as much",
            text.len(),
            median(alone),
            median(enveloped),
            median(ratios)
        );
    }
}

/// Returns a payload, and an envelope of this size around it.
fn texts(size: usize) -> (String, String) {
    let mut telemetry = Telemetry {
        device: "box-7".into(),
        celsius: 21.5,
        humidity: 40.25,
        battery: 87,
        uptime: 1_732_969_200,
        online: true,
        site: "weir".into(),
        note: "".into(),
    };
    let enveloped = |telemetry: &Telemetry<'_>| {
        let data = serde_json::to_string(telemetry).expect("telemetry can be encoded");
        let text = format!(r#"{{"ver":1,"type":"telemetry","ts":1732969200,"data":{data}}}"#);
        (data, text)
    };
    let missing = size - enveloped(&telemetry).1.len();
    telemetry.note = "behind the weir ".chars().cycle().take(missing).collect();
    enveloped(&telemetry)
}

fn nanoseconds(mut once: impl FnMut() -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..TIMES {
        assert!(black_box(once()));
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
