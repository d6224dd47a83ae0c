//! The TypeScript client that `export!` writes, against a hub: under Node, and in Chromium.
//!
//! The program `peer.ts` uses the client as a page does. It reads operations from standard input
//! and writes events to standard output, each a JSON object on a line. Each promise is a function
//! here or in a module. The macros at the end run it in each place where pages run.
mod browser;
mod compressed;
mod delivery;
mod messages;
mod page;
mod protocol;
mod reconnecting;
mod source;
mod wire;

use page::Runtime;
use protocol::{Desk, Watch};
use wsx::{Hub, server::HubBuilder};

/// Returns the builder of a hub with this endpoint, which logs what its observer learns.
fn hub_of(desk: &Desk) -> HubBuilder<Desk> {
    Hub::builder().endpoint(desk.clone()).observer(Watch(desk.seen.clone()))
}

/// Makes a test of each promise, for Node and for Chromium.
macro_rules! keep {
    ($($module:ident: $($promise:ident)+;)+) => {
        mod node {
            $($(#[tokio::test]
            async fn $promise() {
                super::$module::$promise(super::Runtime::Node).await;
            })+)+
        }
        mod chromium {
            $($(#[tokio::test]
            async fn $promise() {
                super::$module::$promise(super::Runtime::Chromium).await;
            })+)+
        }
    };
}

keep! {
    messages:
        every_shape_comes_back_as_it_was
        a_request_gets_its_reply_or_the_reason
        a_request_ends_at_its_deadline_or_by_its_signal
        a_handler_of_the_page_answers
        a_handler_that_fails_is_reported
        what_is_not_of_the_protocol_is_shown
        a_listener_beside_the_handler
        a_request_too_many_is_an_error;
    reconnecting:
        a_killed_server_is_found_again
        a_silent_link_is_noticed
        a_silent_server_that_answers_is_kept
        an_outdated_page_stops
        a_replaced_page_waits_longer
        the_waits_are_those_of_the_rust_client
        a_closed_client_stays_closed
        the_server_learns_protocol_and_version;
    delivery:
        readings_of_an_outage_arrive_once_and_in_order
        orders_of_an_outage_arrive_once_and_in_order
        a_killed_server_gets_each_reading_once
        the_newest_of_each_key_comes_first
        a_state_is_sent_until_it_is_handled
        a_failed_handler_fails_the_delivery
        a_full_outbox_rejects_a_reading;
    wire:
        a_page_handles_each_number_once
        a_page_resumes_where_the_server_says
        a_page_explains_what_it_dropped
        a_request_carries_its_deadline;
    compressed:
        a_page_compresses_as_the_hub_says;
}
