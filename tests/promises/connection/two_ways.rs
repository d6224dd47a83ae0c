//! Two ends that both send and answer do not wait for each other.
use std::{future::ready, time::Duration};
use tokio::{net::TcpSocket, sync::watch, time::timeout};
use wsx::{CancellationToken, Client, Connection, Envelope, Hub};
use wsx_tests::{Log, Server, query_id, within};

/// Sends all messages of one end. `full` gets an entry when the queue has been full for a while.
async fn ask(conn: Connection, count: usize, lengths: &[usize], full: Log<()>) {
    let mut was_full = false;
    for n in 0..count {
        let question = Envelope::with_type("question", (n, "x".repeat(lengths[n % lengths.len()])));
        let mut sending = std::pin::pin!(conn.send(&question));
        while timeout(Duration::from_millis(100), sending.as_mut()).await.map(Result::unwrap).is_err() {
            if !std::mem::replace(&mut was_full, true) {
                full.add(());
            }
            assert!(!conn.is_closed());
        }
    }
    if !was_full {
        full.add(());
    }
}

/// Sends `count` messages each way, all of which are answered with a message of the same length.
///
/// The first handlers wait until everything between the two ends is full.
async fn exchange(count: usize, lengths: &'static [usize], buffer: Option<u32>) {
    let (answers, gate) = (Log::default(), watch::Sender::new(false));
    let register = || {
        let (answers, open) = (answers.clone(), gate.subscribe());
        move |conn: &Connection| {
            let (answers, open) = (answers.clone(), open.clone());
            conn.register_handler("question", move |question: (usize, String), _| {
                let mut open = open.clone();
                async move {
                    let _ = open.wait_for(|open| *open).await;
                    Envelope::with_type("answer", question)
                }
            });
            conn.register_handler("answer", move |(n, _): (usize, String), _| {
                answers.add(n);
                ready(())
            });
        }
    };
    let socket = move || {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
        }
        Ok::<_, std::io::Error>(socket)
    };
    let hub = Hub::builder().without_handlers().build().unwrap();
    let handler = hub.ws_handler(query_id, register());
    let listening = socket().unwrap();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::start_on(hub, handler, listening.listen(8).unwrap());
    let address = server.address.parse().unwrap();
    let connector = move |_| async move { socket()?.connect(address).await };
    let client = Client::builder(server.url("a")).connector(connector).reconnect(false).build().unwrap();
    within(client.connect(CancellationToken::new(), register())).await.unwrap();
    let (near, far, full) = (client.connection().unwrap(), server.hub.connection("a").unwrap(), Log::default());
    let asking = [near, far].map(|conn| tokio::spawn(ask(conn, count, lengths, full.clone())));
    for _ in 0..2 {
        full.next().await;
    }
    gate.send_replace(true);
    for at in 0..2 * count {
        let answer = timeout(Duration::from_secs(5), answers.next()).await;
        assert!(answer.is_ok(), "stalled after {at} answers; lengths {lengths:?}, buffers {buffer:?}");
    }
    for asking in asking {
        within(asking).await.unwrap();
    }
}

const SHORT: [(usize, &[usize]); 3] = [(20_000, &[20]), (20_000, &[100]), (5_000, &[1024])];
const LONG: [(usize, &[usize]); 3] =
    [(700, &[16 * 1024 + 1]), (200, &[60_000]), (600, &[20, 100, 1024, 16 * 1024 + 1, 60_000])];

/// Rows C2, C4: the queues, the buffers of the kernel and the messages that wait are full at both
/// ends. Still every message is answered, if the answers are not longer than the messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ends_that_send_and_answer_do_not_wait_for_each_other() {
    for (count, lengths) in SHORT.into_iter().chain(LONG) {
        exchange(count, lengths, None).await;
    }
}

/// Rows C2, C4: the same with small buffers of the kernel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ends_with_small_socket_buffers_do_not_wait_for_each_other() {
    for (count, lengths) in SHORT.into_iter().chain(LONG) {
        exchange(count, lengths, Some(8 * 1024)).await;
    }
}
