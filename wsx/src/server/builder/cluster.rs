//! The option that makes a hub a node of a cluster.
use crate::{cluster::Nats, protocol::endpoint::Endpoint, server::builder::HubBuilder};

impl<E: Endpoint> HubBuilder<E> {
    /// Joins the hubs of other nodes through NATS, so that they behave as one (row J1 of the
    /// specification). [`wsx::cluster`](crate::cluster) says what reaches other nodes, and what
    /// does not.
    ///
    /// [`build`](Self::build) then has to be called in a tokio runtime. It does not wait for NATS.
    ///
    /// ```no_run
    /// use wsx::{Hub, cluster::Nats};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let nats = Nats::connect("nats://nats.example:4222")?;
    /// let hub = Hub::builder().cluster(nats).without_handlers().build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn cluster(mut self, nats: Nats) -> Self {
        self.options.cluster = Some(nats);
        self
    }
}
