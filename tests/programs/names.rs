//! Names of servers, in a network of its own with a name server of its own. Prints a line for each
//! promise, and fails when one is broken.
//!
//! ```text
//! tests/scripts/names.sh
//! ```
//!
//! The script makes the network and runs this program in it, once for each promise.
use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, UdpSocket, lookup_host},
    time::timeout,
};
use wsx::{CancellationToken, Client, ConnectError, Hub};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The time within which a client connects although an address is dead.
const WITHIN: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["dead", name, dead, live] => dead_address(name, dead.parse()?, live.parse()?).await,
        ["silent", name] => silent_name_server(name).await,
        ["zone", address, interface] => zone(address, interface).await,
        _ => Err("usage: names dead NAME DEAD LIVE | silent NAME | zone ADDRESS INTERFACE".into()),
    }
}

async fn connect(url: String) -> std::result::Result<Client, ConnectError> {
    Client::builder(url).reconnect(false).build()?.start(CancellationToken::new()).await
}

/// Starts a hub, and returns its port.
async fn serve(address: impl Into<IpAddr>) -> Result<u16> {
    let listener = TcpListener::bind((address.into(), 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move { Hub::new().serve(listener).await });
    Ok(port)
}

/// The name has two addresses, and packets to one of them are dropped.
async fn dead_address(name: &str, dead: IpAddr, live: IpAddr) -> Result<()> {
    let port = serve(live).await?;
    let found: Vec<IpAddr> = lookup_host((name, port)).await?.map(|address| address.ip()).collect();
    if found.len() != 2 || !found.contains(&dead) || !found.contains(&live) {
        return Err(format!("the name server answers with {found:?}").into());
    }
    let start = Instant::now();
    connect(format!("ws://{name}:{port}/")).await?;
    let took = start.elapsed();
    if took > WITHIN {
        return Err(format!("{dead} of {found:?} is dead: connected after {took:?}").into());
    }
    println!("{dead} of {found:?} is dead: connected after {took:.0?}");
    Ok(())
}

/// Ends while a client resolves a name. This program is the name server too, and does not answer.
/// The script ends it if it does not end by itself.
async fn silent_name_server(name: &str) -> Result<()> {
    let server = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 53))).await?;
    let client = Client::new(format!("ws://{name}:9001/"));
    tokio::spawn(async move { client.start(CancellationToken::new()).await });
    timeout(Duration::from_secs(20), server.recv(&mut [0; 512])).await??;
    println!("the name server was asked, and is silent: the program ends");
    // Until the process ends, so that the resolver does not see a closed port.
    std::mem::forget(server);
    Ok(())
}

/// Connects to a link-local address, which is valid together with its zone only.
async fn zone(address: &str, interface: &str) -> Result<()> {
    let port = serve([0_u16; 8]).await?;
    if connect(format!("ws://[{address}]:{port}/")).await.is_ok() {
        return Err(format!("{address} is valid without a zone, so this proves nothing").into());
    }
    connect(format!("ws://[{address}%25{interface}]:{port}/")).await?;
    println!("connected to {address}%{interface}");
    Ok(())
}
