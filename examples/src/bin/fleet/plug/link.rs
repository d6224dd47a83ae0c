//! The link of a meter: a TCP proxy in the parent, which can be slow, silent or cut.
//!
//! It does not know what it carries.
use crate::plug::child::Said;
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf};
use tokio::{sync::watch, time::sleep};

/// Bytes that are carried at a time.
const PART: usize = 256;
/// Time for which a slow link carries a part: 5 KB in a second.
const SLOW: Duration = Duration::from_millis(50);

/// How well a link works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Whole,
    Slow,
    /// Connections stay, and nothing arrives.
    Silent,
    /// Connections break, and new ones too.
    Cut,
}

impl Link {
    pub(crate) const FAULTS: [Self; 3] = [Self::Slow, Self::Silent, Self::Cut];
}

/// Carries every connection to the office, wherever that listens now.
pub(crate) async fn run(listener: TcpListener, office: watch::Receiver<Said>, link: watch::Receiver<Link>) {
    while let Ok((meter, _)) = listener.accept().await {
        let (office, mut link) = (office.clone(), link.clone());
        tokio::spawn(async move {
            let address = office.borrow().address.ok_or(io::ErrorKind::NotConnected)?;
            let (from_office, to_office) = TcpStream::connect(address).await?.into_split();
            let (from_meter, to_meter) = meter.into_split();
            tokio::select! {
                ended = carry(from_meter, to_office, link.clone()) => ended,
                ended = carry(from_office, to_meter, link.clone()) => ended,
                _ = link.wait_for(|link| *link == Link::Cut) => Ok(()),
            }
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut link: watch::Receiver<Link>) -> io::Result<()> {
    let mut part = [0; PART];
    loop {
        let length = from.read(&mut part).await?;
        if length == 0 {
            return Ok(());
        }
        if *link.borrow() == Link::Slow {
            sleep(SLOW).await;
        }
        // Fails when the program ends.
        let _ = link.wait_for(|link| *link != Link::Silent).await;
        to.write_all(&part[..length]).await?;
    }
}
