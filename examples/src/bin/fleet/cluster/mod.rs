//! `fleet cluster`: several nodes in processes of their own, which NATS joins, and the boxes of all
//! of them. One node after the other is killed and started again.
//!
//! `node` is the program of a node, and `nats` keeps the NATS server. `child` is a process, and
//! `words` what it says. `overview` has all nodes and boxes, and shows them. `facts` checks them.
mod child;
mod facts;
mod nats;
mod node;
mod overview;
mod words;

use crate::arguments::ClusterOption;
use crate::cluster::{child::Child, facts::Kill, overview::Overview, overview::Seen, words::Word};
use crate::compression::Compressing;
use crate::edge::{self, Setup};
use crate::screen::Screen;
use fleet_protocol::PATH;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tokio::{sync::watch, task::JoinSet};
use wsx::{BoxError, CancellationToken};

/// Time in which everything must have started.
const START: Duration = Duration::from_secs(30);
/// Time in which a node that starts again must be a part of the cluster.
const REJOIN: Duration = Duration::from_secs(15);
/// Time between two looks at the cluster.
const LOOK: Duration = Duration::from_millis(20);
/// Samples of a box in a second. All boxes sample the same host.
const RATE: NonZero<u8> = NonZero::new(1).unwrap();

/// The hidden commands.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Part {
    #[command(hide = true)]
    ClusterNats { program: PathBuf, address: IpAddr },
    #[command(hide = true)]
    ClusterNode(node::NodeOption),
}

/// Runs one of them until the parent ends it.
pub(crate) async fn run_part(part: Part, compressing: Compressing) -> Result<(), BoxError> {
    match part {
        Part::ClusterNats { program, address } => nats::keep(&program, address).await,
        Part::ClusterNode(option) => node::run(option, compressing).await,
    }
}

/// Runs the cluster until `asked_to_stop`, and checks it. Returns the last line and the exit
/// status.
pub(crate) async fn run(
    option: &ClusterOption,
    compressing: Compressing,
    asked_to_stop: impl Future<Output = io::Result<()>>,
) -> Result<(String, ExitCode), BoxError> {
    let program = nats::find()?;
    let ids: Vec<_> = (1..=option.boxes).map(|number| format!("box-{number:02}")).collect();
    let names = (1..=option.nodes).map(|number| format!("node-{number}"));
    let overview = Arc::new(Overview::new(names, ids.iter().cloned()));
    let drive = |screen: Screen, stop: CancellationToken| {
        let (overview, compressing) = (overview.clone(), compressing.clone());
        async move {
            let mut cluster = Cluster::start(&program, overview, screen, compressing).await?;
            let boxes_stop = CancellationToken::new();
            let mut boxes = cluster.start_boxes(ids, &boxes_stop);
            let driven = tokio::select! {
                driven = cluster.drive(option, &stop) => driven,
                Some(outcome) = boxes.join_next() => match outcome? {
                    Ok(outcome) => Err(format!("{} has ended by itself", outcome.id).into()),
                    Err(error) => Err(error),
                },
            };
            cluster.overview.lock().facts.begin_unrest(cluster.overview.now());
            boxes_stop.cancel();
            while let Some(outcome) = boxes.join_next().await {
                outcome??;
            }
            driven?;
            cluster.end().await
        }
    };
    crate::on_screen(overview.clone(), compressing.clone(), asked_to_stop, drive).await?;
    let facts = &mut overview.lock().facts;
    facts.settle();
    facts.report().iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
    let ratio = compressing.ratio().map(|ratio| format!(", {ratio}")).unwrap_or_default();
    Ok((format!("{facts}{ratio}"), if facts.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// The processes. All of them end when this is dropped.
struct Cluster {
    overview: Arc<Overview>,
    screen: Screen,
    compressing: Compressing,
    /// The nodes; `None` while one is killed. They end before NATS.
    nodes: Vec<Option<Child>>,
    nats: Child,
    /// Where NATS listens.
    url: String,
    /// Where the nodes listen: their own address, and port 0 at the first start.
    address: IpAddr,
}

impl Cluster {
    async fn start(
        program: &std::path::Path,
        overview: Arc<Overview>,
        screen: Screen,
        compressing: Compressing,
    ) -> Result<Self, BoxError> {
        let address = nats::own_address();
        let (sender, mut listening) = watch::channel(None);
        let arguments = ["cluster-nats", &program.to_string_lossy(), &address.to_string()];
        let mut nats = Child::start("NATS", &arguments, move |word| {
            if let Word::Listening(address) = word {
                sender.send_replace(Some(address));
            }
        })?;
        let deadline = Instant::now() + START;
        let server: SocketAddr = loop {
            nats.check()?;
            match *listening.borrow_and_update() {
                Some(address) => break address,
                None if Instant::now() > deadline => return Err("nats-server does not listen".into()),
                None => {}
            }
            sleep(LOOK).await;
        };
        let url = format!("nats://{server}");
        screen.say(format!("NATS: listening on {url}"));
        let nodes = overview.lock().nodes.len();
        let mut cluster = Self { overview, screen, compressing, nodes: Vec::new(), nats, url, address };
        cluster.nodes.resize_with(nodes, || None);
        for node in 0..nodes {
            cluster.start_node(node)?;
        }
        while cluster.overview.lock().nodes.iter().any(|node| node.address.is_none()) {
            cluster.check()?;
            if Instant::now() > deadline {
                return Err(format!("the nodes have not started within {START:?}").into());
            }
            sleep(LOOK).await;
        }
        for node in 0..nodes {
            cluster.introduce(node)?;
        }
        Ok(cluster)
    }

    /// Starts a node, at its address if it had one before.
    fn start_node(&mut self, node: usize) -> io::Result<()> {
        let anywhere = SocketAddr::new(self.address, 0);
        let (name, listen, page) = {
            let node = &self.overview.lock().nodes[node];
            (node.name.clone(), node.address.unwrap_or(anywhere), node.page.unwrap_or(anywhere))
        };
        let (listen, page) = (listen.to_string(), page.to_string());
        let mut arguments = vec!["cluster-node", &name, &self.url, &listen, &page];
        arguments.extend(self.compressing.is_on().then_some("--compress"));
        let (overview, screen, called) = (self.overview.clone(), self.screen.clone(), name.clone());
        self.overview.starts(node);
        let hear = move |word| match word {
            Word::Listening(address) => {
                overview.lock().nodes[node].address = Some(address);
                screen.say(format!("{called}: listening on ws://{address}{PATH}"));
            }
            Word::Page(address) => {
                overview.lock().nodes[node].page = Some(address);
                screen.say(format!("{called}: page: http://{address}/"));
            }
            Word::Say(text) => screen.say(format!("{called}: {text}")),
            Word::View(view) => overview.see(node, view),
            Word::Asked(asked) => overview.asked(node, asked),
        };
        self.nodes[node] = Some(Child::start(&name, &arguments, hear)?);
        Ok(())
    }

    /// Tells a node where all nodes listen.
    fn introduce(&mut self, node: usize) -> Result<(), BoxError> {
        let known = |node: &overview::Node| node.address.map(|at| (at.ip(), at.port(), node.name.clone()));
        let nodes: Vec<_> = self.overview.lock().nodes.iter().filter_map(known).collect();
        let child = self.nodes[node].as_mut().ok_or("a node that was killed cannot be told anything")?;
        Ok(child.tell(&serde_json::to_string(&nodes)?)?)
    }

    /// Starts the boxes. Each has the URLs of all nodes: the first ones are spread over the nodes,
    /// and so are the second ones.
    fn start_boxes(&self, ids: Vec<String>, stop: &CancellationToken) -> JoinSet<Result<edge::Outcome, BoxError>> {
        let nodes: Vec<_> = self.overview.lock().nodes.iter().filter_map(|node| node.address).collect();
        let mut boxes = JoinSet::new();
        for (number, id) in ids.into_iter().enumerate() {
            let mut urls: Vec<_> = nodes.iter().map(|address| format!("ws://{address}{PATH}")).collect();
            urls.rotate_left(number % nodes.len());
            if number / nodes.len() % 2 == 1 {
                urls[1..].reverse();
            }
            let watch = Seen { id: id.clone(), overview: self.overview.clone(), screen: self.screen.clone() };
            let compressing = self.compressing.clone();
            // What the boxes say would hide the rest.
            let screen = Screen::silent();
            let setup = Setup { id, urls, rate: RATE, screen, compressing, watch: Arc::new(watch) };
            boxes.spawn(edge::run(setup, stop.clone()));
        }
        boxes
    }

    /// Kills one node after the other, and starts it again, until `stop`.
    async fn drive(&mut self, option: &ClusterOption, stop: &CancellationToken) -> Result<(), BoxError> {
        self.whole(START).await?.map_err(|problem| format!("the cluster is not whole within {START:?}: {problem}"))?;
        self.screen.say("the cluster is whole".to_owned());
        let mut next = Instant::now();
        for node in (0..self.nodes.len()).cycle() {
            next = Instant::now().max(next + option.every);
            if !self.rest(next, stop).await? {
                return Ok(());
            }
            self.kill(node, option.within).await?;
            // It is away for half of the time.
            self.rest(next + option.every / 2, stop).await?;
            let name = self.overview.lock().nodes[node].name.clone();
            self.start_node(node)?;
            self.introduce(node)?;
            self.screen.say(format!("{name} starts again"));
            match self.whole(REJOIN).await? {
                Ok(took) => self.screen.say(format!("the cluster is whole again after {:.1} s", took.as_secs_f64())),
                Err(problem) => self.fault(format!("{name} did not join again within {REJOIN:?}: {problem}")),
            }
        }
        Ok(())
    }

    /// Kills a node, and waits until its boxes are back, and every map has them.
    async fn kill(&mut self, node: usize, within: Duration) -> Result<(), BoxError> {
        let name = self.overview.lock().nodes[node].name.clone();
        let boxes = self.overview.kills(node);
        self.screen.say(format!("{name} is killed, with {boxes} boxes"));
        let (start, child) = (Instant::now(), self.nodes[node].take());
        child.map(Child::kill).transpose()?;
        self.overview.killed(node);
        let mut absent = self.overview.absent();
        while absent.is_some() && start.elapsed() < within {
            self.check()?;
            sleep(LOOK).await;
            absent = self.overview.absent();
        }
        let back = absent.is_none().then(|| start.elapsed());
        let known = match self.whole(within.saturating_sub(start.elapsed())).await? {
            Ok(_) => Some(start.elapsed()),
            Err(problem) => {
                self.fault(format!("{within:?} after the kill of {name}: {problem}"));
                None
            }
        };
        let kill = Kill { node: name, boxes, back, known };
        self.screen.say(kill.to_string());
        self.overview.lock().facts.add_kill(kill);
        Ok(())
    }

    /// Waits until the cluster is whole, and returns the time that this took, or what it lacks.
    async fn whole(&mut self, within: Duration) -> Result<Result<Duration, String>, BoxError> {
        let start = Instant::now();
        loop {
            self.check()?;
            match self.overview.problem() {
                None => {
                    self.overview.lock().facts.end_unrest(self.overview.now());
                    return Ok(Ok(start.elapsed()));
                }
                Some(problem) if start.elapsed() >= within => return Ok(Err(problem)),
                Some(_) => sleep(LOOK).await,
            }
        }
    }

    /// Waits, and returns whether the time has come before `stop`.
    async fn rest(&mut self, until: Instant, stop: &CancellationToken) -> Result<bool, BoxError> {
        loop {
            self.check()?;
            let next = until.min(Instant::now() + LOOK * 5);
            if stop.run_until_cancelled(sleep_until(next)).await.is_none() {
                return Ok(false);
            }
            if Instant::now() >= until {
                return Ok(true);
            }
        }
    }

    /// Returns an error if a process has ended by itself.
    fn check(&mut self) -> Result<(), BoxError> {
        self.nats.check()?;
        self.nodes.iter_mut().flatten().try_for_each(Child::check)
    }

    fn fault(&self, fault: String) {
        self.screen.say(fault.clone());
        self.overview.lock().facts.fault(fault);
    }

    /// Ends all processes in order: the nodes first.
    async fn end(self) -> Result<(), BoxError> {
        let mut ending = JoinSet::new();
        self.nodes.into_iter().flatten().for_each(|node| drop(ending.spawn(node.end())));
        while let Some(ended) = ending.join_next().await {
            ended??;
        }
        self.nats.end().await
    }
}
