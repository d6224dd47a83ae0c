//! The observer of a program, which wsx can only call through the panic guard.
use crate::{
    catch_panic::Guarded,
    closed::Closed,
    connection::{
        Connection,
        handle::Handle,
        watch::{Watch, WatchWithheld},
    },
    envelope::incoming::{RawFrame, UNKNOWN},
    error::StoreError,
    error::{ConnectError, HandlerError},
    observer::{
        ClusterEvent, Gap, Interest, Misunderstood, Observer, RejectionKind, Resumed, Setback, calls::for_each_call,
    },
    protocol::PeerVersion,
    wire::deflate::Compression,
};
use http::StatusCode;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

/// The observer of a program. Each call goes through the panic guard, so wsx cannot call the
/// observer without it.
#[derive(Clone)]
pub(crate) struct GuardedObserver(Guarded<Arc<dyn Observer>>);

impl GuardedObserver {
    pub(crate) fn new(observer: impl Observer) -> Self {
        Self(Guarded::new(Arc::new(observer)))
    }

    /// Returns what the observer wants to know. One that panics wants nothing.
    pub(crate) fn interest(&self) -> Interest {
        self.0.call(|observer| observer.interest()).unwrap_or_default()
    }

    /// Calls a method of the observer. The report of a method that panics is lost.
    fn report(&self, call: impl FnOnce(&dyn Observer)) {
        let _ = self.0.call(|observer| call(&**observer));
    }
}

macro_rules! guarded {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        #[cfg_attr(
            not(all(feature = "nats", feature = "rustls")),
            allow(dead_code, reason = "only nodes call `cluster_changed`, and only TLS calls `tls_failed`")
        )]
        impl GuardedObserver {
            $(pub(crate) fn $name(&self, $($argument: $type),*) {
                self.report(|observer| observer.$name($($argument),*));
            })*
        }
    };
}
for_each_call!(guarded);

impl Watch for GuardedObserver {
    fn sent(&self, conn: &Handle, message_type: &'static str, bytes: usize) {
        let message_type = if message_type.is_empty() { UNKNOWN } else { message_type };
        self.message_sent(Connection::of(conn), message_type, bytes);
    }

    fn queue_changed(&self, conn: &Handle, before: usize, now: usize) {
        Self::queue_changed(self, Connection::of(conn), before, now);
    }

    fn compressed(&self, conn: &Handle, work: &Compression) {
        self.messages_compressed(Connection::of(conn), work);
    }
}

impl WatchWithheld for GuardedObserver {
    fn withheld(&self, conn: &Handle, message_type: &str, peer: &PeerVersion) {
        self.message_withheld(Connection::of(conn), message_type, peer);
    }
}

/// The observer of a program that did not give one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silent;
impl Observer for Silent {}

#[cfg(test)]
#[cfg(not(wsx_model))]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// An observer that notes the events of a cluster, and then panics.
    #[derive(Clone, Default)]
    struct Panics(Arc<Mutex<Vec<ClusterEvent>>>);
    impl Observer for Panics {
        fn cluster_changed(&self, event: &ClusterEvent) {
            self.0.lock().unwrap().push(event.clone());
            panic!("a panic on purpose")
        }
    }

    /// Rows J9, X4: a panic of the observer at an event of a cluster loses that report alone.
    #[test]
    fn a_panic_at_an_event_of_a_cluster_loses_that_report_alone() {
        let (alone, first, second) = (Panics::default(), Panics::default(), Panics::default());
        let pair = (first.clone(), second.clone());
        let events = [ClusterEvent::Connected, ClusterEvent::BroadcastsDropped { count: 1 }];
        for observer in [GuardedObserver::new(alone.clone()), GuardedObserver::new(pair)] {
            events.iter().for_each(|event| observer.cluster_changed(event));
        }
        for panics in [alone, first, second] {
            assert_eq!(*panics.0.lock().unwrap(), events);
        }
    }
}
