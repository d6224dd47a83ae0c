//! Compressed messages (RFC 7692). It knows what both ends agreed on, and not the handshake.
//!
//! A connection keeps its contexts as plain bytes: at most one window for each direction. zlib gets
//! the context as a dictionary before each message. So the connections of a thread share one zlib
//! state for compressing and one for inflating. Only a long message keeps a state of its own while
//! it is inflated in slices.
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
