//! Asks what a type is, without an error if it is not.
use super::{Depth, Inside, Seen, Shape};
use crate::{
    envelope::Envelope,
    message::{Message, Policy},
};
use serde::Deserialize;
use std::marker::PhantomData;

/// Says what a type is. It always compiles: the inherent constant, which has a bound, takes
/// precedence over the trait's, which has none. This works because the types are never generic.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

/// The answers for a type that is nothing special.
pub trait Plain {
    /// The type string, if it is a message or the envelope of one.
    const MESSAGE: Option<&'static str> = None;
    /// The message's fingerprint, if it is one.
    const FINGERPRINT: Option<u64> = None;
    /// How it is delivered: at most once if it is not a message.
    const POLICY: Policy = Policy::AT_MOST_ONCE;
    /// For a type inside of a message: the hash of its shape, if it is a message too.
    const SHAPE: Option<u64> = None;
    /// Whether it can be the payload.
    const PAYLOAD: bool = false;
    /// Its schema, if it has one.
    #[cfg(feature = "contract")]
    const SCHEMA: Option<super::SchemaOf> = None;
}
impl<T: ?Sized> Plain for Probe<T> {}

impl<T: Message> Probe<T> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
    /// See [`Plain`].
    pub const FINGERPRINT: Option<u64> = Some(T::FINGERPRINT);
    /// See [`Plain`].
    pub const POLICY: Policy = T::POLICY;
}
impl<T: Message + Shape<D::Less>, D: Depth> Probe<Inside<T, D>> {
    /// See [`Plain`].
    pub const SHAPE: Option<u64> = <D::Look<T> as Seen>::SHAPE;
}
impl<T: Message> Probe<Envelope<T>> {
    /// See [`Plain`].
    pub const MESSAGE: Option<&'static str> = Some(T::TYPE);
}
impl<T: Deserialize<'static>> Probe<T> {
    /// See [`Plain`].
    pub const PAYLOAD: bool = true;
}
#[cfg(feature = "contract")]
impl<T: schemars::JsonSchema> Probe<T> {
    /// See [`Plain`].
    pub const SCHEMA: Option<super::SchemaOf> = Some(schemars::SchemaGenerator::subschema_for::<T>);
}
