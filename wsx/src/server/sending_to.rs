//! The future of a send to a peer of the hub. It does not know the hub.
#[cfg(feature = "nats")]
use crate::connection::remote::Remote;
use crate::{
    connection::{Sending, keeper::Accepted},
    error::SendError,
};
#[cfg(feature = "nats")]
use futures_util::future::BoxFuture;
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
pub struct SendingTo(Way);

/// How the message reaches the peer.
#[derive(Debug)]
enum Way {
    Here(Sending<'static>),
    /// Another node has the peer.
    #[cfg(feature = "nats")]
    Remote(Remote<Result<Accepted, SendError>>),
}

impl SendingTo {
    /// Returns a send of this hub.
    #[inline]
    pub(super) fn here(sending: Sending<'static>) -> Self {
        Self(Way::Here(sending))
    }

    /// Returns a send by another node. `sending` does nothing before its first poll.
    #[cfg(feature = "nats")]
    pub(super) fn remote(sending: BoxFuture<'static, Result<Accepted, SendError>>) -> Self {
        Self(Way::Remote(Remote::new(sending)))
    }
}

impl Future for SendingTo {
    type Output = Result<Accepted, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Way::Here(sending) => {
                let sent = ready!(Pin::new(&mut *sending).poll(cx));
                Poll::Ready(sent.map(|()| sending.accepted()))
            }
            #[cfg(feature = "nats")]
            Way::Remote(sending) => Pin::new(sending).poll(cx),
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "nats", not(wsx_model)))]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    /// Row J2: a send by another node returns what the node says.
    #[test]
    fn a_send_by_another_node_returns_what_the_node_says() {
        fn check<T: Send + Sync + Unpin + std::fmt::Debug>(_: &T) {}
        let sent = SendingTo::remote(Box::pin(async { Ok(Accepted::Kept) }));
        check(&sent);
        assert!(matches!(sent.now_or_never(), Some(Ok(Accepted::Kept))));
        let failed = SendingTo::remote(Box::pin(async { Err(SendError::NodeUnreachable) }));
        assert!(matches!(failed.now_or_never(), Some(Err(SendError::NodeUnreachable))));
    }
}
