//! How a `TestPeer` opens its connection, and runs the handlers of the program. It does not know
//! the types of messages.
use super::{LIMIT, TestPeer};
use crate::{
    connection::{
        Connection,
        handle::{Handle, Intake},
    },
    envelope::{
        Outbound,
        frame::Encode,
        incoming::{Incoming, RawFrame},
        kept::KeptMessage,
        keys::Number,
    },
    error::{HandlerError, SendError},
    protocol::endpoint::Endpoint,
    testing::{
        answers,
        end::End,
        handled::Handled,
        sent::{Sent, only, peer_of, read},
    },
    wire::role::Role,
};
use std::sync::Arc;
use tokio::time::timeout;

impl<E: Endpoint> TestPeer<E> {
    pub(super) async fn open(end: End<E>, conn: Handle) -> Result<Self, HandlerError> {
        let sent = Arc::new(Sent::new(end.scope().program.deliveries.clone()));
        let (taking, detached) = (sent.clone().take_all(conn.clone()), end.detach_when_closed(&conn));
        let taking = tokio::spawn(async { tokio::join!(taking, detached) }).abort_handle();
        let peer = Self { end, conn, sent, taking, taken: RawFrame::Text("".into()) };
        peer.end.scope().program.observer.connection_opened(Connection::of(&peer.conn));
        let opened = peer.run(&Incoming::open(), None).await?;
        // What the handler sent comes before its reply.
        peer.sent.take(&peer.conn);
        peer.sent.messages().extend(opened.reply);
        peer.sent.kept.attach(&peer.conn);
        Ok(peer)
    }

    /// Returns a message as this peer sends it, with its number if it is kept.
    pub(super) fn written<M: Outbound + ?Sized>(
        &self,
        message: &M,
    ) -> Result<(RawFrame<'static>, Option<Number>), SendError> {
        if message.policy().is_kept() {
            let (frame, number) = self.sent.kept.number(&self.conn, &KeptMessage::of(message)?);
            return Ok((frame, Some(number)));
        }
        // A server does not mask.
        let frame = message.encode(Role::Server)?;
        Ok((only(read(Role::Client, frame.as_bytes().to_vec())), None))
    }

    /// Delivers a message, with its number if it is kept.
    pub(super) async fn deliver_frame(
        &self,
        frame: RawFrame<'_>,
        number: Option<Number>,
    ) -> Result<Handled, HandlerError> {
        if let (Intake::Shut, Some(closed)) = (self.conn.intake(), self.closed()) {
            panic!("a message is not handled any more: the connection is {closed}");
        }
        self.end.receive(&self.conn);
        if answers::hand_over(&self.conn, &frame) {
            return Ok(Handled { reply: None, is_ignored: false });
        }
        self.run(&Incoming::message(&frame), number).await
    }

    /// Runs the handler of an event, and waits until it has returned.
    ///
    /// It does not use the panic guard: an assertion that fails in a handler has to fail the test.
    pub(super) async fn run(&self, incoming: &Incoming<'_>, number: Option<Number>) -> Result<Handled, HandlerError> {
        let Self { end, conn, .. } = self;
        let scope = end.scope();
        let handled = timeout(LIMIT, scope.outcome(conn, incoming, number)).await;
        let Ok(handled) = handled else {
            panic!("the handler of {:?} still runs after an hour", incoming.message_type)
        };
        let is_ignored = handled.is_none();
        let reply = handled.transpose()?.flatten();
        let reply = reply.and_then(|reply| {
            if conn.intake() == Intake::Shut {
                // As in the task of a connection.
                scope.program.observer.reply_dropped(Connection::of(conn), &incoming.message_type);
                return None;
            }
            conn.report_sent(reply.message_type, reply.payload_len());
            Some(only(read(peer_of(conn.role()), reply.as_bytes().to_vec())))
        });
        Ok(Handled { reply, is_ignored })
    }
}
