//! What the handshakes of both ends share. Knows neither the hub nor the client.
pub(crate) mod authority;
pub(crate) mod head;
pub(crate) mod list;
