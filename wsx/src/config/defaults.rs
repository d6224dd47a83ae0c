//! The default of each bound. The fields of `Config` say why.
use crate::config::Config;
use std::time::Duration;

/// Maximum number of bytes that a TLS session buffers while its socket takes nothing: one full
/// record.
///
/// The progress of a flush cannot be seen. Where the kernel does not show its progress either, the
/// whole buffer must be written within [`Config::write_timeout`]. A link of 13 kbit/s does that in
/// 10 s. The default of rustls, 64 KiB, would need 52 kbit/s.
#[cfg(feature = "rustls")]
pub(crate) const TLS_BUFFER: usize = 16 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 2 << 20,
            queue_messages: 1024,
            queue_bytes: 4 << 20,
            backlog_messages: 1024,
            backlog_bytes: 2 << 20,
            request_timeout: Duration::from_secs(10),
            max_requests: 1024,
            asking_backlog_bytes: 16 << 20,
            report_failures: false,
            lag_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            heartbeat: None,
            tcp_user_timeout: None,
            tcp_keepalive: None,
            receive_limit: None,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}
