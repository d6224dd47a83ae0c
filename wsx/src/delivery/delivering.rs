//! The future of a delivery: it ends when the peer has handled the message.
use crate::{
    connection::keeper::{Accepting, Keeper, Moment, Recipient},
    delivery::{DeliveryError, delivery_error::result_of},
    envelope::kept::KeptMessage,
    error::SendError,
};
use futures_util::future::BoxFuture;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// A delivery. Await it to learn whether the peer has handled the message.
///
/// The message is kept when this is made, and not when it is polled.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize, wsx::Message)]
/// # #[wsx(delivery = at_least_once, ttl = "1h")]
/// # struct MeterReading { watt_hours: u64 }
/// # async fn example(client: wsx::Client) -> Result<(), wsx::delivery::DeliveryError> {
/// let mut delivering = client.deliver(&MeterReading { watt_hours: 1_500 });
/// delivering.accepted().await?;
/// println!("it is in the outbox");
/// delivering.await?;
/// println!("the server has handled it");
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Cancel safe: if this is dropped, the message stays in the outbox or the mailbox, and is sent.
#[must_use = "its result says whether the peer has handled the message"]
pub struct Delivering(State);

enum State {
    /// Not yet polled.
    Kept(Tracked),
    /// Waits for the peer.
    Waiting(BoxFuture<'static, Result<(), DeliveryError>>),
    Done,
}

/// A message that is kept, or was not accepted.
struct Tracked {
    moments: Result<watch::Receiver<Moment>, Option<SendError>>,
    /// Ready when the message is durable.
    accepting: Option<Accepting>,
    /// When the message expires.
    expires: Option<Instant>,
    /// Weak, so that this ends with its client or hub.
    keeper: Option<(Weak<dyn Keeper>, Arc<str>)>,
    /// The end of its client or hub, which the program may still hold.
    ended: CancellationToken,
}

impl Delivering {
    pub(crate) fn new(recipient: Result<Recipient, SendError>, message: Result<KeptMessage, SendError>) -> Self {
        let ttl = message.as_ref().ok().and_then(|message| message.policy.ttl);
        let kept = recipient.and_then(|mut recipient| {
            let (sender, moments) = watch::channel(Moment::Waiting);
            let kept = recipient.keep(message?, Some(sender))?;
            let ended = recipient.keeper.ended();
            Ok(((Arc::downgrade(&recipient.keeper), recipient.peer), moments, kept.accepting, ended))
        });
        Self(State::Kept(match kept {
            Ok((keeper, moments, accepting, ended)) => Tracked {
                moments: Ok(moments),
                accepting: Some(accepting),
                expires: ttl.and_then(|ttl| Instant::now().checked_add(ttl + Duration::from_millis(1))),
                keeper: Some(keeper),
                ended,
            },
            Err(error) => Tracked {
                moments: Err(Some(error)),
                accepting: None,
                expires: None,
                keeper: None,
                ended: CancellationToken::new(),
            },
        }))
    }

    /// Waits until the message is kept: in memory, or durable if there is a store.
    ///
    /// # Errors
    ///
    /// - [`DeliveryError::NotAccepted`]: the outbox or the mailbox is full, its store failed, or
    ///   the message cannot be written as JSON.
    /// - [`DeliveryError::Ended`]: this was polled as a future before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the message stays.
    pub async fn accepted(&mut self) -> Result<(), DeliveryError> {
        match &mut self.0 {
            State::Kept(tracked) => tracked.accepted().await,
            State::Waiting(_) | State::Done => Err(DeliveryError::Ended),
        }
    }

    /// Waits until the message was sent on a connection.
    ///
    /// # Errors
    ///
    /// As the delivery itself, and as [`accepted`](Self::accepted).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the message stays.
    pub async fn sent(&mut self) -> Result<(), DeliveryError> {
        match &mut self.0 {
            State::Kept(tracked) => tracked.reach(|moment| matches!(moment, Moment::Sent)).await,
            State::Waiting(_) | State::Done => Err(DeliveryError::Ended),
        }
    }
}

impl Tracked {
    async fn accepted(&mut self) -> Result<(), DeliveryError> {
        if let Err(error) = &mut self.moments {
            return Err(error.take().map_or(DeliveryError::Ended, DeliveryError::NotAccepted));
        }
        let accepted = match &mut self.accepting {
            Some(Accepting::Durable(durable)) => durable.await,
            Some(Accepting::Done) | None => Ok(Ok(())),
        };
        self.accepting = None;
        match accepted {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DeliveryError::NotAccepted(error)),
            Err(_) => Err(DeliveryError::Ended),
        }
    }

    /// Waits until the message has reached a moment, or has ended.
    async fn reach(&mut self, is_reached: impl Fn(&Moment) -> bool) -> Result<(), DeliveryError> {
        self.accepted().await?;
        let Ok(moments) = &mut self.moments else { return Err(DeliveryError::Ended) };
        loop {
            let is_over = |moment: &Moment| matches!(moment, Moment::Ended(_)) || is_reached(moment);
            let moment = tokio::select! {
                biased;
                moment = moments.wait_for(is_over) => moment.map(|moment| moment.clone()),
                () = self.ended.cancelled() => return Err(DeliveryError::Ended),
                () = expired(self.expires) => {
                    // A message that is on its way may still be handled.
                    self.expires = None;
                    if let Some((keeper, peer)) = &self.keeper {
                        keeper.upgrade().inspect(|keeper| keeper.expire(peer));
                    }
                    continue;
                }
            };
            return match moment {
                Ok(Moment::Ended(outcome)) => result_of(outcome),
                Ok(_) => Ok(()),
                Err(_) => Err(DeliveryError::Ended),
            };
        }
    }
}

async fn expired(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Future for Delivering {
    type Output = Result<(), DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self(state) = self.get_mut();
        loop {
            match std::mem::replace(state, State::Done) {
                State::Kept(mut tracked) => {
                    *state = State::Waiting(Box::pin(async move { tracked.reach(|_| false).await }));
                }
                State::Waiting(mut waiting) => {
                    let result = waiting.as_mut().poll(cx);
                    if result.is_pending() {
                        *state = State::Waiting(waiting);
                    }
                    return result;
                }
                State::Done => unreachable!("a future is not polled after it is done"),
            }
        }
    }
}

impl fmt::Debug for Delivering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_polled = !matches!(self.0, State::Kept(_));
        f.debug_struct("Delivering").field("is_polled", &is_polled).finish_non_exhaustive()
    }
}
