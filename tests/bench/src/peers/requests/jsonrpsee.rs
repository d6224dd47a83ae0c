//! jsonrpsee as its documentation shows: a trait with a method, its server and client over
//! WebSocket. Both set `TCP_NODELAY` themselves.
use super::{Add, Client, Fault, Sum};
use jsonrpsee::{proc_macros::rpc, server::Server, types::ErrorObjectOwned};
use jsonrpsee_ws_client::{WsClient, WsClientBuilder};
use std::sync::Arc;
use tokio::net::TcpListener;

#[rpc(client, server)]
trait Adding {
    // Not `async`, which the server would put into a box.
    #[method(name = "add")]
    fn add(&self, add: Add) -> Result<Sum, ErrorObjectOwned>;
}

struct Calculator;

impl AddingServer for Calculator {
    fn add(&self, add: Add) -> Result<Sum, ErrorObjectOwned> {
        Ok(add.answer())
    }
}

pub(in crate::peers) async fn serve(listener: TcpListener) {
    let server = Server::builder().build_from_tcp(listener.into_std().unwrap()).unwrap();
    server.start(Calculator.into_rpc()).stopped().await;
}

/// The default bounds fit: 256 requests of a client, and 100 connections.
pub(in crate::peers) async fn connect(port: u16) -> Result<impl Client, Fault> {
    Ok(Arc::new(WsClientBuilder::new().build(format!("ws://127.0.0.1:{port}")).await?))
}

impl Client for Arc<WsClient> {
    async fn add(&self, add: Add) -> Result<Sum, Fault> {
        Ok(AddingClient::add(&**self, add).await?)
    }
}
