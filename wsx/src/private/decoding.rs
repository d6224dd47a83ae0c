//! Decodes a message of a protocol.
use crate::message::Message;
use serde::Deserialize;
use std::marker::PhantomData;

/// Decodes a message. As with [`Probe`](super::Probe), a type that is not a message is not an error
/// here: the check made for it reports it.
#[derive(Debug)]
pub struct Decoding<T>(PhantomData<T>);

impl<T: Message> Decoding<T> {
    /// The message with this data.
    ///
    /// # Errors
    ///
    /// When the data does not fit.
    #[inline]
    pub fn decode<'f>(data: &'f str) -> serde_json::Result<T>
    where
        T: Deserialize<'f>,
    {
        serde_json::from_str(data)
    }
}

/// The method of a type that another check rejects.
pub trait NotDecoding<T> {
    /// See [`Decoding`].
    ///
    /// # Errors
    ///
    /// None: it is never called.
    fn decode(_: &str) -> serde_json::Result<T> {
        unreachable!()
    }
}
impl<T> NotDecoding<T> for Decoding<T> {}
