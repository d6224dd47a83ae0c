//! The future of a send to a peer of the hub. It does not know the hub.
use crate::{
    connection::{Sending, keeper::Accepted},
    error::SendError,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A send to a peer of a hub. It resolves when the message is queued or kept, and says which.
///
/// # Cancel safety
///
/// As [`Sending`]. If a kept message is polled once, it is kept.
#[derive(Debug)]
#[must_use = "a message is sent when this is awaited"]
pub struct SendingTo(pub(super) Sending<'static>);

impl Future for SendingTo {
    type Output = Result<Accepted, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self(sending) = self.get_mut();
        let sent = ready!(Pin::new(&mut *sending).poll(cx));
        Poll::Ready(sent.map(|()| sending.accepted()))
    }
}
