//! A client that is not wsx. It cuts its messages into fragments at any byte, with control frames
//! between them, and checks every frame of the hub.
use crate::{Command, Direction, Fate, Kind, Link, PORT, Phase, Receipt, STATION, Segments, Telemetry, World, pause};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{sleep, timeout},
};
use turmoil::net::TcpStream;
use wsx_tests::handshake::upgrade;

/// The longest silence of a healthy hub.
const SILENCE: Duration = Duration::from_secs(4);
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The program of the raw peer: connects again whenever a connection ends.
pub(crate) async fn raw_peer(world: Arc<World>, name: String, seed: u64) -> turmoil::Result {
    let _stops = world.follow_stops(&name);
    let mut dice = SmallRng::seed_from_u64(seed);
    // After the proofs the connection is not made again.
    while *world.phase.borrow() < Phase::End(0) {
        if let Err(error) = connection(&world, &name, &mut dice).await
            && error.kind() == io::ErrorKind::InvalidData
        {
            world.wrong(format!("{name}: {error}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
    world.end(false).await;
    Ok(())
}

/// One connection, from the handshake to its end.
async fn connection(world: &World, name: &str, dice: &mut SmallRng) -> io::Result<()> {
    let dialled = timeout(Duration::from_secs(3), async {
        let stream = TcpStream::connect((STATION, PORT)).await?;
        let mut stream = Segments::new(stream, world.segment);
        stream.write_all(upgrade(&format!("/ws?id={name}"), "").as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if head.starts_with(b"HTTP/1.1 101 ") {
            Ok(stream)
        } else {
            Err(io::Error::from(io::ErrorKind::ConnectionRefused))
        }
    });
    let stream = dialled.await??;
    let link = Link(world.number());
    let (reader, writer) = tokio::io::split(stream);
    let (pinged, pings) = mpsc::unbounded_channel();
    let reading = async {
        let result = read(world, name, link, reader, pinged).await;
        result.map(Some)
    };
    let mut writer = Writer { stream: writer, pings, next_ping: 0, dice: SmallRng::seed_from_u64(dice.random()) };
    let mut reading = std::pin::pin!(reading);
    let close = tokio::select! {
        close = &mut reading => close?,
        result = write(world, link, &mut writer) => {
            result?;
            None
        }
    };
    // Either answers the close of the hub, or begins one and reads its answer.
    let answered = close.is_some();
    let code = close.unwrap_or_else(|| 1000_u16.to_be_bytes().to_vec());
    timeout(SILENCE, async {
        writer.frame(true, CLOSE, &code).await?;
        if !answered {
            reading.await?;
        }
        writer.stream.shutdown().await
    })
    .await?
}

/// Reads frames until the hub closes. Returns the payload of its close frame.
async fn read(
    world: &World,
    name: &str,
    Link(link): Link,
    mut stream: impl AsyncRead + Unpin,
    pinged: mpsc::UnboundedSender<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let mut last_pong = None;
    loop {
        let [first, length] = take(&mut stream).await?;
        let length = match length {
            126 => usize::from(u16::from_be_bytes(take(&mut stream).await?)),
            127 => {
                usize::try_from(u64::from_be_bytes(take(&mut stream).await?)).map_err(|_| invalid("a long frame"))?
            }
            short @ ..126 => usize::from(short),
            masked => return Err(invalid(format!("a masked frame, {masked}"))),
        };
        let mut payload = vec![0; length];
        fill(&mut stream, &mut payload).await?;
        match first {
            0x81 => receive(world, name, link, &payload)?,
            0x88 => return Ok(payload),
            0x89 => drop(pinged.send(payload)),
            0x8a => {
                let pong = payload.try_into().map(u64::from_be_bytes).map_err(|_| invalid("a pong for no ping"))?;
                if last_pong.is_some_and(|last| pong <= last) {
                    return Err(invalid(format!("pong {pong} after {last_pong:?}")));
                }
                last_pong = Some(pong);
            }
            other => return Err(invalid(format!("a frame with first byte {other:#x}"))),
        }
    }
}

async fn take<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(stream, &mut bytes).await?;
    Ok(bytes)
}

/// Reads to the end of `into`. The hub answers the pings of this peer, so silence is the end of the
/// link.
async fn fill(stream: &mut (impl AsyncRead + Unpin), mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        let read = timeout(SILENCE, stream.read(into)).await??;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        into = &mut into[read..];
    }
    Ok(())
}

fn receive(world: &World, name: &str, link: u64, text: &[u8]) -> io::Result<()> {
    #[derive(Deserialize)]
    struct Envelope {
        r#type: String,
        data: Value,
    }
    let Envelope { r#type, data } = serde_json::from_slice(text)?;
    match &*r#type {
        "receipt" => {
            let receipt: Receipt = serde_json::from_value(data)?;
            world.books().receipts.entry(link).or_default().push(receipt.number);
        }
        "command" => {
            let command: Command = serde_json::from_value(data)?;
            world.arrived_on(link, &command.message, name, Direction::Down);
        }
        other => return Err(invalid(format!("a message of type {other:?}"))),
    }
    Ok(())
}

/// Sends telemetry in fragments until the end.
async fn write(world: &World, link: Link, writer: &mut Writer<impl AsyncWrite + Unpin>) -> io::Result<()> {
    while world.is_busy() {
        writer.idle(pause).await?;
        let count = writer.dice.random_range(1..6);
        for _ in 0..count {
            writer.telemetry(world, link, Kind::Ordinary).await?;
        }
    }
    writer.idle(async |_, _| world.reach(Phase::Proof).await).await?;
    writer.telemetry(world, link, Kind::Proof).await?;
    world.books().proven.push((link.0, true));
    writer.idle(async |_, _| world.end(false).await).await
}

struct Writer<S> {
    stream: S,
    /// The payloads of the hub's pings.
    pings: mpsc::UnboundedReceiver<Vec<u8>>,
    next_ping: u64,
    dice: SmallRng,
}

impl<S: AsyncWrite + Unpin> Writer<S> {
    /// Answers pings and sends some, until `until` ends.
    async fn idle(&mut self, until: impl AsyncFnOnce(&mut SmallRng, u64)) -> io::Result<()> {
        let mut dice = SmallRng::seed_from_u64(self.dice.random());
        let mut until = std::pin::pin!(until(&mut dice, 150));
        loop {
            tokio::select! {
                biased;
                () = &mut until => return Ok(()),
                Some(payload) = self.pings.recv() => self.frame(true, PONG, &payload).await?,
                () = sleep(SILENCE / 4) => self.ping().await?,
            }
        }
    }

    /// Sends a message, in up to seven fragments.
    async fn telemetry(&mut self, world: &World, link: Link, kind: Kind) -> io::Result<()> {
        let message = world.message_on(link, &mut self.dice, kind);
        let number = message.number;
        let text = json!({ "type": "telemetry", "data": Telemetry { message } }).to_string();
        let mut rest = text.as_bytes();
        let mut opcode = TEXT;
        for _ in 0..self.dice.random_range(0..7) {
            let (fragment, behind) = rest.split_at(self.dice.random_range(0..=rest.len()));
            self.frame(false, opcode, fragment).await?;
            (rest, opcode) = (behind, CONTINUATION);
            self.control().await?;
        }
        self.frame(true, opcode, rest).await?;
        world.books().fragmented += u64::from(opcode == CONTINUATION);
        world.decide(link.0, number, Fate::Accepted);
        Ok(())
    }

    /// Sends a control frame between two fragments: the answer to a ping, or sometimes a ping.
    async fn control(&mut self) -> io::Result<()> {
        if let Ok(payload) = self.pings.try_recv() {
            self.frame(true, PONG, &payload).await?;
        }
        if self.dice.random_bool(0.5) {
            self.ping().await?;
        }
        Ok(())
    }

    async fn ping(&mut self) -> io::Result<()> {
        self.next_ping += 1;
        self.frame(true, PING, &self.next_ping.to_be_bytes()).await
    }

    async fn frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![u8::from(fin) << 7 | opcode];
        match payload.len() {
            short @ ..126 => frame.push(0x80 | u8::try_from(short).expect("below 126")),
            length => match u16::try_from(length) {
                Ok(length) => {
                    frame.push(0x80 | 126);
                    frame.extend(length.to_be_bytes());
                }
                Err(_) => {
                    frame.push(0x80 | 127);
                    frame.extend((length as u64).to_be_bytes());
                }
            },
        }
        let key: [u8; 4] = self.dice.random();
        frame.extend(key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        self.stream.write_all(&frame).await
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
