//! The options that only a hub has. The builder sets them, and the hub is made from them.
use crate::{
    connection::handle::OnConnect,
    dispatch::router::NoHandlers,
    server::{admission::Limits, duplicates::DuplicateOptions, ingress::Ingress, presence::PresenceOptions},
};

/// The options that only a hub has. The hub and the client share all others, in `ProgramBuilder`.
pub(super) struct Options {
    /// How many connections and handshakes the hub accepts.
    pub(super) limits: Limits,
    /// What happens when an id connects again.
    pub(super) duplicates: DuplicateOptions,
    /// How long absent ids stay online, and how many are remembered.
    pub(super) presence: PresenceOptions,
    /// The trusted proxies, and the path of health checks.
    pub(super) ingress: Ingress,
    /// Shows each new connection to the program, before the `register` of `ws_handler`.
    pub(super) on_connect: Option<OnConnect>,
    /// The NATS that makes the hub a node of a cluster.
    #[cfg(feature = "nats")]
    pub(super) cluster: Option<crate::cluster::Nats>,
    /// Whether the hub may be without handlers. By default that is a problem, because a linker may
    /// have dropped them.
    pub(super) no_handlers: NoHandlers,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            duplicates: DuplicateOptions::default(),
            presence: PresenceOptions::default(),
            ingress: Ingress::default(),
            on_connect: None,
            #[cfg(feature = "nats")]
            cluster: None,
            no_handlers: NoHandlers::Problem,
        }
    }
}

impl Options {
    /// Returns what is wrong with the options of a hub with or without a heartbeat.
    pub(super) fn problems(&self, has_heartbeat: bool) -> impl Iterator<Item = &'static str> {
        let locks_ids = self.duplicates.rejects_new && !has_heartbeat;
        let heartbeat = locks_ids.then_some(
            "a hub with `OnDuplicate::RejectNew` needs a heartbeat, because a dead connection would keep its id: set \
             `config(Config::edge())`",
        );
        #[cfg(feature = "nats")]
        let runtime = (self.cluster.is_some() && tokio::runtime::Handle::try_current().is_err())
            .then_some("a hub with `cluster` needs a tokio runtime for its tasks: call `build` in an async function");
        #[cfg(not(feature = "nats"))]
        let runtime = None;
        self.ingress.problems().chain(heartbeat).chain(runtime)
    }
}
