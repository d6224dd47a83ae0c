//! tarpc as its documentation shows: a trait with a method, over TCP with one of its codecs. Its
//! deadline is the default of 10 s.
use super::{Add, Client, Fault, Sum};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tarpc::{
    ClientMessage, Response, Transport,
    client::Config,
    context::{self, Context},
    serde_transport,
    server::{BaseChannel, Channel},
    tokio_serde::{
        Deserializer, Serializer,
        formats::{Bincode, Json},
    },
    tokio_util::codec::LengthDelimitedCodec,
};
use tokio::net::{TcpListener, TcpStream};

#[tarpc::service]
trait Adding {
    async fn add(add: Add) -> Sum;
}

#[derive(Clone)]
struct Calculator;

impl Adding for Calculator {
    async fn add(self, _: Context, add: Add) -> Sum {
        add.answer()
    }
}

type Asked = ClientMessage<AddingRequest>;
type Answered = Response<AddingResponse>;
/// A transport of tarpc over TCP.
type Over<Item, SinkItem, Codec> = serde_transport::Transport<TcpStream, Item, SinkItem, Codec>;

pub(in crate::peers) async fn serve_json(listener: TcpListener) {
    serve(listener, json).await;
}

pub(in crate::peers) async fn serve_bincode(listener: TcpListener) {
    serve(listener, bincode).await;
}

pub(in crate::peers) async fn connect_json(port: u16) -> Result<impl Client, Fault> {
    connect(port, json).await
}

pub(in crate::peers) async fn connect_bincode(port: u16) -> Result<impl Client, Fault> {
    connect(port, bincode).await
}

fn json<Item, SinkItem>(stream: TcpStream) -> Over<Item, SinkItem, Json<Item, SinkItem>>
where
    Item: for<'a> Deserialize<'a>,
    SinkItem: Serialize,
{
    transport(stream, Json::default())
}

fn bincode<Item, SinkItem>(stream: TcpStream) -> Over<Item, SinkItem, Bincode<Item, SinkItem>>
where
    Item: for<'a> Deserialize<'a>,
    SinkItem: Serialize,
{
    transport(stream, Bincode::default())
}

fn transport<Item, SinkItem, Codec>(stream: TcpStream, codec: Codec) -> Over<Item, SinkItem, Codec>
where
    Item: for<'a> Deserialize<'a>,
    SinkItem: Serialize,
    Codec: Serializer<SinkItem> + Deserializer<Item>,
{
    let _ = stream.set_nodelay(true);
    serde_transport::new(LengthDelimitedCodec::builder().new_framed(stream), codec)
}

async fn serve<T>(listener: TcpListener, transport: fn(TcpStream) -> T)
where
    T: Transport<Answered, Asked> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let replies = BaseChannel::with_defaults(transport(stream)).execute(Calculator.serve());
        tokio::spawn(replies.for_each(spawn));
    }
}

async fn spawn(reply: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(reply);
}

async fn connect<T>(port: u16, transport: fn(TcpStream) -> T) -> Result<impl Client, Fault>
where
    T: Transport<Asked, Answered> + Send + 'static,
{
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(AddingClient::new(Config::default(), transport(stream)).spawn())
}

impl Client for AddingClient {
    async fn add(&self, add: Add) -> Result<Sum, Fault> {
        // The inherent method, which tarpc generates.
        Ok(Self::add(self, context::current(), add).await?)
    }
}
