//! Compression, which a page offers by itself: row Z8 of the specification.
use crate::{
    messages::sample,
    page::{Page, Runtime},
    protocol::{Desk, Sample},
};
use serde_json::json;
use wsx::{Config, Deflate, Hub, connection::Compression};
use wsx_tests::{Server, compressed::CompressionLog, within};

/// Messages are compressed in both directions, and arrive whole. A message that comes twice is
/// short the second time, if its sender has a context and a window that is long enough.
pub(crate) async fn a_page_compresses_as_the_hub_says(runtime: Runtime) {
    let mut page = Page::start(runtime).await;
    // Its letters are not random, but repeat themselves only far away.
    let text: String = (0..500_u32).map(|n| n.wrapping_mul(2_654_435_761).to_string()).collect();
    let sent = Sample { note: Some(text), ..sample() };
    for (client_context, server_context) in [(true, false), (true, true), (false, true), (false, false)] {
        for window_bits in [9, 10, 15] {
            let options = Deflate::default().client_context(client_context).server_context(server_context);
            let options = options.client_window_bits(window_bits).server_window_bits(window_bits);
            let (desk, watch) = (Desk::default(), CompressionLog::default());
            let hub = Hub::builder().endpoint(desk.clone()).observer(watch.clone());
            let server = Server::start(hub.config(Config::default().deflate(options)).build().unwrap()).await;
            page.connect(&server.url("page"), json!({})).await;
            page.does("connected", json!({})).await;

            let mut times = [[0; 2]; 2];
            for wire_bytes in &mut times {
                within(server.hub.send_to("page", &sent)).await.unwrap();
                page.sees("sample").await;
                assert_eq!(desk.samples.next().await, sent);
                *wire_bytes = [watch.sent.next().await, watch.received.next().await].map(shortened);
            }
            let [first, second] = times;
            let repeats = [4 * second[0] < first[0], 4 * second[1] < first[1]];
            let expected = [server_context, client_context].map(|has_context| has_context && window_bits == 15);
            assert_eq!(repeats, expected, "{options:?}: {first:?}, {second:?} bytes");
            page.does("close", json!({})).await;
        }
    }
}

/// Returns the length of this one message on the wire.
fn shortened(Compression { messages, plain_bytes, wire_bytes, .. }: Compression) -> u64 {
    assert!(messages == 1 && wire_bytes < plain_bytes, "{wire_bytes} of {plain_bytes} bytes");
    wire_bytes
}
