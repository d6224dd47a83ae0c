//! What the nodes of the Rust servers have in common: where they listen, and the lines that tell
//! them to broadcast and to send. It does not know a server. The node of socketioxide includes this
//! file.
//!
//! A node has three arguments: the URL of the broker, its own address, and the text of its
//! messages. It prints its port for WebSocket and its port for lines, and exits when its standard
//! input ends. These are the lines, each with a line feed:
//!
//! ```text
//! broadcast FIRST COUNT     one message after the other, with the numbers from FIRST
//! send NUMBER ID            one message to one connection of any node
//! ```
use std::{
    error::Error,
    io::{self, Write},
    net::Ipv4Addr,
    process, thread,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::{TcpListener, TcpStream},
};

pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// A server that is a node.
pub(crate) trait Node: Clone + Send + Sync + 'static {
    /// Broadcasts the message with this number to the connections of all nodes.
    fn broadcast(&self, n: u64) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Sends the message with this number to a connection of any node.
    fn send(&self, n: u64, id: &str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The listeners of a node: for WebSocket and for lines.
pub(crate) async fn listen(address: Ipv4Addr) -> io::Result<(TcpListener, TcpListener)> {
    // So that it does not outlive the comparison.
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    Ok((TcpListener::bind((address, 0)).await?, TcpListener::bind((address, 0)).await?))
}

/// Says that the node is ready.
pub(crate) fn announce(websocket: &TcpListener, lines: &TcpListener) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{} {}", websocket.local_addr()?.port(), lines.local_addr()?.port())?;
    stdout.flush()
}

/// Does what the lines say. A failure ends the process, and so the run.
pub(crate) async fn obey(listener: TcpListener, node: impl Node) {
    loop {
        let result = async { read(listener.accept().await?.0, node.clone()).await };
        if let Err(fault) = result.await {
            fail(&fault);
        }
    }
}

async fn read(stream: TcpStream, node: impl Node) -> Result<(), Fault> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        let unknown = || format!("a node does not know the line: {line}");
        let mut words = line.split(' ');
        let (Some(name), Some(Ok(n)), Some(argument)) =
            (words.next(), words.next().map(str::parse::<u64>), words.next())
        else {
            return Err(unknown().into());
        };
        match name {
            "broadcast" => {
                for n in n..n + argument.parse::<u64>()? {
                    node.broadcast(n).await?;
                }
            }
            "send" => {
                let (node, id) = (node.clone(), argument.to_owned());
                // Concurrently, because a send may wait for the other node.
                tokio::spawn(async move {
                    if let Err(fault) = node.send(n, &id).await {
                        fail(&fault);
                    }
                });
            }
            _ => return Err(unknown().into()),
        }
    }
    Ok(())
}

fn fail(fault: &Fault) -> ! {
    let _ = writeln!(io::stderr(), "a node of the cluster failed: {fault}");
    process::exit(1);
}
