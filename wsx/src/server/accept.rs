//! The accept loop: takes connections from a listener until the hub shuts down.
use crate::{
    protocol::endpoint::Endpoint,
    server::{admit::REJECTION_TIMEOUT, upgrade::WsHandler},
    task::tcp_options,
};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};

/// After a failed accept, such as one without a free file descriptor, the listener waits for this long.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the hub shuts down, and runs `serve` for each in a task of its own. `serve` gets the
/// connection's place among the handshakes in progress.
pub(super) async fn each<E, F, Fut>(upgrade: WsHandler<E>, listener: TcpListener, serve: F)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    // A shutdown waits until the last peers have their answer.
    let _listening = upgrade.hub.lifecycle().handshakes.token();
    let stop = upgrade.hub.lifecycle().stop.clone();
    let handshakes = upgrade.hub.admission().handshakes.clone();
    loop {
        // When as many handshakes are in progress as may be, new connections wait in the system's queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async { (handshakes.clone().acquire_owned().await, listener.accept().await) } => accepted,
        };
        let (Ok(place), accepted) = accepted else { unreachable!("the semaphore is never closed") };
        let Ok((stream, peer)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        spawn(&upgrade, &serve, stream, peer, place);
    }
    // More may come all the time, so this has an end.
    let _ = timeout(REJECTION_TIMEOUT, answer_waiting(&upgrade, listener, &serve)).await;
}

fn spawn<E, F, Fut>(upgrade: &WsHandler<E>, serve: &F, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    tcp_options::prepare(&stream, upgrade.hub.config());
    tokio::spawn(upgrade.hub.lifecycle().handshakes.track_future(serve(upgrade.clone(), stream, peer, place)));
}

/// Takes the connections that wait in the system's queue, each of which gets 503. A listener that is dropped would reset
/// them.
async fn answer_waiting<E, F, Fut>(upgrade: &WsHandler<E>, listener: TcpListener, serve: &F)
where
    E: Endpoint,
    F: Fn(WsHandler<E>, TcpStream, SocketAddr, OwnedSemaphorePermit) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    // Tokio's own `accept` waits for the next one.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        // Handshakes in progress are being rejected, and give their places back.
        let Ok(place) = upgrade.hub.admission().handshakes.clone().acquire_owned().await else { return };
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
            spawn(upgrade, serve, stream, peer, place);
        }
    }
}
