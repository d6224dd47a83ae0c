//! The bytes that a client sends.
use crate::{Result, server::TIME_LIMIT};
use std::{
    io::{Read, Write},
    net::TcpStream,
};
use wsx_tests::handshake::{accepted, upgrade};

/// Opcodes, with the FIN bit if the message ends there.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const FIRST_FRAGMENT: u8 = 0x01;
pub(crate) const FRAGMENT: u8 = 0x00;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// Does the handshake on this socket.
pub(crate) fn open(tcp: TcpStream) -> Result<TcpStream> {
    open_with(tcp, "")
}

/// As [`open`], with further headers, each with its line end.
pub(crate) fn open_with(mut tcp: TcpStream, headers: &str) -> Result<TcpStream> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(TIME_LIMIT))?;
    tcp.set_write_timeout(Some(TIME_LIMIT))?;
    tcp.write_all(upgrade("/ws", headers).as_bytes())?;
    accepted(&mut tcp)?;
    Ok(tcp)
}

/// Returns a client's frame. Its mask is zero, so the payload stays readable.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Reads a frame of the server, and returns its opcode and payload.
pub(crate) fn read_frame(tcp: &mut impl Read) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 2];
    tcp.read_exact(&mut header)?;
    let length = match header[1] {
        short @ 0..126 => short.into(),
        126 => {
            let mut long = [0; 2];
            tcp.read_exact(&mut long)?;
            u16::from_be_bytes(long).into()
        }
        127 => {
            let mut long = [0; 8];
            tcp.read_exact(&mut long)?;
            usize::try_from(u64::from_be_bytes(long))?
        }
        _ => return Err("a server's frame is masked".into()),
    };
    let mut payload = vec![0; length];
    tcp.read_exact(&mut payload)?;
    Ok((header[0], payload))
}
