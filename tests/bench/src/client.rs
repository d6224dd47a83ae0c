//! A client process, which sends requests to a server with the library of the peer. It prints a
//! line when it is warm, measures when it is told to, and prints a line when all replies are back.
//! Only then it evaluates what it has measured, so that this costs no CPU time of the requests.
use crate::{
    machine::{Cores, CpuTime},
    peers::CommandLine,
    process::Process,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{io, time::Duration};

/// Time that a client may take beyond its phases, to start, to connect and to evaluate.
const SLACK: Duration = Duration::from_secs(10);

/// The work of a client: the last arguments of its command line, in this order.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Requests {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    /// Requests without a reply yet, on each connection.
    pub(crate) outstanding: u32,
    pub(crate) warm_up_ms: u64,
    pub(crate) measure_ms: u64,
}

/// The last line of a client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) took_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
}

/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Client {
    process: Process,
    longest: Duration,
}

impl Client {
    /// Starts a client, and waits until its connections are open and warm.
    pub(crate) fn start(command: &CommandLine, work: Requests, cores: Cores) -> io::Result<Self> {
        let Requests { port, connections, outstanding, warm_up_ms, measure_ms } = work;
        let mut command = command.clone();
        command.arguments.extend([
            port.to_string(),
            connections.to_string(),
            outstanding.to_string(),
            warm_up_ms.to_string(),
            measure_ms.to_string(),
        ]);
        let process = Process::start(&command, cores.load, cores.load)?;
        process.line(SLACK + Duration::from_millis(warm_up_ms))?;
        Ok(Self { process, longest: SLACK + Duration::from_millis(measure_ms) })
    }

    /// Runs the phase that is measured, until all replies are back.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        self.process.say("go")?;
        self.process.line(self.longest).map(drop)
    }

    /// Returns the results of the phase.
    pub(crate) fn outcome(&mut self) -> io::Result<Outcome> {
        self.process.say("report")?;
        Ok(serde_json::from_str(&self.process.line(SLACK)?)?)
    }

    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        self.process.cpu_time()
    }
}
