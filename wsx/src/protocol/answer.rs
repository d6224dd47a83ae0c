//! The answer that a protocol expects from the handler of a message. It does not know handlers.
use std::marker::PhantomData;

/// The message is not a request: its handler returns nothing, or any message that its side sends.
#[derive(Debug)]
pub struct Anything;

/// The message is the request `Request`, which `Reply` answers.
#[derive(Debug)]
pub struct Replies<Request, Reply>(PhantomData<(Request, Reply)>);

/// The message is the request `Request`, which `Reply` or `Refusal` answers.
#[derive(Debug)]
pub struct RepliesOrRefuses<Request, Reply, Refusal>(PhantomData<(Request, Reply, Refusal)>);

/// The handler or the protocol has a mistake, which another check reports.
#[derive(Debug)]
pub struct Mistaken;
