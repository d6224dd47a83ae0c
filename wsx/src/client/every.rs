//! Sends a message at every interval. It does not know the message.
use crate::{client::Client, envelope::SentBy, error::SendError, protocol::endpoint::Endpoint};
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The interval of tokio must not be zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// Sends until the client is closed.
pub(super) fn send<E: Endpoint, M: SentBy<E::Side, E::Peer>>(
    client: Client<E>,
    every: Duration,
    mut message: impl FnMut() -> M + Send + 'static,
) -> BoxFuture<'static, Result<(), SendError>> {
    // Boxed, so that its type does not name the message; `sending` has the reason.
    Box::pin(async move {
        let mut ticks = interval(every.max(SHORTEST));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while client.0.stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if client.0.current().is_none() {
                continue;
            }
            // The message itself is dropped here; only its frame waits.
            let sending = client.send(&message());
            if let Err(error @ SendError::Encode(_)) = sending.await {
                return Err(error);
            }
        }
        Ok(())
    })
}
