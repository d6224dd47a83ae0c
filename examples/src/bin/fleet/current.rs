//! The hub that serves the boxes now. After a restart of the server it is another one.
use crate::server::Station;
use std::sync::{Arc, Mutex, PoisonError};
use wsx::Hub;

/// A cloneable place for the hub.
///
/// The hub owns its endpoint, and the endpoint has this place. So the server empties it at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Option<Hub<Station>>>>);

impl Current {
    /// Replaces the hub.
    pub(crate) fn set(&self, hub: Option<Hub<Station>>) {
        // Dropped after the lock.
        let _before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), hub);
    }

    /// Returns the hub, unless the server is stopped.
    pub(crate) fn hub(&self) -> Option<Hub<Station>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
