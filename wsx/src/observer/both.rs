//! Two observers as one.
use crate::{
    catch_panic,
    closed::Closed,
    connection::Connection,
    envelope::incoming::RawFrame,
    error::StoreError,
    error::{ConnectError, HandlerError},
    observer::{
        ClusterEvent, Gap, Interest, Misunderstood, Observer, RejectionKind, Resumed, Setback, calls::for_each_call,
    },
    protocol::PeerVersion,
    wire::deflate::Compression,
};
use http::StatusCode;
use std::{io, net::SocketAddr, time::Duration};

macro_rules! both {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        /// Two observers as one: each call goes to the first, then to the second. A panic of one
        /// loses nothing of the other. Three are a pair in a pair.
        ///
        /// ```
        /// # struct Log;
        /// # impl wsx::Observer for Log {}
        /// let hub = wsx::Hub::builder().observer((Log, wsx::StderrObserver));
        /// ```
        impl<A: Observer, B: Observer> Observer for (A, B) {
            fn interest(&self) -> Interest {
                let first = catch_panic::call(|| self.0.interest()).unwrap_or_default();
                let second = catch_panic::call(|| self.1.interest()).unwrap_or_default();
                first.or(second)
            }
            $(fn $name(&self, $($argument: $type),*) {
                let _ = catch_panic::call(|| self.0.$name($($argument),*));
                let _ = catch_panic::call(|| self.1.$name($($argument),*));
            })*
        }
    };
}
for_each_call!(both);
