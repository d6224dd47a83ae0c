//! A hub that requires a version.
use super::{NewBox, NewStation, OldBox};
use futures_util::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
use wsx::{CancellationToken, Client, ConnectError, Hub};
use wsx_tests::{Peer, Seen, Server, query_id, recorder, within};

fn hub() -> (Hub<NewStation>, wsx_tests::Memory) {
    let (observer, memory) = recorder();
    (Hub::builder().endpoint(NewStation::default()).observer(observer).require(2).build().unwrap(), memory)
}

/// The address of a hub that listens itself, and of one in axum.
async fn addresses() -> [(String, wsx_tests::Memory); 2] {
    let (own, at_own) = hub();
    let own = Server::start(own).await;
    let (mounted, at_mounted) = hub();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = axum::Router::new().route_service("/ws", mounted.ws_handler(query_id, |_| {}));
    tokio::spawn(axum::serve(listener, app).into_future());
    let first = own.address.clone();
    std::mem::forget(own);
    [(first, at_own), (address, at_mounted)]
}

/// Row U7: a program that is too old is rejected with the reason.
#[tokio::test]
async fn an_outdated_program_is_rejected() {
    for (address, _) in addresses().await {
        let dial = |id: &str, with: &str| format!("ws://{address}/ws?id={id}{with}");
        let old = Client::builder(dial("1", "")).endpoint(OldBox::default()).reconnect(false).build().unwrap();
        let error = within(old.start(CancellationToken::new())).await.unwrap_err();
        let ConnectError::Rejected { status, body, .. } = &error else { panic!("{error:?}") };
        let text = "this server requires Fleet v2, and this peer speaks Fleet v1";
        assert_eq!((status.as_u16(), &**body), (403, text.as_bytes()));
        let silent = Peer::try_connect(&dial("2", "")).await.map(drop).unwrap_err();
        assert!(silent.to_string().contains("403"), "{silent}");
        let new = Client::builder(dial("4", "")).endpoint(NewBox::default()).build().unwrap();
        within(new.start(CancellationToken::new())).await.unwrap();
    }
}

/// Row U7: a page cannot read a rejection, so it gets a close frame with the reason.
#[tokio::test]
async fn an_outdated_page_is_closed_with_a_code_and_the_reason() {
    for (address, mut memory) in addresses().await {
        let mut request =
            format!("ws://{address}/ws?id=1&wsx-protocol=Fleet.1.00000000000000ff").into_client_request().unwrap();
        request.headers_mut().insert("origin", "http://a".parse().unwrap());
        let stream = TcpStream::connect(&address).await.unwrap();
        let (mut page, _) = within(tokio_tungstenite::client_async(request, stream)).await.unwrap();
        let closed = within(page.next()).await.unwrap().unwrap();
        let Message::Close(Some(frame)) = closed else { panic!("{closed:?}") };
        let text = "this server requires Fleet v2, and this peer speaks Fleet v1";
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4426, text));
        let reason = memory.find(|seen| match seen {
            Seen::HandshakeRejected(403, reason) => Some(reason),
            _ => None,
        });
        assert_eq!(within(reason).await, text);
    }
}

/// Row U7: an endpoint without a protocol is a problem of the builder.
#[test]
fn only_a_protocol_has_versions() {
    let error = Hub::builder().require(2).without_handlers().build().unwrap_err();
    assert!(error.to_string().contains("require: `Untyped` is not the endpoint of a protocol"), "{error}");
}

/// Row U7: the client of a page outside of a browser sends no origin, but names its version in the
/// query. A subprotocol is agreed on, because a browser would not read the close frame otherwise.
#[tokio::test]
async fn a_page_without_an_origin_is_closed_too() {
    let (hub, _memory) = hub();
    let upgrade = hub.ws_handler(query_id, |_| {}).protocols(["fleet"]);
    let server = Server::start_at(hub, upgrade, "127.0.0.1:0").await;
    for version in ["Fleet.1.00000000000000ff", "Other.9.00000000000000ff"] {
        let url = format!("{}&wsx-protocol={version}", server.url("1"));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "fleet".parse().unwrap());
        let stream = TcpStream::connect(&server.address).await.unwrap();
        let (mut page, answer) = within(tokio_tungstenite::client_async(request, stream)).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "fleet");
        let closed = within(page.next()).await.unwrap().unwrap();
        assert!(matches!(closed, Message::Close(Some(frame)) if u16::from(frame.code) == 4426));
    }
}
