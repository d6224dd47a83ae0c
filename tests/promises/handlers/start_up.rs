//! Problems that are reported at start-up, all at once and each with its place: two handlers for
//! one type, missing state.
use wsx::{Client, ConnectError, Connection, Hub, State};

#[wsx::handler("twice")]
fn first(_n: u32) {}
const FIRST: u32 = line!() - 2;

#[wsx::handler("twice")]
fn second(_n: u32) {}

#[wsx::handler("stateful")]
fn stateful(State(_): State<String>, _n: u32) {}

#[wsx::handler("hub_user")]
fn hub_user(_hub: &Hub, _n: u32) {}

/// Row M1: one error lists every problem with file and line.
#[test]
fn a_start_up_error_lists_every_problem_with_its_place() {
    let error = Hub::builder()
        .on("stateful", |_: u32, _: Connection| async {})
        .on("__mine__", |_: u32, _: Connection| async {})
        .build()
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 4, "{text}");
    let place = format!("start_up.rs:{FIRST}");
    for expected in [
        "start_up::stateful (tests/promises/handlers/start_up.rs:",
        "takes State<alloc::string::String>: give it to the builder's `state`",
        "two handlers for \"twice\": start_up::first (",
        &place,
        " and start_up::second (tests/promises/handlers/start_up.rs:",
        "two handlers for \"stateful\": start_up::stateful",
        "the closure added at tests/promises/handlers/start_up.rs:",
        "a message cannot have the type \"__mine__\"",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}

/// Row M1: `Hub::new` panics with the same text.
#[test]
#[should_panic(expected = "two handlers for \"twice\"")]
fn a_new_hub_panics_with_the_problems() {
    let _ = Hub::new();
}

#[derive(Debug, wsx::Endpoint)]
struct NoHandlers;

/// Row M3: a hub without handlers is an error, because a linker may have dropped them, unless
/// `without_handlers` says so.
#[test]
fn a_hub_without_handlers_is_an_error_unless_allowed() {
    let error = Hub::builder().endpoint(NoHandlers).build().unwrap_err();
    assert!(error.to_string().contains("endpoint NoHandlers"), "{error}");
    assert!(error.to_string().contains("use my_handlers as _;"), "{error}");
    assert!(error.to_string().contains("4 are on other endpoints"), "{error}");
    let hub = Hub::builder().endpoint(NoHandlers).without_handlers().build().unwrap();
    assert!(hub.handled_types().is_empty());
}

/// Rows M1, X4: a client reports every problem from `build` or `connect`, including a handler that
/// takes the hub.
#[tokio::test]
async fn a_client_reports_every_problem() {
    let error = Client::builder("ws://127.0.0.1:1/").state(String::new()).build().unwrap_err();
    assert_eq!(error.problems().len(), 2, "{error}");
    // A client that was made without a builder reports it from `connect`, including the missing
    // state.
    let error = Client::new("127.0.0.1:1").connect(wsx::CancellationToken::new(), |_| {}).await.unwrap_err();
    assert!(error.is_final());
    let ConnectError::Build(error) = error else { panic!("{error}") };
    assert!(error.problems()[0].contains("it has no scheme: write it as ws://127.0.0.1:1"), "{error}");
    let error = Client::builder("ws://127.0.0.1:1/").state(String::new()).build().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 2, "{text}");
    assert!(text.contains("start_up::hub_user") && text.contains("which a client does not have"), "{text}");
}

/// Row X4: state and closures belong to the untyped endpoint, so another endpoint reports them.
#[test]
fn state_and_closures_of_another_endpoint_are_problems() {
    let builder = Hub::builder().state(5_u8).on("stray", |_: u32, _: Connection| async {});
    let error = builder.endpoint(NoHandlers).without_handlers().build().unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 2, "{text}");
    assert!(text.starts_with("the hub of endpoint NoHandlers cannot be built:\n  - "), "{text}");
    assert!(text.contains("make the value a field of `NoHandlers` instead"), "{text}");
    assert!(text.contains("write `#[wsx::handler(on = NoHandlers)]` instead"), "{text}");
    let error = Client::builder("ws://127.0.0.1:1/").state(5_u8).endpoint(NoHandlers).build().unwrap_err();
    assert!(
        error.to_string().starts_with("the client of endpoint NoHandlers cannot be built: `state` was called"),
        "{error}"
    );
}
