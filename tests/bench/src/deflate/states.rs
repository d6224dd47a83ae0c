//! The memory of the states of zlib. A thread of a hub has one of each kind, whatever the number of
//! its connections.
use crate::{deflate::samples::Samples, load::Fault, machine, peers, report::number};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::{
    env,
    fmt::Write as _,
    io::{self, Write as _},
    process,
};

/// States of each kind: enough that their memory exceeds the noise of the allocator.
const COUNT: usize = 200;
/// Bytes that each state has worked on: twice the largest window.
const WORK: usize = 1 << 16;

/// A state of zlib: that of a compressor with this window, or an inflater.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct State {
    window_bits: Option<u8>,
}

/// Returns the table. Each kind has a process of its own, in which no memory was freed before.
pub(super) fn table() -> Result<String, Fault> {
    let mut out = "| state | KB |\n|---|---:|\n".to_owned();
    let program = env::current_exe()?;
    for bits in [Some(9), Some(10), Some(12), Some(15), None] {
        let bits = bits.map(|bits: u8| bits.to_string());
        let arguments: Vec<&str> = ["deflate-state"].into_iter().chain(bits.as_deref()).collect();
        let kb = peers::run(&program.to_string_lossy(), &arguments)?;
        let kb = kb.parse().map_or_else(|_| kb.clone(), number);
        let _ = match bits {
            Some(bits) => writeln!(out, "| compress, window of {bits} bits | {kb} |"),
            None => writeln!(out, "| inflate, any window | {kb} |"),
        };
    }
    Ok(out)
}

/// Prints the resident memory of a state, in KB.
pub(crate) fn measure(State { window_bits }: State) -> Result<(), Fault> {
    let kb = match window_bits {
        Some(bits) => compressing(bits)?,
        None => inflating()?,
    };
    Ok(writeln!(io::stdout(), "{kb}")?)
}

fn compressing(window_bits: u8) -> Result<f64, Fault> {
    let level = Compression::new(wsx::Deflate::default().level.into());
    let (text, mut room) = (text(), Vec::with_capacity(2 * WORK));
    resident(|| {
        let mut state = Compress::new_with_window_bits(level, false, window_bits);
        room.clear();
        state.compress_vec(&text, &mut room, FlushCompress::Sync).map(|_| state)
    })
}

fn inflating() -> Result<f64, Fault> {
    let (mut compressed, mut room) = (Vec::with_capacity(2 * WORK), Vec::with_capacity(2 * WORK));
    let mut compress = Compress::new(Compression::fast(), false);
    compress.compress_vec(&text(), &mut compressed, FlushCompress::Sync).expect("there is room");
    // In two parts, because a stream that continues needs its window.
    let (first, second) = compressed.split_at(compressed.len() / 2);
    resident(|| {
        let mut state = Decompress::new(false);
        room.clear();
        state.decompress_vec(first, &mut room, FlushDecompress::Sync)?;
        state.decompress_vec(second, &mut room, FlushDecompress::Sync).map(|_| state)
    })
}

fn text() -> Vec<u8> {
    let mut text = Samples::Telemetry.lines().concat().into_bytes();
    text.truncate(WORK);
    text
}

fn resident<T, E: std::fmt::Display>(mut make: impl FnMut() -> Result<T, E>) -> Result<f64, Fault> {
    let mut made = || make().map_err(|error| Fault(error.to_string()));
    let mut states = vec![made()?];
    let before = machine::resident_kb(process::id())?;
    for _ in 0..COUNT {
        states.push(made()?);
    }
    let after = machine::resident_kb(process::id())?;
    drop(states);
    Ok((after as f64 - before as f64) / COUNT as f64)
}
