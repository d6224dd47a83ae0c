//! One measurement: one workload on one fresh server, and for requests with one fresh client.
use crate::{
    client::{Client, Requests},
    load::{Fault, Load, Phase, Until},
    machine::{self, Cores},
    message::{Kind, Script},
    peers::Start,
    server::Server,
    statistics::percentiles,
    workload::{Shape, Workload},
};
use std::time::{Duration, Instant};

/// How long the phases of a measurement take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Not measured: buffers, caches and Node's compiler reach their steady state.
    warm_up: Duration,
    measure: Duration,
    /// Of each step of the growth.
    step: Duration,
    /// Maximum number of connections of the growth.
    growth: usize,
    handshakes: usize,
    /// Minimum number of batches or publishes, however long they take.
    at_least: u32,
    /// Maximum number of connections: from the limit of open files, or for lack of time.
    pub(crate) most_connections: usize,
}

impl Pace {
    pub(crate) fn thorough(most_connections: usize) -> Self {
        Self {
            warm_up: Duration::from_millis(300),
            measure: Duration::from_secs(1),
            // At 10,000 messages a second, each of 19,000 connections sends a message.
            step: Duration::from_secs(2),
            growth: most_connections,
            handshakes: 3000,
            at_least: 20,
            most_connections,
        }
    }

    /// Every peer runs in less than a minute.
    pub(crate) fn quick(most_connections: usize) -> Self {
        Self {
            warm_up: Duration::from_millis(30),
            measure: Duration::from_millis(100),
            step: Duration::from_millis(100),
            growth: 1000,
            handshakes: 400,
            at_least: 3,
            most_connections,
        }
    }
}

/// Messages each second of the growth, over all connections.
const GROWTH_RATE: u32 = 10_000;

/// The results of one measurement. A value that does not apply is `None`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Maximum number of connections.
    pub(crate) connections: usize,
    /// Server CPU time for each message, delivery or handshake in microseconds: in all, in user
    /// mode, in the kernel. For each request it is the CPU time of server and client.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) user_us: Option<f64>,
    pub(crate) system_us: Option<f64>,
    /// The CPU time of the load generator for each, or of the client for each request.
    pub(crate) load_us: Option<f64>,
    /// Requests each second.
    pub(crate) per_second: Option<f64>,
    /// The share of its core that the server used.
    pub(crate) busy: Option<f64>,
    pub(crate) p50_us: Option<f64>,
    pub(crate) p95_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
    /// Resident memory above that of the empty server, for each connection.
    pub(crate) rss_kb_per_conn: Option<f64>,
    /// The same after each connection has sent a message and received its reply.
    pub(crate) rss_kb_per_conn_used: Option<f64>,
    /// Resident memory above that of the empty server that remains after the messages.
    pub(crate) rss_kb_left: Option<f64>,
    /// CPU time of each step of the growth, with its number of connections.
    pub(crate) steps: Vec<(usize, f64)>,
    /// CPU time of the last step divided by that of the first.
    pub(crate) growth: Option<f64>,
}

/// Starts the server, runs the workload, and stops the server.
pub(crate) fn measure(workload: &Workload, start: &Start, cores: Cores, pace: Pace) -> Result<Sample, Fault> {
    let Some(kind) = workload.kind else { return requests(workload, start, cores, pace) };
    let server = Server::start(&start.server, cores.server, cores.load)?;
    let batch = if let Shape::Exchange { batch, .. } = workload.shape { batch } else { 1 };
    let script = Script::new(kind, workload.length, batch);
    let mut load = Load::new(server.address, script)?;
    // The first connection makes the server load everything that every connection needs.
    load.open(1)?;
    let empty_kb = if workload.asks_for_memory() { server.resident_kb_at_rest()? } else { 0 };
    let mut bench = Bench { load, server, empty_kb, pace, sample: Sample::default() };
    match workload.shape {
        Shape::Exchange { connections, .. } => bench.exchange(connections, workload),
        Shape::Broadcast { connections, in_flight } => bench.broadcast(connections, in_flight, kind, workload.length),
        Shape::Idle { connections } => bench.idle(connections),
        Shape::Handshake => bench.handshake(),
        Shape::Growth { connections } => bench.growth(connections),
        Shape::Requests { .. } => Err(Fault("the load does not send requests".into())),
    }?;
    Ok(bench.sample)
}

/// Measures the server and the client of a peer together.
fn requests(workload: &Workload, start: &Start, cores: Cores, pace: Pace) -> Result<Sample, Fault> {
    let (Shape::Requests { connections, outstanding }, Some(client)) = (workload.shape, &start.client) else {
        return Err(Fault("the peer does not have a client".into()));
    };
    let server = Server::start(&start.server, cores.server, cores.load)?;
    let work = Requests {
        port: server.address.port(),
        connections,
        outstanding,
        warm_up_ms: millis(pace.warm_up),
        measure_ms: millis(pace.measure),
    };
    let mut client = Client::start(client, work, cores)?;
    let before = (server.cpu_time()?, client.cpu_time()?);
    client.run()?;
    let after = (server.cpu_time()?, client.cpu_time()?);
    let outcome = client.outcome()?;
    let (cpu, user_share) = (after.0 + after.1).since(before.0 + before.1);
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / outcome.requests as f64;
    let of_server = after.0.since(before.0).0;
    let took = outcome.took_us / 1e6;
    Ok(Sample {
        connections,
        cpu_us: Some(per_request(cpu)),
        user_us: user_share.map(|share| per_request(cpu) * share),
        system_us: user_share.map(|share| per_request(cpu) * (1.0 - share)),
        load_us: Some(per_request(after.1.since(before.1).0)),
        per_second: Some(outcome.requests as f64 / took),
        busy: Some(of_server.as_secs_f64() / took),
        p50_us: Some(outcome.p50_us),
        p95_us: Some(outcome.p95_us),
        p99_us: Some(outcome.p99_us),
        ..Sample::default()
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A server under load.
struct Bench {
    /// Dropped before the server, so that its connections are reset.
    load: Load,
    server: Server,
    pace: Pace,
    /// Resident memory of the server with one connection.
    empty_kb: u64,
    sample: Sample,
}

impl Bench {
    /// Opens connections until there are this many, or as many as are allowed.
    fn open(&mut self, connections: usize) -> Result<usize, Fault> {
        let connections = connections.min(self.pace.most_connections);
        self.load.open(connections)?;
        self.sample.connections = connections;
        Ok(connections)
    }

    fn exchange(&mut self, connections: usize, workload: &Workload) -> Result<(), Fault> {
        let connections = self.open(connections)?;
        self.load.greet(0..connections)?;
        let Pace { warm_up, measure, at_least, .. } = self.pace;
        self.load.exchange(Until { duration: warm_up, at_least: 1 })?;
        let phase = self.timed(|load| load.exchange(Until { duration: measure, at_least }))?;
        self.keep(phase)?;
        if workload.asks_for_memory() {
            self.sample.rss_kb_left = Some(self.above_empty()?);
        }
        Ok(())
    }

    fn broadcast(&mut self, connections: usize, in_flight: usize, kind: Kind, length: usize) -> Result<(), Fault> {
        // A connection that the server has not registered yet would miss a publish. One that has
        // received a reply is registered.
        self.load.set_script(Script::new(Kind::Telemetry, length, 1));
        let connections = self.open(connections)?;
        self.load.greet(0..connections)?;
        self.load.set_script(Script::new(kind, length, 1));
        let Pace { warm_up, measure, at_least, .. } = self.pace;
        self.load.broadcast(in_flight, Until { duration: warm_up, at_least: 1 })?;
        let phase = self.timed(|load| load.broadcast(in_flight, Until { duration: measure, at_least }))?;
        self.keep(phase)?;
        self.sample.rss_kb_per_conn = Some(self.above_empty_per_connection()?);
        Ok(())
    }

    fn idle(&mut self, connections: usize) -> Result<(), Fault> {
        let connections = self.open(connections)?;
        self.sample.rss_kb_per_conn = Some(self.above_empty_per_connection()?);
        self.load.greet(0..connections)?;
        self.sample.rss_kb_per_conn_used = Some(self.above_empty_per_connection()?);
        Ok(())
    }

    fn handshake(&mut self) -> Result<(), Fault> {
        let total = self.pace.handshakes.min(self.pace.most_connections);
        let warm_up = total / 10;
        self.open(warm_up)?;
        let phase = self.timed(|load| {
            let start = Instant::now();
            let latencies = load.open(total)?;
            Ok(Phase { messages: latencies.len() as u64, took: start.elapsed(), latencies })
        })?;
        self.sample.connections = total;
        self.keep(phase)
    }

    fn growth(&mut self, steps: &[usize]) -> Result<(), Fault> {
        let mut before = 0;
        for step in steps {
            let connections = *step.min(&self.pace.most_connections);
            if connections == before || connections > self.pace.growth {
                // More connections are not allowed, or there is no time for them.
                break;
            }
            self.open(connections)?;
            self.load.greet(before..connections)?;
            before = connections;
            let duration = self.pace.step;
            let timed = self.timed(|load| load.paced(GROWTH_RATE, duration))?;
            let cpu_us = timed.per_message(timed.cpu);
            self.keep(timed)?;
            self.sample.steps.push((connections, cpu_us));
        }
        if let [(_, first), .., (_, last)] = self.sample.steps[..] {
            self.sample.growth = Some(last / first);
        }
        Ok(())
    }

    /// Runs a phase, and reads the clocks before and after it.
    fn timed(&mut self, run: impl FnOnce(&mut Load) -> Result<Phase, Fault>) -> Result<Timed, Fault> {
        let (own_before, before) = (machine::own_cpu_time()?, self.server.cpu_time()?);
        let phase = run(&mut self.load)?;
        let (cpu, user_share) = self.server.cpu_time()?.since(before);
        let own = machine::own_cpu_time()?.saturating_sub(own_before);
        Ok(Timed { phase, cpu, user_share, own })
    }

    /// Puts the results of a phase into the sample.
    fn keep(&mut self, mut timed: Timed) -> Result<(), Fault> {
        if timed.phase.messages == 0 {
            return Err(Fault("no reply arrived".into()));
        }
        let cpu_us = timed.per_message(timed.cpu);
        let sample = &mut self.sample;
        sample.cpu_us = Some(cpu_us);
        sample.user_us = timed.user_share.map(|share| cpu_us * share);
        sample.system_us = timed.user_share.map(|share| cpu_us * (1.0 - share));
        sample.load_us = Some(timed.per_message(timed.own));
        sample.busy = Some(timed.cpu.as_secs_f64() / timed.phase.took.as_secs_f64());
        if let Some([p50, p95, p99]) = percentiles(&mut timed.phase.latencies, [0.50, 0.95, 0.99]) {
            (sample.p50_us, sample.p95_us, sample.p99_us) = (Some(p50), Some(p95), Some(p99));
        }
        Ok(())
    }

    fn above_empty(&self) -> Result<f64, Fault> {
        Ok(self.server.resident_kb_at_rest()? as f64 - self.empty_kb as f64)
    }

    fn above_empty_per_connection(&self) -> Result<f64, Fault> {
        // The empty server already has one connection.
        Ok(self.above_empty()? / self.sample.connections.saturating_sub(1).max(1) as f64)
    }
}

/// A phase, and its CPU time.
struct Timed {
    phase: Phase,
    /// Server CPU time, and the share of it in user mode.
    cpu: Duration,
    user_share: Option<f64>,
    /// The load generator's CPU time.
    own: Duration,
}

impl Timed {
    /// Returns the time for each message in microseconds.
    fn per_message(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.phase.messages as f64
    }
}
