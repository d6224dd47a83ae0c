//! Hands the packets of a queue to async-nats, a batch at a time: the next one when the socket has
//! taken the one before. So async-nats keeps one batch at most, also while a server does not read.
use super::{
    link::{Item, Link},
    pace::{self, Pace},
};
use async_nats::{Client, PublishErrorKind};
use std::sync::Arc;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Writes until the connection is lost. It has no deadlines of its own: while it waits, the probes
/// of the node wait too, and end the link.
pub(super) async fn write(client: Client, mut items: mpsc::Receiver<Item>, link: Arc<Link>, paced: bool) {
    let mut pace = paced.then(|| Pace::new(Instant::now()));
    let mut held = None;
    loop {
        let mut next = match held.take() {
            Some(item) => Some(item),
            None => items.recv().await,
        };
        if next.is_none() {
            return;
        }
        let (mut permits, mut bytes, mut again) = (Vec::new(), 0, None);
        while let Some(item) = next.take() {
            // Nobody may wait for the answer to a question any more.
            if item.question.is_none_or(|number| link.write_question(number)) {
                let admitted = pace.as_mut().map_or(Ok(()), |pace| pace.admit(item.payload.len(), Instant::now()));
                if let Err(at) = admitted {
                    (again, held) = (Some(at), Some(item));
                    break;
                }
                bytes += item.payload.len();
                permits.push(item.permit);
                let written = match item.reply {
                    Some(reply) => client.publish_with_reply(item.subject, reply, item.payload).await,
                    None => client.publish(item.subject, item.payload).await,
                };
                if written.is_err_and(|error| error.kind() == PublishErrorKind::Send) {
                    return;
                }
                if permits.len() >= pace::PACKETS || bytes >= pace::BYTES {
                    break;
                }
            }
            next = items.try_recv().ok();
        }
        if !permits.is_empty() && client.flush().await.is_err() {
            return;
        }
        drop(permits);
        if let Some(at) = again {
            sleep_until(at).await;
        }
    }
}
