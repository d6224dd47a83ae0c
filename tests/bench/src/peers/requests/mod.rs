//! The peers of the requests: each has a server that adds two numbers, and a client that asks it.
//! All of them decode and encode the same payloads.
pub(super) mod by_hand;
pub(super) mod jsonrpsee;
pub(super) mod tarpc;
pub(super) mod wsx;

use crate::{
    client::{Outcome, Requests},
    statistics::percentiles,
};
use serde::{Deserialize, Serialize};
use std::{
    error::Error,
    io::{self, Write},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// A request of 128 bytes, with [`NOTE`].
#[derive(Debug, Clone, Serialize, Deserialize, ::wsx::Message)]
pub(super) struct Add {
    a: u32,
    b: u32,
    note: String,
}

/// Its reply.
#[derive(Debug, Clone, Serialize, Deserialize, ::wsx::Message)]
pub(super) struct Sum {
    sum: u32,
    note: String,
}

/// A text that the server sends back, so that a message has the length of the bursts.
const NOTE: &str =
    "the quick brown fox jumps over the lazy dog, and the five boxing wizards jump quickly over it too..";

impl Add {
    /// Returns the reply.
    fn answer(self) -> Sum {
        Sum { sum: self.a + self.b, note: self.note }
    }
}

/// A client's connection.
pub(super) trait Client: Clone + Send + Sync + 'static {
    /// Sends a request, and returns its reply.
    fn add(&self, add: Add) -> impl Future<Output = Result<Sum, Fault>> + Send;
}

/// Runs the client process: see [`crate::client`]. Its runtime is that of the servers.
///
/// `connect` opens a connection to the server at this port.
pub(super) fn ask<C: Client, F>(work: Requests, connect: impl Fn(u16) -> F) -> Result<(), Fault>
where
    F: Future<Output = Result<C, Fault>> + Send + 'static,
{
    let runtime = tokio::runtime::Runtime::new()?;
    let clients = (0..work.connections)
        .map(|_| runtime.block_on(runtime.spawn(connect(work.port)))?)
        .collect::<Result<Vec<C>, Fault>>()?;
    let run = |milliseconds| {
        let phase = phase(clients.clone(), work.outstanding, Duration::from_millis(milliseconds));
        // On a worker, like the connections.
        runtime.block_on(runtime.spawn(phase))?
    };
    run(work.warm_up_ms)?;
    say("warm")?;
    let started = Instant::now();
    let phases = run(work.measure_ms)?;
    let took = started.elapsed();
    say("done")?;
    let mut latencies: Vec<(f64, u32)> = phases.concat().into_iter().map(|latency| (latency, 1)).collect();
    let requests = latencies.len() as u64;
    let [p50_us, p95_us, p99_us] =
        percentiles(&mut latencies, [0.50, 0.95, 0.99]).ok_or("the client has not sent a request")?;
    let outcome = Outcome { requests, took_us: micros(took), p50_us, p95_us, p99_us };
    writeln!(io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

/// Prints a line, and waits for the answer.
fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    match io::stdin().read_line(&mut String::new())? {
        0 => Err(io::Error::other("the comparison has ended")),
        _ => Ok(()),
    }
}

/// Keeps requests outstanding on each connection for this time. Returns how long each took, in
/// microseconds.
async fn phase<C: Client>(clients: Vec<C>, outstanding: u32, duration: Duration) -> Result<Vec<Vec<f64>>, Fault> {
    let until = Instant::now() + duration;
    let mut workers = JoinSet::new();
    for client in &clients {
        for number in 0..outstanding {
            workers.spawn(work(client.clone(), 1000 + number, until));
        }
    }
    let mut latencies = Vec::new();
    while let Some(worker) = workers.join_next().await {
        latencies.push(worker??);
    }
    Ok(latencies)
}

/// Sends one request after the other.
async fn work<C: Client>(client: C, a: u32, until: Instant) -> Result<Vec<f64>, Fault> {
    const B: u32 = 2000;
    let mut latencies = Vec::new();
    let mut since = Instant::now();
    loop {
        let Sum { sum, note } = client.add(Add { a, b: B, note: NOTE.to_owned() }).await?;
        if sum != a + B || note != NOTE {
            return Err(format!("wrong reply: {sum} and {note:?} to {a} and {B}").into());
        }
        let now = Instant::now();
        latencies.push(micros(now - since));
        if now >= until {
            return Ok(latencies);
        }
        since = now;
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    #[test]
    fn a_request_has_the_length_of_a_burst() {
        let add = Add { a: 1000, b: 2000, note: NOTE.to_owned() };
        assert_eq!(serde_json::to_string(&add).unwrap().len(), 128);
    }

    /// Replies at once, and counts; its hundredth sum is wrong.
    #[derive(Clone, Default)]
    struct Wrong(Arc<AtomicU32>);

    impl Client for Wrong {
        async fn add(&self, add: Add) -> Result<Sum, Fault> {
            let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::task::yield_now().await;
            let mut sum = add.answer();
            sum.sum += u32::from(count == 100);
            Ok(sum)
        }
    }

    #[tokio::test]
    async fn a_phase_has_a_latency_of_each_request() {
        let client = Wrong::default();
        let latencies = phase(vec![client.clone(), client.clone()], 3, Duration::ZERO).await.unwrap();
        assert_eq!(latencies.len(), 6);
        assert_eq!(latencies.concat().len(), client.0.load(Ordering::Relaxed) as usize);
    }

    #[tokio::test]
    async fn a_wrong_sum_fails_the_phase() {
        let failed = phase(vec![Wrong::default()], 1, Duration::from_secs(60)).await.unwrap_err();
        assert!(failed.to_string().starts_with("wrong reply: 3001 and"), "{failed}");
    }
}
