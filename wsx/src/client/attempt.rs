//! One attempt to connect: its URL, its headers, the dial and the redirects, within one deadline.
//! It does not retry; `reconnect` does.
use crate::{
    catch_panic,
    client::{
        Inner,
        dial::dial,
        handshake::Request,
        options::Options,
        redirect,
        stream::{self, Socket},
        urls::Attempt,
    },
    connection::handle::Handle,
    error::ConnectError,
    handshake::protocol_header::{self, PROTOCOL},
    protocol::endpoint::Endpoint,
    task::{deadline, transport::socket::SocketTransport},
    wire::role::Role,
};
use std::borrow::Cow;
use tokio::time::Instant;

/// A connection after its handshake, and its transport.
pub(super) type Dialled = (Handle, SocketTransport<Socket>);

/// The place of an attempt among the attempts of its session.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// How many attempts failed in a row since the last connection that lasted. The waits grow with
    /// it.
    pub(super) failures: u32,
    /// Whether the first of these failures is the end of a connection that lasted. It makes the
    /// waits grow, but it is not a failed attempt.
    pub(super) lasted: bool,
    /// How often the client went on to the next URL of its list.
    pub(super) changes: usize,
    /// The new URL, if the last answer was a redirect that a client may follow.
    pub(super) redirect: Option<String>,
}

/// Makes one attempt.
pub(super) async fn attempt<E: Endpoint>(inner: &Inner<E>, turn: &mut Turn) -> Result<Dialled, ConnectError> {
    let Inner { program, targets, options, .. } = inner;
    let Options { headers, fixed_headers, route, trust, redirects, .. } = options;
    let targets = targets.as_ref().map_err(Clone::clone)?;
    let limit = program.config.handshake_timeout;
    let deadline = Instant::now().checked_add(limit);
    // Boxed, as are its parts, because the guard doubles the size of a future.
    let dialled = catch_panic::run(Box::pin(deadline::timeout(limit, async {
        let failures = turn.failures.saturating_sub(turn.lasted.into());
        let attempt = Attempt { failures, redirect: turn.redirect.take() };
        let mut target = targets.next(turn.changes, attempt).await?;
        let mut all = fixed_headers.clone();
        if let Some(headers) = headers {
            let made = headers.run(|headers| headers()).await;
            let made = made.unwrap_or_else(|| Err("the program's `headers` function panicked".into()));
            all.extend(made.map_err(ConnectError::Headers)?);
        }
        if let Some(own) = program.versions.own() {
            all.entry(PROTOCOL).or_insert_with(|| protocol_header::value(own));
        }
        let mut followed = 0;
        loop {
            let request = Request { headers: &all, config: &program.config, deadline };
            let error = match dial(&target, route, trust, &request, &program.config).await {
                Ok((socket, opened)) => {
                    turn.redirect = None;
                    return Ok((target.id.clone(), socket, opened));
                }
                Err(error) => error,
            };
            let ConnectError::Rejected { status, headers: answer, .. } = &error else { return Err(error) };
            let Some(location) = redirect::location(*status, answer, &target) else { return Err(error) };
            turn.redirect = redirect::target(&target, &location).ok().map(|target| target.url());
            let Some(follow) = redirects else { return Err(error) };
            let next = follow.follow(*status, &target, &location, followed)?;
            redirect::strip(&mut all, &target, &next);
            target = Cow::Owned(next);
            followed += 1;
        }
    })));
    let panicked = || ConnectError::Handshake("the program's stream panicked when it was dropped".into());
    let dialled = dialled.await.ok_or_else(panicked)?;
    let (id, socket, opened) = dialled.unwrap_or(Err(ConnectError::Timeout(limit)))?;
    let conn = Handle::new(id, Role::Client, &program.config);
    let transport = SocketTransport::with_tcp(socket, stream::tcp, Role::Client, opened.early, &program.config)
        .inflating(opened.compression);
    conn.set_peer_addr(transport.peer_addr());
    program.watch(&conn);
    conn.set_compression(opened.compression);
    if let Some(version) = protocol_header::named(&opened.headers) {
        program.meet(&conn, version);
        program.report_version(&conn);
    }
    conn.set_answer(opened.headers);
    Ok((conn, transport))
}
