//! Compressed messages (RFC 7692). It knows what both ends agreed on, and not the handshake.
//!
//! Between two messages, a connection holds nothing of zlib. A message that continues a context
//! begins with the last bytes of the messages before it as its dictionary. So a connection holds at
//! most two windows, and each thread has one state of each kind, which all its connections use.
#[cfg(feature = "deflate")]
mod agreed;
mod compression;
#[cfg(feature = "deflate")]
mod deflater;
#[cfg(not(feature = "deflate"))]
mod disabled;
#[cfg(feature = "deflate")]
mod history;
#[cfg(feature = "deflate")]
mod inflater;

#[cfg(feature = "deflate")]
pub(crate) use self::{
    agreed::{Agreed, Stream},
    deflater::{Deflater, compress},
    inflater::Inflater,
};
pub use compression::{Compression, Direction};
#[cfg(not(feature = "deflate"))]
pub(crate) use disabled::{Agreed, Deflater, Inflater};

#[cfg(all(test, feature = "deflate"))]
mod tests;
