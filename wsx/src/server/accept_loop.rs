//! The accept loop: takes TCP connections from a listener until the hub shuts down. It does not
//! know HTTP or TLS.
use crate::{
    protocol::endpoint::Endpoint,
    server::{establish::REJECTION_TIMEOUT, places::Place, upgrade::WsHandler},
    task::tcp_options,
};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// How long the loop waits after a failed accept, for example without a free file descriptor (row
/// R15 of the specification).
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts TCP connections until the hub shuts down. Each runs `serve` in its own task.
///
/// `serve` receives its place among the handshakes in progress.
pub(super) async fn each<E, F, Fut>(upgrade: WsHandler<E>, listener: TcpListener, serve: F)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, Place) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    // A shutdown waits until the last peers have their answer.
    let _listening = upgrade.hub.lifecycle().handshakes.token();
    let stop = upgrade.hub.lifecycle().stop.clone();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        // After the accept: a listener without connections must not hold a place, and the address
        // decides who gives way. Meanwhile, others wait in the queue of the operating system.
        let admission = upgrade.hub.admission();
        let place = admission.handshakes.take(admission.share_of(Some(peer))).await;
        spawn(&upgrade, &serve, stream, peer, place);
    }
    // New connections may arrive without end, so this has a timeout.
    let _ = timeout(REJECTION_TIMEOUT, answer_waiting(&upgrade, listener, &serve)).await;
}

/// Runs `serve` for a TCP connection in its own task, for which a shutdown waits.
fn spawn<E, F, Fut>(upgrade: &WsHandler<E>, serve: &F, stream: TcpStream, peer: SocketAddr, place: Place)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, Place) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    tcp_options::prepare(&stream, upgrade.hub.config());
    tokio::spawn(upgrade.hub.lifecycle().handshakes.track_future(serve(upgrade.clone(), stream, peer, place)));
}

/// Accepts the connections in the queue of the operating system; each gets 503. Without this,
/// closing the listener would reset them.
async fn answer_waiting<E, F, Fut>(upgrade: &WsHandler<E>, listener: TcpListener, serve: &F)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, Place) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    // The listener of tokio would wait for the next connection. This one returns an error instead.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        // Handshakes in progress are now rejected, which frees their places.
        let admission = upgrade.hub.admission();
        let place = admission.handshakes.take(admission.share_of(Some(peer))).await;
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            spawn(upgrade, serve, stream, peer, place);
        }
    }
}
